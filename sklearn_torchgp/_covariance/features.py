"""Random functions whose covariance is a kernel: the prior, written down.

Of a kernel k we draw functions phi with E phi(x) phi(z) = k(x, z), exactly:

- stationary: sqrt(2) cos(omega' x + b), omega from the spectral density of k, b uniform
  (Bochner; GPML 4.2.1): normal for RBF; Student t with 2 nu degrees for Matern; normal
  with a gamma-distributed precision for RationalQuadratic; a multiple of 2 pi / p for
  ExpSineSquared in one dimension (the multiple is a difference of two Poisson counts,
  whose law is that of its Fourier series);
- DotProduct: sigma_0 e_0 + e' x with normal e;
- a product of kernels: the product of such functions; a sum: each part on its own.

A normally weighted mean of D of them is normal as D grows; its covariance, over all
that is random, is k at every D. White noise is no function and has none.
"""

import math
from dataclasses import dataclass
from itertools import product as pairs

import numpy as np
import torch
from sklearn.gaussian_process import kernels


@dataclass(frozen=True)
class Term:
    """variance times a product of stationary kernels (`waves`) and DotProducts."""

    variance: float
    waves: tuple = ()
    lines: tuple = ()

    def __mul__(self, other):
        return Term(
            self.variance * other.variance,
            self.waves + other.waves,
            self.lines + other.lines,
        )


def terms(kernel):
    """The kernel as a list of Terms; ValueError for a kernel that has none."""
    kind = type(kernel)
    if kind is kernels.Sum:
        return terms(kernel.k1) + terms(kernel.k2)
    if kind is kernels.Product:
        return [a * b for a, b in pairs(terms(kernel.k1), terms(kernel.k2))]
    if kind is kernels.Exponentiation and kernel.exponent in (1, 2, 3, 4):
        base, result = terms(kernel.kernel), [Term(1.0)]
        for _ in range(int(kernel.exponent)):
            result = [a * b for a, b in pairs(result, base)]
        return result
    if kind is kernels.WhiteKernel:
        return []
    if kind is kernels.ConstantKernel:
        return [Term(kernel.constant_value)]
    if kind is kernels.DotProduct:
        return [Term(1.0, lines=(kernel.sigma_0,))]
    if kind in _FREQUENCIES:
        return [Term(1.0, waves=(kernel,))]
    raise ValueError(
        f"The 'kernel' parameter has a part, {kernel}, without random features. "
        "sample_paths allows sums, products and small integer powers of RBF, Matern, "
        "RationalQuadratic, ExpSineSquared (one feature), DotProduct, ConstantKernel "
        "and WhiteKernel. Use sample_y for draws at given rows."
    )


def _rbf(kernel, rng, shape):
    return rng.standard_normal(shape) / kernel.length_scale


def _matern(kernel, rng, shape):
    if kernel.nu == math.inf:
        return _rbf(kernel, rng, shape)
    degrees = 2 * kernel.nu
    spread = np.sqrt(degrees / rng.chisquare(degrees, (*shape[:-1], 1)))
    return spread * rng.standard_normal(shape) / kernel.length_scale


def _rational_quadratic(kernel, rng, shape):
    precision = rng.gamma(kernel.alpha, 1 / kernel.alpha, (*shape[:-1], 1))
    return np.sqrt(precision) * rng.standard_normal(shape) / kernel.length_scale


def _exp_sine_squared(kernel, rng, shape):
    if shape[-1] != 1:
        raise ValueError(
            f"The 'kernel' parameter has a part, {kernel}, that is a covariance in one "
            f"dimension only, and X has {shape[-1]} features. Use sample_y."
        )
    rate = 0.5 / kernel.length_scale**2
    multiple = rng.poisson(rate, shape) - rng.poisson(rate, shape)
    return 2 * math.pi / kernel.periodicity * multiple


_FREQUENCIES = {
    kernels.RBF: _rbf,
    kernels.Matern: _matern,
    kernels.RationalQuadratic: _rational_quadratic,
    kernels.ExpSineSquared: _exp_sine_squared,
}


class PriorPaths:
    """Functions drawn from the prior of one Term.

    Parameters
    ----------
    term : Term
    n_features : int
        Random functions in each path.
    n_paths : int
    d : int
        Number of columns of X.
    rng : RandomState
    """

    def __init__(self, term, n_features, n_paths, d, rng):
        D = n_features if term.waves or term.lines else 1
        self.omega = np.zeros((n_paths, D, d))
        for kernel in term.waves:
            draw = _FREQUENCIES[type(kernel)]
            self.omega += draw(kernel, rng, (n_paths, D, d))
        self.wave = bool(term.waves)
        self.phase = rng.uniform(0, 2 * math.pi, (n_paths, D))
        self.lines = []
        for sigma_0 in term.lines:
            slope = rng.standard_normal((n_paths, D, d))
            self.lines.append((slope, sigma_0 * rng.standard_normal((n_paths, D))))
        amplitude = math.sqrt(term.variance * (2 if self.wave else 1) / D)
        self.weight = amplitude * rng.standard_normal((n_paths, D))

    def __call__(self, X):
        """The paths at X: tensor (m, n_paths) in float64, for an ndarray X (m, d)."""
        X = torch.from_numpy(np.ascontiguousarray(X, dtype=np.float64))
        values = []
        for p, weight in enumerate(self.weight):
            phi = torch.ones(len(X), len(weight), dtype=torch.float64)
            if self.wave:
                phi = X @ torch.from_numpy(self.omega[p]).mT
                phi.add_(torch.from_numpy(self.phase[p])).cos_()
            for slope, offset in self.lines:
                line = X @ torch.from_numpy(slope[p]).mT
                phi *= line + torch.from_numpy(offset[p])
            values.append(phi @ torch.from_numpy(weight))
        return torch.stack(values, dim=1)
