"""Categorical: features that are equal or are not."""

import torch

from .._covariance.registry import KernelRecord, register
from ._base import Kernel


class Categorical(Kernel):
    """k(x, z) = exp(-sum_k [x_k != z_k] / l_k): the weighted Hamming distance.

    Categories are exchangeable: any two different ones are equally alike. Rows hold
    codes, as `sklearn.preprocessing.OrdinalEncoder` gives them; their order means
    nothing. A category that was not there in training is as unlike all others.

    Parameters
    ----------
    length_scale : float or array-like of shape (d,), default=1.0
        The larger, the more alike are different categories.
    length_scale_bounds : pair, "fixed", or a list with one of these for each \
            feature, default=(1e-5, 1e5)

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sklearn_torchgp.kernels import Categorical, Columns
    >>> kernel = Columns(RBF(), [0, 1]) * Columns(Categorical(), [2])
    """

    parameters = ("length_scale",)
    per_feature = parameters
    stationary = True

    def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5)):
        self.length_scale = length_scale
        self.length_scale_bounds = length_scale_bounds


def _differ(X, Z):
    """[x_k != z_k] for all pairs: one (m, n) tensor for each feature k."""
    for k in range(X.shape[-1]):
        yield (X[..., :, None, k] != Z[..., None, :, k]).to(X.dtype)


def _dense(params, X, Z):
    scale, d = params["length_scale"], X.shape[-1]
    rate = 1 / scale if isinstance(scale, torch.Tensor) else [1 / scale] * d
    distance = sum(r * differ for r, differ in zip(rate, _differ(X, Z), strict=True))
    K = torch.exp(-distance)

    def pullback(G):
        W = G * K
        if not isinstance(scale, torch.Tensor):
            return {"length_scale": (W * distance).sum()}
        gains = [(W * differ).sum() for differ in _differ(X, Z)]
        return {"length_scale": torch.stack(gains) / scale}

    return K, pullback


def _diag(params, X):
    return 1.0, lambda total: {}


def _slope(params, X, Z):
    return _dense(params, X, Z)[0], lambda G: torch.zeros_like(X)


register(
    Categorical,
    KernelRecord(_dense, _diag, slope=_slope, check=Categorical.check),
)
