"""Kernels of the distance between rows (GPML 4.2.1).

RBF, Matern, RationalQuadratic and ExpSineSquared are functions of r = |s|,
s_k = (x_k - z_k) / l_k. A *profile* gives, from the distances of all pairs, the value
k, a function for the weight w = -k'(r) / r, and functions for the changes with the
logarithms of hyperparameters. The weight serves twice: the change with log l_k is
w s_k^2 (named among the changes where r^2 is at hand: kernels with one scale for all
features), that with x_k is -w s_k / l_k. It is finite at r = 0, or set to 0 where the
kernel has a kink there, so that gradients are finite at training rows.

RBF's and Matern's profiles work on NumPy arrays as on tensors, for few rows.
"""

import math
from functools import cache

import numpy as np
import torch
from scipy.special import betaincinv, chdtri, gammainccinv, ive
from sklearn.gaussian_process import kernels

from .bessel import bessel, rough_weight
from .leaf import nothing
from .registry import KernelRecord, register
from .tails import stratified, tail_probabilities, upper_quantiles

LOG2_E = math.log2(math.e)


def rbf(params, apart):
    """exp(-r^2 / 2) (GPML 4.9)."""
    K = exp_of_squares(apart, params["length_scale"], -0.5)
    return K, lambda: K, {}


def matern(params, apart):
    """2^(1-nu) / Gamma(nu) t^nu K_nu(t), t = sqrt(2 nu) r (GPML 4.14).

    The weight is nu / (nu - 1) times the Matern function of order nu - 1 at the same
    t, from d/dt t^nu K_nu(t) = -t^nu K_{nu-1}(t).
    """
    nu = params["nu"]
    if nu == math.inf:
        return rbf(params, apart)
    t = apart.distance(params["length_scale"])
    t *= math.sqrt(2 * nu)
    if _half_integer(nu):
        return *_half_integer_profile(int(nu), t), {}
    if nu > 1:
        return bessel(nu, t), lambda: bessel(nu - 1, t) * (nu / (nu - 1)), {}
    return bessel(nu, t), lambda: rough_weight(nu, t), {}


def _half_integer(nu):
    return nu <= 20.5 and nu % 1 == 0.5


def _half_integer_profile(p, t):
    """nu = p + 1/2: exp(-t) times a polynomial of degree p (GPML 4.16)."""
    decay = exp_(-t)
    if p == 0:
        return decay, lambda: decay * (t > 0) / (t + (t == 0))
    K = _polynomial(p, t)
    K *= decay
    factor = (2 * p + 1) / (2 * p - 1)

    def weight():
        w = decay * factor
        if p > 1:
            w *= _polynomial(p - 1, t)
        return w

    return K, weight


def _polynomial(p, t):
    """1 + t + ... of GPML 4.16 by Horner's rule, t being left as it is."""
    first, *others = _ratios(p)
    total = 1 + (t if first == 1 else first * t)
    for ratio in others:
        total *= t
        if ratio != 1:
            total *= ratio
        total += 1
    return total


@cache
def _ratios(p):
    """Of the coefficients of t^j and t^(j - 1), from j = p down to 1."""
    return [2 * (p - j + 1) / (j * (2 * p - j + 1)) for j in range(p, 0, -1)]


def rational_quadratic(params, apart):
    """(1 + r^2 / (2 alpha))^-alpha (GPML 4.19), isotropic."""
    alpha = params["alpha"]
    x = apart.squared(params["length_scale"]).div_(2 * alpha)
    base = 1 + x
    log = base.log()
    K = exp_(log.clone(), -alpha)
    changes = {
        "alpha": lambda: (x / base).sub_(log).mul_(K).mul_(alpha),
        "length_scale": lambda: (x / base).mul_(K).mul_(2 * alpha),
    }
    return K, lambda: K / base, changes


def exp_sine_squared(params, apart):
    """exp(-2 sin^2(pi r) / l^2), r = |x - z| / p (GPML 4.31), isotropic."""
    scale = 2 / params["length_scale"] ** 2
    phase = apart.distance(params["periodicity"]).mul_(math.pi)
    sine = phase.sin()
    K = exp_(sine.square(), -scale)

    def by_period():
        return (phase * sine).mul_(phase.cos()).mul_(K).mul_(2 * scale)

    def weight():  # where the phase is 0 so are the differences that it multiplies
        r2 = (phase / math.pi).square_()
        return by_period().div_(r2.clamp_min_(torch.finfo(r2.dtype).tiny))

    changes = {
        "length_scale": lambda: sine.square().mul_(K).mul_(2 * scale),
        "periodicity": by_period,
    }
    return K, weight, changes


