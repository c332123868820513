"""Laplace's approximation on few rows, in NumPy.

What `laplace` says, on the tensors' memory: each Newton step is some twenty calls on
vectors, of which torch's take longer than their arithmetic
(``benchmarks/bench_calls.py``, "classifier: whole fit").
"""

import functools
import math

import numpy as np
import torch

from ..._linalg import lapack
from ...exceptions import NotPositiveDefiniteError
from .engine import Inference, Sites
from .newton import find_mode


def serves(K, likelihood):
    """Whether these are few rows in float64, with terms that arrays go through."""
    if getattr(likelihood, "few", None) is None or K.dtype != torch.float64:
        return False
    return lapack.serves(K)


def silently(function):
    """The function, without NumPy's warnings: an overflow shows in the evidence."""

    @functools.wraps(function)
    def silent(*args, **options):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return function(*args, **options)

    return silent


@silently
def laplace(K, terms, start, *, max_iter, work):
    """As `laplace.laplace`; `terms` are the likelihood's ``few``."""
    A, B = K.numpy(), (torch.empty_like(K) if work is None else work).numpy()

    def expand(f):
        d1, d2, d3 = terms.derivatives(f)
        s = np.sqrt(-d2)
        diagonal = _factor(A, s, B)

        def solve_newton(r):
            return r - s * lapack.solve_vector(B, s * (A @ r))

        return d1, lambda x: -d2 * x, solve_newton, (diagonal, s, d1, d2, d3)

    mode = find_mode(
        lambda a: A @ a,
        terms.log_p,
        expand,
        None if start is None else start.numpy(),
        zero=np.zeros(len(A)),
        eps=np.finfo(float).eps,
        largest_variance=float(A.diagonal().max()),
        max_iter=max_iter,
    )
    diagonal, s, d1, d2, d3 = mode.local
    tensor = torch.from_numpy
    return Inference(
        lml=mode.psi - float(np.log(diagonal).sum()),
        sites=Sites(tensor(-d2), tensor(d1 - d2 * mode.f)),
        alpha=tensor(mode.a),
        derivative=lambda: _derivative(A, B, s, d1, d3),
        start=tensor(mode.f),
        converged=mode.converged,
        residual=mode.residual,
        n_iterations=mode.n_steps,
    )


def _factor(A, s, B):
    """Overwrite B with the factor of I + s K s; returns its diagonal."""
    np.multiply(A, s, out=B)
    B *= s[:, None]
    diagonal = B.reshape(-1)[:: len(B) + 1]
    diagonal += 1
    # NaN and inf in K pass LAPACK unnoticed and then show in a pivot.
    if lapack.factor_(B) or not math.isfinite(diagonal.sum()):
        raise NotPositiveDefiniteError("a pivot of the Cholesky factor is not positive")
    return diagonal


@silently
def _derivative(A, R, s, d1, d3):
    """d lml / dK at the mode, as `laplace._derivative` has it; R is the factor's."""
    lapack.inverse_(R)
    lapack.symmetrize_(R)
    explained = 1 - R.diagonal()
    ratio = np.divide(d3, s * s, out=np.zeros_like(s), where=s > 0)
    half = 0.5 * explained * ratio
    R *= s
    R *= s[:, None]
    u = half - R @ (A @ half)
    left = np.stack([d1 + u, d1], axis=1)
    right = np.stack([d1, u])
    R -= left @ right
    R *= -0.5
    return torch.from_numpy(R)
