"""Polynomial: all monomials up to a degree."""

from numbers import Integral

from .._covariance.features import Term
from .._covariance.nonstationary import lines_of_dot_product
from .._covariance.registry import KernelRecord, register
from ._base import Kernel


class Polynomial(Kernel):
    """k(x, z) = (sigma_0^2 + x'z)^degree (GPML 4.2.2).

    Bayesian regression on all monomials of the features up to the degree.

    Parameters
    ----------
    degree : int, default=2
    sigma_0 : float, default=1.0
        The smaller, the more weight on the monomials of the full degree; 0 (with
        ``sigma_0_bounds="fixed"``) leaves no others.
    sigma_0_bounds : pair or "fixed", default=(1e-5, 1e5)
    """

    parameters = ("sigma_0",)
    may_be_zero = parameters

    def __init__(self, degree=2, sigma_0=1.0, sigma_0_bounds=(1e-5, 1e5)):
        self.degree = degree
        self.sigma_0 = sigma_0
        self.sigma_0_bounds = sigma_0_bounds

    def check(self, n_features):
        super().check(n_features)
        integer = isinstance(self.degree, Integral) and self.degree is not True
        if not integer or self.degree < 1:
            raise ValueError(
                "The 'degree' parameter of Polynomial must be an integer of at least "
                f"1. Got {self.degree!r} instead."
            )


def _powers(params, base):
    """base^p, its pullback, and its derivative in base."""
    p, variance = params["degree"], params["sigma_0"] ** 2
    slope = p * base ** (p - 1)
    return base**p, lambda G: {"sigma_0": 2 * variance * (G * slope).sum()}, slope


def _dense(params, X, Z):
    return _powers(params, X @ Z.mT + params["sigma_0"] ** 2)[:2]


def _diag(params, X):
    return _powers(params, X.square().sum(-1) + params["sigma_0"] ** 2)[:2]


def _slope(params, X, Z):
    K, _, slope = _powers(params, X @ Z.mT + params["sigma_0"] ** 2)
    return K, lambda G: (G * slope) @ Z


def _terms(kernel, d, terms):
    def line(rng, shape):
        return lines_of_dot_product(kernel, rng, shape)

    return [Term(1.0, lines=(line,) * kernel.degree)]


register(
    Polynomial,
    KernelRecord(_dense, _diag, slope=_slope, terms=_terms, check=Polynomial.check),
)