def exp_(x, factor=1.0):
    """Overwrite x with exp(factor * x).

    As a power of two: torch's float64 exp2 took 0.36 ns an entry on a core, exp 1.24.
    Its last bit depends on the place in memory; float32 has no bit to spare for that.
    """
    if isinstance(x, np.ndarray):
        return np.exp(x if factor == 1 else np.multiply(x, factor, out=x), out=x)
    if x.dtype == torch.float32:
        return x.mul_(factor).exp_()
    return x.mul_(factor * LOG2_E).exp2_()


def exp_of_squares(apart, length_scale, factor):
    """exp(factor * r^2); the products that r^2 comes from bring the factor along."""
    if getattr(apart, "dtype", None) == torch.float64:
        return apart.squared(length_scale, factor * LOG2_E).exp2_()
    return exp_(apart.squared(length_scale), factor)


def unit_diag(params):
    """k(x, x) = 1."""
    return 1.0, nothing


def _frequencies(kernel, rng, shape, square):
    """Frequencies with a length that often lies in the tail, and their weights.

    `square` takes tail probabilities (paths, D) to the square of the length in units
    of 1 / length_scale.
    """
    u, weight = tail_probabilities(rng, shape[:-1])
    way = rng.standard_normal(shape)
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    length = np.sqrt(upper_quantiles(square, u))[..., None]
    return length * way / kernel.length_scale, weight


def _frequencies_of_rbf(kernel, rng, shape):
    """Normal: the square of the length is chi-square."""
    return _frequencies(kernel, rng, shape, lambda u: chdtri(shape[-1], u))


def _frequencies_of_matern(kernel, rng, shape):
    """Student t with 2 nu degrees: the square of the length is d times an F."""
    nu, d = kernel.nu, shape[-1]
    if nu == math.inf:
        return _frequencies_of_rbf(kernel, rng, shape)
    return _frequencies(
        kernel, rng, shape, lambda u: 2 * nu * (1 / betaincinv(nu, 0.5 * d, u) - 1)
    )


def _frequencies_of_rational_quadratic(kernel, rng, shape):
    """Normal, with a gamma-distributed precision."""
    u, weight = tail_probabilities(rng, shape[:-1])
    precision = upper_quantiles(
        lambda u: gammainccinv(kernel.alpha, u) / kernel.alpha, u
    )
    omega, of_normal = _frequencies_of_rbf(kernel, rng, shape)
    return np.sqrt(precision)[..., None] * omega, weight * of_normal


def _frequencies_of_exp_sine_squared(kernel, rng, shape):
    """Multiples of 2 pi / p with the weights of the Fourier series."""
    if shape[-1] != 1:
        raise ValueError(
            f"The 'kernel' parameter has a part, {kernel}, that is a covariance in one "
            f"dimension only, and X has {shape[-1]} features. Use sample_y."
        )
    rate = 1 / kernel.length_scale**2
    # Of the modulus; those beyond weigh less than the last digit.
    multiples = np.arange(10 + 10 * math.ceil(math.sqrt(rate) + rate**0.25))
    law = ive(multiples, rate) * np.where(multiples > 0, 2, 1)
    law /= law.sum()
    proposal = 0.5 * law + 0.5 / len(law)
    s = stratified(rng, shape[:-1])
    index = np.searchsorted(np.cumsum(proposal)[:-1], s, side="right")
    omega = 2 * math.pi / kernel.periodicity * multiples[index]
    return omega[..., None], (law / proposal)[index]


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


def radial(profile, scale="length_scale", **fields):
    """The KernelRecord of a profile of r = |x - z| / scale."""

    def dense(params, apart):
        k, weight, changes = profile(params, apart)

        def pullback(G):
            found = {name: (G * change()).sum() for name, change in changes.items()}
            if scale not in found:
                found[scale] = apart.weighted(G * weight(), params[scale])
            return found

        return k, pullback

    def slope(params, apart):
        k, weight, _ = profile(params, apart)
        return k, lambda G: apart.slope(G * weight(), params[scale])

    return KernelRecord(dense, unit_diag, slope=slope, inputs="pairs", **fields)


register(
    kernels.RBF,
    radial(
        rbf,
        frequencies=_frequencies_of_rbf,
        falls_with="length_scale",
        few=True,
        check=_check_length_scale,
    ),
)
register(
    kernels.Matern,
    radial(
        matern,
        frequencies=_frequencies_of_matern,
        falls_with="length_scale",
        few=lambda kernel: kernel.nu == math.inf or _half_integer(kernel.nu),
        check=_check_length_scale,
    ),
)
register(
    kernels.RationalQuadratic,
    radial(
        rational_quadratic,
        frequencies=_frequencies_of_rational_quadratic,
        falls_with="length_scale",
        check=_check_isotropic,
    ),
)
register(
    kernels.ExpSineSquared,
    radial(
        exp_sine_squared,
        "periodicity",
        frequencies=_frequencies_of_exp_sine_squared,
        check=_check_isotropic,
    ),
)
