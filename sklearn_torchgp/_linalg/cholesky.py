"""Cholesky factor and inverse in place, by halves.

Every function reads the lower triangle only; what stands above the diagonal is never
looked at. A matrix is halved until a block has `LEAF` rows, and nearly all flops
(n^3 / 3 for the factor, 2 n^3 / 3 for the inverse) are matrix products of large views
of the one n x n buffer; the same code runs on CPU and CUDA.
"""

import math

import torch

from ..exceptions import NotPositiveDefiniteError
from . import lapack

# Rows of the smallest block. CPU: of 24 ... 192 the best; at n = 1000, 2000 and 4000
# the factor then runs at 65, 81 and 90 % of the matrix-product rate of one core, the
# inverse at 66, 82 and 90 %; panels of 96 instead of halves stayed at 65 to 80 %.
# CUDA: not measured yet; a launch costs more than a product of this size there.
LEAF = {"cpu": 48, "cuda": 512}

# Order up to which one LAPACK call on a copy factors faster than further halves.
SMALL = {"cpu": 192, "cuda": 1024}


def panels(n, width=512):
    """Consecutive slices of at most `width` that cover range(n)."""
    return [slice(i, min(i + width, n)) for i in range(0, n, width)]


def cholesky_(A):
    """Overwrite the lower triangle of A (n, n) with L, where A = L L'.

    Raises
    ------
    NotPositiveDefiniteError
        If a pivot is not positive (or not a number). A is then spoilt.
    """
    if lapack.serves(A):
        _check_pivots(lapack.factor_(A), A)
        return A
    n = A.shape[0]
    if n <= SMALL[A.device.type]:
        return A.copy_(_small_factor(A))
    h = _half(A)
    L11 = cholesky_(A[:h, :h])
    _solve_lower_(L11, A[h:, :h].mT)
    _add_gram_(A[h:, h:], A[h:, :h], -1)
    cholesky_(A[h:, h:])
    return A


def inverse_(L):
    """Overwrite the lower triangle of L (n, n) with that of (L L')^-1."""
    if lapack.serves(L):
        return lapack.inverse_(L)
    return own_gram_(invert_lower_(L))


def invert_lower_(L):
    """Overwrite the lower triangle of L (n, n) with that of L^-1."""
    if lapack.serves(L):
        return lapack.invert_lower_(L)
    if _is_leaf(L):
        identity = torch.eye(L.shape[0], dtype=L.dtype, device=L.device)
        return L.copy_(torch.linalg.solve_triangular(L, identity, upper=False))
    h = _half(L)
    _solve_lower_(L[h:, h:], L[h:, :h].neg_())
    invert_lower_(L[h:, h:])
    _times_transpose_(invert_lower_(L[:h, :h]), L[h:, :h].mT)
    return L


def own_gram_(W):
    """Overwrite the lower triangle of a lower W (n, n) with that of W' W."""
    if lapack.serves(W):
        return lapack.own_gram_(W)
    if _is_leaf(W):
        T = W.tril()
        return W.copy_(T.mT @ T)
    h = _half(W)
    _add_gram_(own_gram_(W[:h, :h]), W[h:, :h].mT, 1)
    _times_transpose_(W[h:, h:], W[h:, :h])
    own_gram_(W[h:, h:])
    return W


def solve_lower(L, B):
    """L^-1 B for B (n, m)."""
    return torch.linalg.solve_triangular(L, B, upper=False)


def solve(L, B):
    """(L L')^-1 B for B (n, m)."""
    if lapack.serves(L) and B.dtype == L.dtype:
        return lapack.solve(L, B)
    return torch.linalg.solve_triangular(L.mT, solve_lower(L, B), upper=True)


def half_log_det(L):
    """log det(L L') / 2 = sum_i log L_ii."""
    return L.diagonal().log().sum()


def symmetrize_(A):
    """Copy the lower triangle of A over the upper one."""
    # Blocks small enough to come from the allocator's pool: at n = 600 panels of 512,
    # whose temporaries are fresh pages, took 1.2 ms within a fit, these take 0.3 ms.
    for J in panels(A.shape[0], 128):
        A[J, J.stop :] = A[J.stop :, J].mT
        block = A[J, J]
        block.copy_(block.tril() + block.tril(-1).mT)
    return A


def _small_factor(A):
    L, info = torch.linalg.cholesky_ex(A)
    _check_pivots(info.item(), L)
    return L


def _check_pivots(info, L):
    # On CPU a failed factor holds garbage and on CUDA NaN: only `info` tells. NaN and
    # inf in A pass LAPACK unnoticed and then show in a pivot.
    if info or not math.isfinite(L.diagonal().sum().item()):
        raise NotPositiveDefiniteError("a pivot of the Cholesky factor is not positive")


def _half(A):
    """About half the rows of A, in whole leaves."""
    n, leaf = A.shape[0], LEAF[A.device.type]
    return max(leaf, -(-n // (2 * leaf)) * leaf)


def _is_leaf(A):
    return A.shape[0] <= LEAF[A.device.type]


def _solve_lower_(L, B):
    """B <- L^-1 B."""
    if _is_leaf(L):
        return B.copy_(torch.linalg.solve_triangular(L, B, upper=False))
    h = _half(L)
    _solve_lower_(L[:h, :h], B[:h])
    B[h:].addmm_(L[h:, :h], B[:h], alpha=-1)
    _solve_lower_(L[h:, h:], B[h:])
    return B


def _times_transpose_(L, B):
    """B <- L' B."""
    if _is_leaf(L):
        return B.copy_(L.tril().mT @ B)
    h = _half(L)
    _times_transpose_(L[:h, :h], B[:h])
    B[:h].addmm_(L[h:, :h].mT, B[h:])
    _times_transpose_(L[h:, h:], B[h:])
    return B


def _add_gram_(C, B, sign):
    """C <- C + sign B B' in the lower triangle."""
    if _is_leaf(C):
        return C.addmm_(B, B.mT, alpha=sign)
    h = _half(C)
    _add_gram_(C[:h, :h], B[:h], sign)
    C[h:, :h].addmm_(B[h:], B[:h].mT, alpha=sign)
    _add_gram_(C[h:, h:], B[h:], sign)
    return C
