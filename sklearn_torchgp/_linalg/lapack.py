"""SciPy's LAPACK on the memory of small CPU tensors.

Up to some 200 rows faster than `torch.linalg.cholesky_ex` and `cholesky_inverse` on two
threads, provided that OpenBLAS has one: with two its workers spin after each call on a
core that torch needs next. So each function sees to that itself, and whoever calls
several holds `threads.one_blas_thread` around them, which is cheaper.

A row-major lower triangle is a column-major upper one: hence ``.T`` and ``lower=0``.
"""

import functools

import numpy as np
import torch
from scipy.linalg import blas, lapack

from .threads import blas_pools, on_one_blas_thread

blas_pools()  # here, where SciPy's is loaded, and not in the first fit

_FACTOR = {torch.float64: lapack.dpotrf, torch.float32: lapack.spotrf}
_INVERSE = {torch.float64: lapack.dpotri, torch.float32: lapack.spotri}
_INVERT = {torch.float64: lapack.dtrtri, torch.float32: lapack.strtri}
_OWN_GRAM = {torch.float64: lapack.dlauum, torch.float32: lapack.slauum}
_OUTER = {torch.float64: blas.dsyrk, torch.float32: blas.ssyrk}
_SOLVE = {torch.float64: lapack.dpotrs, torch.float32: lapack.spotrs}

# Largest order at which one thread of LAPACK beats two threads on panels: at n = 220 it
# takes 0.46 ms and they 0.53 ms, at n = 256 0.71 and 0.67 ms, at n = 300 0.97 and 0.84.
SMALL = 256


def serves(A):
    """Whether A (n, n) is small, on the CPU, and one contiguous piece of memory."""
    small = A.shape[0] <= SMALL and A.device.type == "cpu"
    return small and A.dtype in _FACTOR and A.is_contiguous()


@functools.lru_cache(maxsize=4)
def _above(n):
    """Where the places above the diagonal are."""
    return ~np.tri(n, dtype=bool)


def lower_(A):
    """Zero above the diagonal of A: `Tensor.tril_` wakes all threads for ten rows."""
    A.numpy()[_above(len(A))] = 0.0
    return A


def symmetrize_(A):
    """Copy the lower triangle of A over the upper one."""
    K = A.numpy()
    np.copyto(K, K.T, where=_above(len(A)))
    return A


@on_one_blas_thread
def factor_(A):
    """Overwrite the lower triangle of A with its factor; returns LAPACK's info."""
    return _FACTOR[A.dtype](A.numpy().T, lower=0, clean=0, overwrite_a=1)[1]


@on_one_blas_thread
def inverse_(L):
    """Overwrite the lower triangle of L with that of (L L')^-1."""
    _INVERSE[L.dtype](L.numpy().T, lower=0, overwrite_c=1)
    return L


@on_one_blas_thread
def invert_lower_(L):
    """Overwrite the lower triangle of L with that of L^-1."""
    _INVERT[L.dtype](L.numpy().T, lower=0, overwrite_c=1)
    return L


@on_one_blas_thread
def own_gram_(W):
    """Overwrite the lower triangle of W with that of W' W."""
    _OWN_GRAM[W.dtype](W.numpy().T, lower=0, overwrite_c=1)
    return W


@on_one_blas_thread
def solve(L, B):
    """(L L')^-1 B for B (n, m)."""
    return torch.from_numpy(_SOLVE[L.dtype](L.numpy().T, B.numpy(), lower=0)[0])


def solve_vector(L, b):
    """(L L')^-1 b for a tensor L (n, n) and an array b (n,): see `solve_lower`."""
    return _SOLVE[L.dtype](L.numpy().T, b, lower=0)[0]


def solve_lower(L, B):
    """L^-1 B for arrays L (n, n) and B (n, m).

    OpenBLAS wakes no worker for one column (0.3.23 to 0.3.31: as much processor time
    as time), and the limit would take as long as the solution.
    """
    return (_solve_triangle if B.shape[1] == 1 else _solve_on_one_thread)(L, B, 1)


def solve_upper(L, B):
    """L^-T B for arrays: see `solve_lower`."""
    return (_solve_triangle if B.shape[1] == 1 else _solve_on_one_thread)(L, B, 0)


def _solve_triangle(L, B, trans):
    return lapack.dtrtrs(L.T, B, lower=0, trans=trans)[0]


_solve_on_one_thread = on_one_blas_thread(_solve_triangle)


@on_one_blas_thread
def add_outer_(A, B, *, scale, keep):
    """Overwrite the lower triangle of A with keep * A + scale * B B'."""
    C = A.numpy().T
    _OUTER[A.dtype](scale, B.numpy(), beta=keep, c=C, lower=0, overwrite_c=1)
    return A
