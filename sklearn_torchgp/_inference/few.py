"""Moments at few rows, in NumPy: algorithms 2.1 and 3.2 of GPML in a dozen calls.

What `DensePosterior.moments` says, without torch, whose calls take longer than their
arithmetic here (``benchmarks/bench_calls.py``, "predict 1 row").
"""

import numpy as np

from .._linalg import lapack


def moments(posterior, X, spread, noise):
    """As `Posterior.few_moments`, of a posterior that keeps `alpha_` and `L_`."""
    covariance = posterior.covariance
    if spread not in (None, "var") or posterior.trend is not None:
        return None
    k = covariance.few_cross(X)
    if k is None:
        return None
    mean = k @ array_of(posterior.arrays, "alpha_").reshape(k.shape[1], -1)
    if spread is None:
        return mean, None
    V = (k if posterior.s is None else k * posterior.s.numpy()).T
    L = array_of(posterior.arrays, "L_")
    if L.ndim == 2:
        explained = _explained(L, V)[:, None]
    else:
        explained = np.stack([_explained(one, V) for one in L], axis=1)
    return mean, (covariance.few.diag(X, noise=noise) - explained.T).T


def _explained(L, V):
    """The squared lengths of the columns of L^-1 V."""
    W = lapack.solve_lower(L, V)
    return np.multiply(W, W, out=W).sum(axis=0)


def array_of(arrays, name):
    """What is kept under a name, in float64: the attribute itself where it is that."""
    source = getattr(arrays, "source", arrays.__getitem__)(name)
    if type(source) is np.ndarray and source.dtype == np.float64:
        return source
    return arrays[name].numpy()
