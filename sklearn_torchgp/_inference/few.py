"""Moments at few rows, in NumPy: algorithms 2.1 and 3.2 of GPML in a dozen calls.

What `DensePosterior.moments` says, without torch, whose calls take longer than their
arithmetic here (``benchmarks/bench_calls.py``, "predict 1 row").
"""

import numpy as np

from .._linalg import lapack

# Most training rows, and most pairs of theirs and new rows, that go by blocks.
# Alone, torch's two threads are quicker: 3.2 and 5.0 ms for 10,000 rows at n = 40,
# d = 3. But whoever asks for the best of many rows has SciPy's optimiser run between,
# whose BLAS threads keep the cores: then they took 5.7 in the median, 11 in the mean.
FEW, MOST_IN_BLOCKS = 64, 2**19


def moments(posterior, X, spread, noise):
    """As `Posterior.few_moments`, of a posterior that keeps `alpha_` and `L_`."""
    covariance = posterior.covariance
    if len(X) > covariance.few_at_a_time:
        return _by_blocks(posterior, X, spread, noise)
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


def _by_blocks(posterior, X, spread, noise):
    """`moments` of more rows than pass at a time; None of too many."""
    n, size = posterior.covariance.points.n, posterior.covariance.few_at_a_time
    if n > FEW or len(X) * n > MOST_IN_BLOCKS:
        return None
    starts = range(0, len(X), size)
    parts = [moments(posterior, X[i : i + size], spread, noise) for i in starts]
    if any(part is None for part in parts):
        return None
    means, variances = zip(*parts, strict=True)
    return np.concatenate(means), spread and np.concatenate(variances)


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
