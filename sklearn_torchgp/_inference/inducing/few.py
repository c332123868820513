"""Moments at few rows, in NumPy: what `seen` says, in a dozen calls."""

import numpy as np

from ..._linalg import lapack
from ..few import array_of


def moments(posterior, X, spread, noise):
    """As `Posterior.few_moments`, of a posterior through points without a trend."""
    if spread not in (None, "var"):
        return None
    covariance = posterior.covariance.on(posterior.points.alone())
    k = covariance.few_cross(X)
    if k is None:
        return None
    names = "_inducing_L", "_inducing_L_B", "_inducing_b"
    L, L_B, b = (array_of(posterior.arrays, name) for name in names)
    pairs = zip(L_B, b, strict=True)
    beta = np.concatenate([_solve(one, columns) for one, columns in pairs], axis=1)
    mean = k @ lapack.solve_upper(L, beta)
    if spread is None:
        return mean, None
    a = lapack.solve_lower(L, k.T)
    left = [_squares(lapack.solve_lower(one, a)) for one in L_B]
    prior = covariance.few.diag(X, noise=noise) - _squares(a)
    return mean, prior[:, None] + np.stack(left, axis=1)


def _solve(L, b):
    """(L L')^-1 b."""
    return lapack.solve_upper(L, lapack.solve_lower(L, b))


def _squares(V):
    """The squared lengths of the columns."""
    return np.einsum("ij,ij->j", V, V)
