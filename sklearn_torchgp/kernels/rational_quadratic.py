"""RationalQuadratic with a length scale for each feature."""

import numpy as np
import torch

from .._covariance.registry import register
from .._covariance.stationary import radial
from ._base import Kernel


class RationalQuadratic(Kernel):
    """k(x, z) = (1 + r^2 / (2 alpha))^-alpha, r^2 = sum_k (x_k - z_k)^2 / l_k^2.

    A mixture of RBF kernels of many length scales (GPML 4.19). scikit-learn's has one
    length scale for all features.

    Parameters
    ----------
    length_scale : float or array-like of shape (d,), default=1.0
    alpha : float, default=1.0
        Small: more scales; RBF as it grows.
    length_scale_bounds, alpha_bounds : pair, "fixed", or (of length scales) a list \
            with one of these for each feature, default=(1e-5, 1e5)
    """

    parameters = ("length_scale", "alpha")
    per_feature = ("length_scale",)
    stationary = True

    def __init__(
        self,
        length_scale=1.0,
        alpha=1.0,
        length_scale_bounds=(1e-5, 1e5),
        alpha_bounds=(1e-5, 1e5),
    ):
        self.length_scale = length_scale
        self.alpha = alpha
        self.length_scale_bounds = length_scale_bounds
        self.alpha_bounds = alpha_bounds


def _profile(params, apart):
    alpha = params["alpha"]
    x = apart.squared(params["length_scale"]) / (2 * alpha)
    numbers = np if isinstance(x, np.ndarray) else torch  # few rows, or tensors
    base, log = 1 + x, numbers.log1p(x)
    K = numbers.exp(-alpha * log)
    return K, lambda: K / base, {"alpha": lambda: alpha * K * (x / base - log)}


def _frequencies(kernel, rng, shape):
    """Normal, with a gamma-distributed precision."""
    precision = rng.gamma(kernel.alpha, 1 / kernel.alpha, (*shape[:-1], 1))
    scale = kernel.form_value("length_scale")
    return np.sqrt(precision) * rng.standard_normal(shape) / scale, 1.0


register(
    RationalQuadratic,
    radial(_profile, frequencies=_frequencies, few=True, check=RationalQuadratic.check),
)
