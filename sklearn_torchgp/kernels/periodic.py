"""Periodic: exact repetition, with a period for each feature."""

import math

import torch

from .._covariance.distance import Separation
from .._covariance.phases import sines_of_rows, weighted_sines
from .._covariance.registry import KernelRecord, register
from .._covariance.stationary import exp_, unit_diag
from ._base import Kernel


class Periodic(Kernel):
    """k(x, z) = exp(-2 sum_k sin^2(pi (x_k - z_k) / p_k) / l_k^2).

    A product of one periodic kernel (GPML 4.31) for each feature, positive definite in
    any dimension: RBF on the circles on which the features lie. scikit-learn's
    `ExpSineSquared`, the same in one dimension, is of the sine of the distance, which
    is no covariance of more.

    Parameters
    ----------
    length_scale : float or array-like of shape (d,), default=1.0
    periodicity : float or array-like of shape (d,), default=1.0
    length_scale_bounds, periodicity_bounds : pair, "fixed", or a list with one of \
            these for each feature, default=(1e-5, 1e5)
    """

    parameters = ("length_scale", "periodicity")
    per_feature = parameters
    stationary = True

    def __init__(
        self,
        length_scale=1.0,
        periodicity=1.0,
        length_scale_bounds=(1e-5, 1e5),
        periodicity_bounds=(1e-5, 1e5),
    ):
        self.length_scale = length_scale
        self.periodicity = periodicity
        self.length_scale_bounds = length_scale_bounds
        self.periodicity_bounds = periodicity_bounds


class _Circles:
    """Rows as points on circles of radius 1 / l_k, and the kernel of two such sets."""

    def __init__(self, params, X, Z):
        self.l, self.p = params["length_scale"], params["periodicity"]
        self.phi = X * (2 * math.pi / self.p)
        self.psi = self.phi if Z is X else Z * (2 * math.pi / self.p)
        u, v = (
            torch.cat([phase.cos() / self.l, phase.sin() / self.l], -1)
            for phase in (self.phi, self.psi)
        )
        self.apart = Separation(u, v)
        self.K = exp_(self.apart.squared(1.0), -0.5)


def _dense(params, X, Z):
    circles = _Circles(params, X, Z)
    K, phi, psi = circles.K, circles.phi, circles.psi
    l, p = circles.l, circles.p

    def pullback(G):
        W, d = G * K, phi.shape[-1]
        chords = circles.apart.weighted(W, K.new_ones(2 * d))
        by_scale = chords.reshape(2, d).sum(0)
        by_period = weighted_sines(W, phi, psi) / (l * l)
        return {
            "length_scale": by_scale if _several(l) else by_scale.sum(),
            "periodicity": by_period if _several(p) else by_period.sum(),
        }

    return K, pullback


def _several(value):
    return isinstance(value, torch.Tensor)


def _slope(params, X, Z):
    circles = _Circles(params, X, Z)
    factor = -2 * math.pi / circles.p / (circles.l * circles.l)

    def pull(G):
        return factor * sines_of_rows(G * circles.K, circles.phi, circles.psi)

    return circles.K, pull


def _diag(params, X):
    return unit_diag(params)


def _frequencies(kernel, rng, shape):
    """Multiples of 2 pi / p, by differences of two Poisson counts: their law is that
    of the Fourier series.
    """
    rate = 0.5 / kernel.form_value("length_scale") ** 2
    multiple = rng.poisson(rate, shape) - rng.poisson(rate, shape)
    return 2 * math.pi / kernel.form_value("periodicity") * multiple, 1.0


register(
    Periodic,
    KernelRecord(
        _dense,
        _diag,
        slope=_slope,
        frequencies=_frequencies,
        inputs="centred",
        check=Periodic.check,
    ),
)
