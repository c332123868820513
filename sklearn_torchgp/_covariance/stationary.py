"""Kernels of the distance between rows (GPML 4.2.1).

RBF, Matern and RationalQuadratic are functions of r = |s|, s_k = (x_k - z_k) / l_k.
Their derivative in log l_k is w(r) s_k^2 with a weight w = -k'(r) / r of their own;
that is all a pullback needs, and with M = G * w the sum is ``apart.weighted(M, l)``.
They take the differences of all pairs, `apart`, in place of the rows.
"""

import math

import numpy as np
import torch
from scipy.special import gammaln, kve
from sklearn.gaussian_process import kernels

from .leaf import nothing
from .registry import TorchKernel, register


def rbf(params, apart):
    """exp(-r^2 / 2) (GPML 4.9)."""
    length_scale = params["length_scale"]
    K = exp_(apart.squared(length_scale), -0.5)
    return K, lambda G: {"length_scale": apart.weighted(G * K, length_scale)}


def matern(params, apart):
    """2^(1-nu) / Gamma(nu) t^nu K_nu(t), t = sqrt(2 nu) r (GPML 4.14).

    The weight is nu / (nu - 1) times the Matern function of order nu - 1 at the same
    t, from d/dt t^nu K_nu(t) = -t^nu K_{nu-1}(t).
    """
    nu = params["nu"]
    if nu == math.inf:
        return rbf(params, apart)
    length_scale = params["length_scale"]
    t = apart.distance(length_scale).mul_(math.sqrt(2 * nu))
    K = matern_profile(nu, t)

    def pullback(G):
        if nu > 1:
            weight = matern_profile(nu - 1, t).mul_(nu / (nu - 1))
        else:
            weight = _rough_weight(nu, t)
        return {"length_scale": apart.weighted(weight.mul_(G), length_scale)}

    return K, pullback


def matern_profile(nu, t):
    """2^(1-nu) / Gamma(nu) t^nu K_nu(t), which is 1 at t = 0."""
    p = nu - 0.5
    if p == int(p) and p <= 20:
        return _half_integer(int(p), t)
    if nu > 100:
        return _large_order(nu, t)
    x = t.cpu().numpy().astype(np.float64)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_k = (1 - nu) * math.log(2) - gammaln(nu) + nu * np.log(x) - x
        K = np.exp(log_k + np.log(kve(nu, x)))
    # K_nu overflows near 0, where k = 1 - O(x^2) (nu > 1) and 1 - O(x^(2 nu)) below.
    near = 1 - x**2 / (4 * (nu - 1)) if nu > 1 else 1.0
    K = np.where(np.isfinite(K), K, np.clip(near, 0.0, 1.0))
    return torch.from_numpy(K).to(t)


def _large_order(nu, t):
    """Debye's expansion of K_nu (DLMF 10.41.4), which cannot overflow; to 1e-10.

    With z = t / nu and s = sqrt(1 + z^2), relative to its value at t = 0.
    """
    s = (1 + (t / nu).square()).sqrt()

    def series(p):
        U1 = p * (3 - 5 * p**2) / 24
        U2 = p**2 * (81 - 462 * p**2 + 385 * p**4) / 1152
        U3 = 30375 - 369603 * p**2 + 765765 * p**4 - 425425 * p**6
        return 1 - U1 / nu + U2 / nu**2 - p**3 * U3 / (414720 * nu**3)

    # s - 1, and log((1 + s) / 2), without cancellation
    rise = (t / nu).square() / (1 + s)
    log_k = nu * ((rise / 2).log1p() - rise)
    return log_k.exp() * series(1 / s) / (series(1.0) * s.sqrt())


