"""SciPy's LAPACK on arrays, which may be the memory of small CPU tensors.

Up to some 200 rows faster than `torch.linalg.cholesky_ex` and `cholesky_inverse` on two
threads, provided that OpenBLAS has one: with two its workers spin after each call on a
core that torch needs next. So each function sees to that itself, and whoever calls
several holds `threads.one_blas_thread` around them, which is cheaper.

A row-major lower triangle is a column-major upper one: hence ``.T`` and ``lower=0``.
What is overwritten, in its lower triangle, has to be C-contiguous.
"""

import functools

import numpy as np
import torch
from scipy.linalg import blas, lapack

from .threads import blas_pools, on_one_blas_thread

blas_pools()  # here, where SciPy's is loaded, and not in the first fit

# By the character of the dtype.
_FACTOR = {"d": lapack.dpotrf, "f": lapack.spotrf}
_INVERSE = {"d": lapack.dpotri, "f": lapack.spotri}
_INVERT = {"d": lapack.dtrtri, "f": lapack.strtri}
_OWN_GRAM = {"d": lapack.dlauum, "f": lapack.slauum}
_TIMES_TRIANGLE = {"d": blas.dtrmm, "f": blas.strmm}
_OUTER = {"d": blas.dsyrk, "f": blas.ssyrk}
_SOLVE = {"d": lapack.dpotrs, "f": lapack.spotrs}

# Largest order at which one thread of LAPACK serves where torch has two on panels. A
# likelihood with its gradient (d = 4) took 1.7 and 2.2 ms at n = 300, 2.3 and 2.8 at
# n = 350; but EP 76 and 68 ms at n = 384. Factor and inverse alone meet before, at
# n = 256 on one processor; but panels wake a thread that few rows let sleep.
# Where torch has one thread, too, they meet at n = 400 (0.80 and 0.80 ms the factor);
# with more rows the panels' factor is quicker on some processors (by 1.2 at n = 1000
# and 2000, Intel Sapphire Rapids), LAPACK's on others (by 1.2 to 1.3, AMD Zen 4).
SMALL = 320

# From so many numbers on several right-hand sides are torch's where it has one thread:
# 100 of them took 27, 67 and 206 microseconds by LAPACK and 12, 23 and 64 by torch at
# n = 50, 100 and 200. Two threads are quicker still, but beside a busy process each
# waits for the other, for up to 7 ms.
MANY = 1024

# From so many columns on OpenBLAS's product from the right is quicker up to some 400
# rows: 100 of them took 15, 47 and 169 microseconds at n = 50, 100 and 200, from the
# left 28, 68 and 207; but 10 of them 37 and 29 at n = 200.
WIDE = 40

# Columns of the blocks that LAPACK inverts itself: see `invert_lower_`.
LEAF = 64


def serves(A):
    """Whether a tensor (n, n) is small, on the CPU, and one piece of memory."""
    n = A.shape[0]
    small = n <= SMALL or (n <= 1.2 * SMALL and torch.get_num_threads() == 1)
    return small and _in_reach(A)


def serves_alone(W):
    """Whether `own_gram_` is best left to one thread: torch has no other.

    Then it takes 0.39, 5.9 and 43 ms at n = 400, 1000 and 2000, on panels 0.59, 7.5
    and 47, and uses no more memory.
    """
    return torch.get_num_threads() == 1 and _in_reach(W)


def _in_reach(A):
    floats = torch.float64, torch.float32
    return A.device.type == "cpu" and A.dtype in floats and A.is_contiguous()


@functools.lru_cache(maxsize=4)
def _above(n):
    """Where the places above the diagonal are."""
    return ~np.tri(n, dtype=bool)


def lower_(A):
    """Zero above the diagonal of A: `Tensor.tril_` wakes all threads for ten rows."""
    np.copyto(A, 0.0, where=_above(len(A)))


def symmetrize_(A):
    """Copy the lower triangle of A over the upper one."""
    np.copyto(A, A.T, where=_above(len(A)))


