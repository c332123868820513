"""Cholesky factor and inverse in place, by panels of columns.

What stands above the diagonal is never looked at, but for the zeros that `own_gram_`
asks for. Nearly all flops (n^3 / 3 for the factor, 2 n^3 / 3 for the inverse) are
products of a large view of the one n x n buffer with a panel; the same code runs on CPU
and GPU.
"""

import math

import torch

from ..exceptions import NotPositiveDefiniteError
from . import lapack
from .memory import size_on

# Columns of a panel, and of one where the matrix is LARGE. CPU (2 cores, AVX-512, MKL):
# a product with 96 or 192 columns ran at 112 to 125 GFLOP/s, with 64 at 60, with 128 at
# 66 to 83. Every panel's product reads the matrix anew: beyond the caches wide panels
# are better, below they cost more outside the products. Accelerators: not measured.
PANEL = {"cpu": (96, 192), "accelerator": (1024, 1024)}
LARGE = 3000


def panels(n, width=512):
    """Consecutive slices of at most `width` that cover range(n)."""
    return [slice(i, min(i + width, n)) for i in range(0, n, width)]


def cholesky_(A):
    """Overwrite the lower triangle of A (n, n) with L, where A = L L'.

    Left-looking: a panel is updated by all columns before it, its diagonal block is
    factored, and the rows below are solved against that block.

    Raises
    ------
    NotPositiveDefiniteError
        If a pivot is not positive (or not a number). A is then spoilt.
    """
    if lapack.serves(A):
        return _factor_by_lapack_(A)
    infos = []
    for J in _panels_of(A):
        start, stop = J.start, J.stop
        if start:
            A[start:, J].addmm_(A[start:, :start], A[J, :start].mT, alpha=-1)
        if A.device.type == "cpu":
            block = _factor_by_lapack_(_copy(A[J, J]))
        else:
            block, info = torch.linalg.cholesky_ex(A[J, J])
            infos.append(info)
        A[J, J] = block
        if stop < len(A):
            below = A[stop:, J]
            below.copy_(solve_lower(block, below.mT).mT)
    if infos:  # asked once, at the end: the host waits for the answer
        trace = A.diagonal().sum()
        _check(torch.where(torch.stack(infos).any(), math.nan, trace).item())
    return A


def inverse_(L):
    """Overwrite the lower triangle of L (n, n) with that of (L L')^-1 = W' W, W = L^-1.

    Not by the recurrence P L = L^-T, although it is faster: the errors of the columns
    that come first grow exponentially through the others where rows are sorted, as in a
    time series.
    """
    if lapack.serves(L):
        lapack.inverse_(L.numpy())
        return L
    return own_gram_(invert_lower_(L))


def invert_lower_(L):
    """Overwrite L (n, n) with W = L^-1, zero above the diagonal.

    From the last panel J to the first, with + for the rows below J, of W L = I:
    WJJ = LJJ^-1 and W+J = -W++ L+J WJJ (stable: Du Croz and Higham 1992).
    """
    if lapack.serves(L):
        lapack.invert_lower_(L.numpy())
        return lower_(L)
    L.tril_()
    for J in reversed(_panels_of(L)):
        block = L[J, J]
        # Solves take half the time of LAPACK's inverse at the width of a panel.
        W = solve_lower(block, torch.eye(len(block), dtype=L.dtype, device=L.device))
        below, corner = L[J.stop :, J], L[J.stop :, J.stop :]
        if J.stop < len(L):
            X = below @ W
        # In blocks of rows, which leave out most zeros of the triangle W++.
        for rows in panels(len(below), 2 * _width(L)):
            here = corner[rows, : rows.stop]
            below[rows].addmm_(here, X[: rows.stop], beta=0, alpha=-1)
        L[J, J] = W
    return L


def own_gram_(W):
    """Overwrite the lower triangle of W (n, n), lower triangular, with that of W' W.

    W must be zero above the diagonal.
    """
    if lapack.serves(W) or lapack.serves_alone(W):
        lapack.own_gram_(W.numpy())
        return W
    for J in _panels_of(W):
        W[J, : J.stop] = W[J.start :, J].mT @ W[J.start :, : J.stop]
    return W


def solve_lower(L, B):
    """L^-1 B for B (n, m)."""
    return torch.linalg.solve_triangular(L, B, upper=False)


def solve(L, B):
    """(L L')^-1 B for B (n, m)."""
    if lapack.serves(L) and B.dtype == L.dtype:
        return torch.from_numpy(lapack.solve(L.numpy(), B.numpy()))
    return torch.linalg.solve_triangular(L.mT, solve_lower(L, B), upper=True)


def lower_(A):
    """Zero above the diagonal of A (n, n), or of each of several (t, n, n)."""
    if A.ndim != 2 or not lapack.serves(A):
        return A.tril_()
    lapack.lower_(A.numpy())
    return A


def half_log_det(L):
    """log det(L L') / 2 = sum_i log L_ii."""
    return L.diagonal().log().sum()


def symmetrize_(A):
    """Copy the lower triangle of A over the upper one."""
    if lapack.serves(A):
        lapack.symmetrize_(A.numpy())
        return A
    # Blocks small enough to come from the allocator's pool: at n = 600 panels of 512,
    # whose temporaries are fresh pages, took 1.2 ms within a fit, these take 0.3 ms.
    for J in panels(A.shape[0], 128):
        A[J, J.stop :] = A[J.stop :, J].mT
        block = A[J, J]
        block.copy_(block.tril() + block.tril(-1).mT)
    return A


def _width(A):
    return size_on(A.device, PANEL)[A.shape[0] > LARGE]


def _panels_of(A):
    """Panels of the columns of A; the short one, if any, comes first."""
    n, width = A.shape[0], _width(A)
    short = n % width
    rest = [slice(i, i + width) for i in range(short, n, width)]
    return [slice(0, short), *rest] if short else rest


def _copy(block):
    """A block's copy that LAPACK can overwrite."""
    return block.clone(memory_format=torch.contiguous_format)


def _factor_by_lapack_(A):
    info = lapack.factor_(A.numpy())
    _check(math.nan if info else A.diagonal().sum().item())
    return A


def _check(trace):
    """Raise where the trace of a factor, NaN for one that failed, is not finite."""
    # On CPU a failed factor holds garbage and on GPUs NaN: only `info` tells. NaN and
    # inf in A pass LAPACK unnoticed and then show in a pivot.
    if not math.isfinite(trace):
        raise NotPositiveDefiniteError("a pivot of the Cholesky factor is not positive")