def _half_integer(p, t):
    """nu = p + 1/2: exp(-t) times a polynomial of degree p (GPML 4.16)."""
    K = exp_(t.clone(), -1.0)
    if p == 0:
        return K
    lead = math.factorial(p) / math.factorial(2 * p)
    coefficients = [
        lead * math.factorial(p + i) / (math.factorial(i) * math.factorial(p - i))
        for i in range(p + 1)
    ]
    # The sum is over (2 t)^(p - i), so Horner takes the coefficients from i = 0.
    polynomial = torch.full_like(t, coefficients[0])
    for c in coefficients[1:]:
        polynomial.mul_(t).mul_(2).add_(c)
    return K.mul_(polynomial)


def _rough_weight(nu, t):
    """-k'(r) / r for nu <= 1, unbounded at 0, where s_k^2 = 0 makes the product 0."""
    if nu == 0.5:
        weight = exp_(t.clone(), -1.0).div_(t)
    else:
        x = t.cpu().numpy().astype(np.float64)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            log_w = (1 - nu) * math.log(2) - gammaln(nu) + (nu - 1) * np.log(x) - x
            weight = 2 * nu * np.exp(log_w + np.log(kve(abs(nu - 1), x)))
        weight = torch.from_numpy(weight).to(t)
    return weight.masked_fill_(t == 0, 0.0)


def rational_quadratic(params, apart):
    """(1 + r^2 / (2 alpha))^-alpha (GPML 4.19), isotropic."""
    alpha = params["alpha"]
    r2 = apart.squared(params["length_scale"])
    base = 1 + r2 / (2 * alpha)
    K = base**-alpha

    def pullback(G):
        M = G * K
        by_base = r2 / base
        d_alpha = (M * (0.5 * by_base - alpha * base.log())).sum()
        return {"alpha": d_alpha, "length_scale": (M * by_base).sum()}

    return K, pullback


def exp_sine_squared(params, apart):
    """exp(-2 sin^2(pi |x - z| / p) / l^2) (GPML 4.31), isotropic."""
    scale = 2 / params["length_scale"] ** 2
    phase = apart.distance(1.0).mul_(math.pi / params["periodicity"])
    sine = phase.sin()
    K = exp_(sine.square(), -scale)

    def pullback(G):
        M = G * K
        d_period = 2 * scale * (M * phase * phase.cos() * sine).sum()
        return {
            "length_scale": 2 * scale * (M * sine.square()).sum(),
            "periodicity": d_period,
        }

    return K, pullback


def exp_(x, factor):
    """Overwrite x with exp(factor * x).

    As a power of two: torch's float64 exp2 took 0.36 ns an entry on a core, exp 1.24.
    Its last bit depends on the place in memory; float32 has no bit to spare for that.
    """
    if x.dtype == torch.float32:
        return x.mul_(factor).exp_()
    return x.mul_(factor * math.log2(math.e)).exp2_()


def unit_diag(params):
    """k(x, x) = 1."""
    return 1.0, nothing


def _check_length_scale(kernel, n_features):
    length_scale = np.squeeze(kernel.length_scale)
    if length_scale.ndim > 1:
        raise ValueError(
            "length_scale cannot be of dimension greater than 1. Got an array of "
            f"shape {length_scale.shape}; give one value or one for each feature."
        )
    if length_scale.ndim == 1 and length_scale.shape[0] != n_features:
        raise ValueError(
            "Anisotropic kernel must have the same number of dimensions as data "
            f"({length_scale.shape[0]}!={n_features}); give length_scale one value "
            "or one for each feature."
        )


def _check_isotropic(kernel, n_features):
    if np.size(kernel.length_scale) != 1:
        raise ValueError(
            f"{type(kernel).__name__} takes a single length_scale. Got "
            f"{kernel.length_scale!r}; scale the features or use RBF or Matern."
        )


def _radial(function, check):
    return TorchKernel(function, diag=unit_diag, radial=True, check=check)


register(kernels.RBF, _radial(rbf, _check_length_scale))
register(kernels.Matern, _radial(matern, _check_length_scale))
register(kernels.RationalQuadratic, _radial(rational_quadratic, _check_isotropic))
register(kernels.ExpSineSquared, _radial(exp_sine_squared, _check_isotropic))