@on_one_blas_thread
def factor_(A):
    """Overwrite the lower triangle of A with its factor; returns LAPACK's info."""
    return _FACTOR[A.dtype.char](A.T, lower=0, clean=0, overwrite_a=1)[1]


@on_one_blas_thread
def inverse_(L):
    """Overwrite the lower triangle of L with that of (L L')^-1."""
    if len(L) > LEAF:
        invert_lower_(L)
        own_gram_(L)
    else:
        _INVERSE[L.dtype.char](L.T, lower=0, overwrite_c=1)


@on_one_blas_thread
def invert_lower_(L):
    """Overwrite the lower triangle of L with that of L^-1.

    By halves: OpenBLAS's own routine took 0.22, 0.71 and 1.34 ms at n = 200, 300 and
    400, these products with triangles 0.13, 0.35 and 0.69 ms.
    """
    _invert_lower_(L, _INVERT[L.dtype.char], _TIMES_TRIANGLE[L.dtype.char])


def _invert_lower_(L, invert, times):
    n = len(L)
    if n <= LEAF:
        inverse = invert(L.T, lower=0, overwrite_c=1)[0].T
        if not L.flags.c_contiguous:  # else it stands there
            L[...] = inverse
        return
    h = n // 2
    _invert_lower_(L[:h, :h], invert, times)
    _invert_lower_(L[h:, h:], invert, times)
    # W21 = -W22 L21 W11, of which all is transposed here.
    X = times(-1.0, L[:h, :h].T, L[h:, :h].T, lower=0)
    L[h:, :h] = times(1.0, L[h:, h:].T, X, side=1, lower=0, overwrite_b=1).T


@on_one_blas_thread
def own_gram_(W):
    """Overwrite the lower triangle of W with that of W' W."""
    _OWN_GRAM[W.dtype.char](W.T, lower=0, overwrite_c=1)


def solve(L, B):
    """(L L')^-1 B for B (n, m).

    OpenBLAS wakes no worker for one column (0.3.23 to 0.3.31: as much processor time
    as time), and the limit would take as long as the solution.
    """
    return (solve_vector if B.shape[1] == 1 else _solve_many)(L, B)


def solve_vector(L, b):
    """(L L')^-1 b for b (n,) or (n, 1): see `solve`."""
    return _SOLVE[L.dtype.char](L.T, b, lower=0)[0]


_solve_many = on_one_blas_thread(solve_vector)


def solve_lower(L, B):
    """L^-1 B for B (n, m), in float64: see `solve`."""
    if B.size >= MANY and B.shape[1] > 1 and _is_torchs(L):
        L, B = torch.from_numpy(L), torch.from_numpy(B)
        return torch.linalg.solve_triangular(L, B, upper=False).numpy()
    if B.shape[1] >= WIDE and len(L) <= SMALL:
        return _solve_from_the_right(L, B)
    return (_solve_triangle if B.shape[1] == 1 else _solve_on_one_thread)(L, B, 1)


def _is_torchs(L):
    """Whether torch takes the memory of L as it is, and wakes no thread for it."""
    return L.flags.carray and torch.get_num_threads() == 1


def solve_upper(L, B):
    """L^-T B: see `solve_lower`."""
    return (_solve_triangle if B.shape[1] == 1 else _solve_on_one_thread)(L, B, 0)


def _solve_triangle(L, B, trans):
    return lapack.dtrtrs(L.T, B, lower=0, trans=trans)[0]


_solve_on_one_thread = on_one_blas_thread(_solve_triangle)


@on_one_blas_thread
def _solve_from_the_right(L, B):
    """As X L' = B'."""
    return blas.dtrsm(1.0, L.T, B.T, side=1, lower=0).T


@on_one_blas_thread
def add_outer_(A, B, *, scale, keep):
    """Overwrite the lower triangle of A with keep * A + scale * B B'."""
    _OUTER[A.dtype.char](scale, B, beta=keep, c=A.T, lower=0, overwrite_c=1)
