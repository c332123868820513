"""Cholesky factor and inverse in place, by panels.

Every function reads and writes the lower triangle only; what stands above the
diagonal is never looked at. The panel loops do the exact flop count (n^3 / 3
for the factor, 2 n^3 / 3 for the inverse) in matrix products on views, so one
n x n buffer is enough and the same code runs on CPU and CUDA.
"""

import torch

from ..exceptions import NotPositiveDefiniteError

# Panel width. On a 2-core CPU, n = 2000 and 4000, 96 gave 90 GFLOP/s for both the
# factor and the inverse (matrix product: 116), 192 gave 81 to 87, 128 and 256 (powers
# of two: cache lines of one column collide) 52 to 76.
PANEL = 96

# Below this order one LAPACK call on a copy beats the panel loop.
SMALL = 256


def panels(n, width=PANEL):
    """Consecutive slices of at most `width` that cover range(n)."""
    return [slice(i, min(i + width, n)) for i in range(0, n, width)]


def cholesky_(A):
    """Overwrite the lower triangle of A (n, n) with L, where A = L L'.

    Left-looking: a panel is updated by all columns before it, its diagonal
    block is factored, the rows below are solved against that block.

    Raises
    ------
    NotPositiveDefiniteError
        If a pivot is not positive (or not a number). A is then spoilt.
    """
    n = A.shape[0]
    if n <= SMALL:
        return A.copy_(_small_factor(A))
    for J in panels(n):
        start, stop = J.start, J.stop
        A[start:, J].addmm_(A[start:, :start], A[J, :start].mT, alpha=-1)
        L = _small_factor(A[J, J])
        A[J, J] = L
        if stop < n:
            below = A[stop:, J]
            below.copy_(below @ _small_inverse(L).mT)
    return A


def inverse_(L):
    """Overwrite the lower triangle of L (n, n) with that of (L L')^-1."""
    if L.shape[0] <= SMALL:
        return L.copy_(torch.cholesky_inverse(L))
    return crossproduct_lower_(invert_lower_(L))


def invert_lower_(L):
    """Overwrite the lower triangle of L (n, n) with that of L^-1, row by row."""
    n = L.shape[0]
    if n <= SMALL:
        return L.copy_(_small_inverse(L))
    blocks = panels(n)
    for I in blocks:
        start = I.start
        pivot = _small_inverse(L[I, I])
        product = L.new_empty(I.stop - start, start)
        for J in blocks[: start // PANEL]:
            torch.mm(L[I, J.start : start], L[J.start : start, J], out=product[:, J])
        L[I, :start] = (pivot @ product).neg_()
        L[I, I] = pivot
    return L


def crossproduct_lower_(W):
    """Overwrite the lower triangle of W (n, n), zero above, with that of W' W."""
    n = W.shape[0]
    if n <= SMALL:
        return W.copy_(W.mT @ W)
    for J in panels(n):
        stop = J.stop
        rows = W[J, J].mT @ W[J, :stop]
        rows.addmm_(W[stop:, J].mT, W[stop:, :stop])
        W[J, :stop] = rows
    return W


def solve_lower(L, B):
    """L^-1 B for B (n, m)."""
    return torch.linalg.solve_triangular(L, B, upper=False)


def solve(L, B):
    """(L L')^-1 B for B (n, m)."""
    return torch.linalg.solve_triangular(L.mT, solve_lower(L, B), upper=True)


def half_log_det(L):
    """log det(L L') / 2 = sum_i log L_ii."""
    return L.diagonal().log().sum()


def symmetrize_(A):
    """Copy the lower triangle of A over the upper one."""
    for J in panels(A.shape[0], 512):
        A[J, J.stop :] = A[J.stop :, J].mT
        block = A[J, J]
        block.copy_(block.tril() + block.tril(-1).mT)
    return A


def _small_factor(A):
    L, info = torch.linalg.cholesky_ex(A)
    # On CPU a failed factor holds garbage and on CUDA NaN: only `info` tells. A NaN
    # in A passes LAPACK unnoticed on some builds and then shows in the last pivot.
    if info.item() or not torch.isfinite(L[-1, -1]):
        raise NotPositiveDefiniteError("a pivot of the Cholesky factor is not positive")
    return L


def _small_inverse(L):
    identity = torch.eye(L.shape[0], dtype=L.dtype, device=L.device)
    return torch.linalg.solve_triangular(L, identity, upper=False)
