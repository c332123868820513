"""From a kernel of the features to one of long rows (x, output), and its start."""

import copy

import numpy as np
from sklearn.gaussian_process.kernels import (
    ConstantKernel,
    Kernel,
    Product,
    Sum,
    WhiteKernel,
)

from .._covariance.acquaint import acquaint
from ..kernels import Columns, Coregion

OUTPUT = "output"  # what the last column of long rows is called beside named features

# Of what an output varies by: what is noise at the start, and the least and most of it.
NOISE, LEAST_NOISE, MOST_NOISE = 0.1, 1e-6, 10.0
# The like for the function that an output has for itself, and bounds of W.
OWN, LEAST_OWN, MOST_OWN, MOST_W = 0.1, 1e-8, 100.0, 10.0


def long_kernel(estimator, X, z, names, weight=None):
    """The kernel that a regressor with multi_output="icm" starts from.

    Parameters
    ----------
    estimator : regressor
        Its `kernel` is one of the features, or, where a `Coregion` is part of it, of
        long rows already.
    X : ndarray (n, d)
    z : ndarray (n, t)
        Targets of the process, NaN where missing.
    names : ndarray of str (d,), or None
    weight : ndarray (n,), default=None
    """
    kernel = copy.deepcopy(estimator._initial_kernel())
    t = z.shape[1]
    if _has_coregion(kernel):
        named = None if names is None else [*names, OUTPUT]
        acquaint(kernel, names=named)
        return kernel
    acquaint(kernel, names=names)
    kernel, white = _without_noise(kernel)
    if kernel is None:
        raise ValueError(
            "The 'kernel' parameter is white noise only, which outputs cannot have in "
            "common. Add a kernel such as RBF."
        )
    if estimator.rank > t:
        raise ValueError(
            f"The 'rank' parameter is {estimator.rank}, but y has {t} target(s): more "
            "columns than that are the same matrix again."
        )
    _fix_amplitude(kernel)
    features = Columns(kernel, slice(None, -1))
    scale, correlations = _second_moments(z, weight)
    of_features = _amplitude(kernel, X)
    outputs = _coregion(correlations, scale / np.sqrt(of_features), estimator.rank)
    return features * Columns(outputs, -1) + _noise(white, scale)


def _has_coregion(kernel):
    if isinstance(kernel, Coregion):
        return True
    parts = vars(kernel).values()
    return any(_has_coregion(part) for part in parts if isinstance(part, Kernel))


def _without_noise(kernel):
    """The terms of a sum without the white ones, or None; and the white ones."""
    if isinstance(kernel, WhiteKernel):
        return None, [kernel]
    if not isinstance(kernel, Sum):
        return kernel, []
    (one, white), (other, more) = map(_without_noise, (kernel.k1, kernel.k2))
    if one is None or other is None:
        return one or other, white + more
    return one + other, white + more


def _fix_amplitude(kernel):
    """Constant factors as they are: B says how much each output varies."""
    if isinstance(kernel, ConstantKernel):
        kernel.constant_value_bounds = "fixed"
    elif isinstance(kernel, Product):
        _fix_amplitude(kernel.k1)
        _fix_amplitude(kernel.k2)


def _amplitude(kernel, X):
    """Mean of k(x, x)."""
    try:
        value = float(np.mean(kernel.diag(X)))
    except (TypeError, ValueError):  # a kernel that is to hear of the data first
        return 1.0
    return value if np.isfinite(value) and value > 0 else 1.0


def _second_moments(z, weight):
    """Root mean square of each target, 1 of one that is zero, and their correlations.

    Both are about zero; of two targets in the rows that have both, 0 if there are none.
    """
    known = (~np.isnan(z)).astype(float)
    known *= 1.0 if weight is None else weight[:, None]
    values = np.where(np.isnan(z), 0.0, z)
    most = np.abs(values).max(axis=0)
    most = np.where(most > 0, most, 1.0)
    values = values / most  # squares of 1e200 are none
    squares = np.square(values).T @ known
    own = squares.diagonal() / known.sum(axis=0)
    scale = most * np.where(own > 0, np.sqrt(own), 1.0)
    seen = known > 0
    common, size = (values * known).T @ (values * seen), np.sqrt(squares * squares.T)
    C = np.divide(common, size, out=np.zeros_like(common), where=size > 0)
    np.fill_diagonal(C, 1.0)
    return scale, C


def _coregion(correlations, scale, rank):
    """The Coregion of outputs of such scales, started at what they correlate by."""
    values, vectors = np.linalg.eigh(correlations)
    first = np.argsort(-values)[:rank]
    W = vectors[:, first] * np.sqrt(np.maximum(values[first], 0.0))
    size = np.sqrt(np.square(W).sum(axis=1, keepdims=True))
    W *= np.sqrt(1 - OWN) / np.maximum(size, np.sqrt(1 - OWN))
    kappa = 1 - np.square(W).sum(axis=1)
    by_element = np.repeat(scale, rank)[:, None]
    return Coregion(
        len(scale),
        rank,
        W * scale[:, None],
        kappa * scale**2,
        by_element * [-MOST_W, MOST_W] if rank else "fixed",
        (scale**2)[:, None] * [LEAST_OWN, MOST_OWN],
    )


def _noise(white, scale):
    """White noise of each output, as the kernel had it or else a tenth of all."""
    level, bounds = NOISE * scale**2, (scale**2)[:, None] * [LEAST_NOISE, MOST_NOISE]
    if white:
        level = np.full(len(scale), sum(one.noise_level for one in white))
        bounds = white[0].noise_level_bounds
    outputs = Coregion(len(scale), 0, None, level, kappa_bounds=bounds)
    return WhiteKernel(1.0, "fixed") * Columns(outputs, -1)
