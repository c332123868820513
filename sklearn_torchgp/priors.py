"""Prior distributions of hyperparameters, for the parameter `priors` of an estimator.

``priors={"k1__k2__length_scale": LogNormal(0.0, 1.0)}`` adds the log density of that
hyperparameter to what `fit` maximises: the maximum a posteriori (MAP) in place of the
maximum of the likelihood. The names are those of ``kernel.get_params()``. A length
scale for each feature takes one prior for all of them, or a list with one for each.

The densities are of the hyperparameter itself. The optimiser moves its logarithm, but
the factor that would turn a density of the one into a density of the other (the
Jacobian) is left out: it is the MAP of the length scale that `fit` finds, not that of
its logarithm.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import gammaln

__all__ = ["Gamma", "HalfNormal", "LogNormal", "Prior"]


class Prior(ABC):
    """A distribution of a positive number.

    A subclass that says `log_density` and `slope` goes wherever the ones below do.
    """

    @abstractmethod
    def log_density(self, value):
        """Log of the normalised density.

        Parameters
        ----------
        value : array-like of shape (k,)
            Positive.

        Returns
        -------
        log_p : ndarray of shape (k,)
        """

    @abstractmethod
    def slope(self, value):
        """Derivative of `log_density` in the logarithm of the value: ndarray (k,)."""

    def _check(self, *, any_sign=()):
        """Raise ValueError unless all fields are finite and positive numbers."""
        for field in fields(self):
            value = getattr(self, field.name)
            good = _is_finite(value) and (value > 0 or field.name in any_sign)
            if not good:
                kind = "a finite" if field.name in any_sign else "a positive, finite"
                raise ValueError(
                    f"The {field.name!r} parameter of {type(self).__name__} must be "
                    f"{kind} number. Got {value!r} instead."
                )


def _is_finite(value):
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and not isinstance(value, bool) and bool(np.isfinite(value))


@dataclass(frozen=True)
class LogNormal(Prior):
    """The logarithm is normal.

    The median is ``exp(loc)``, the mode (of the density of the number itself)
    ``exp(loc - scale**2)``.

    Parameters
    ----------
    loc : float
        Mean of the logarithm.
    scale : float
        Standard deviation of the logarithm.

    Examples
    --------
    >>> from sklearn_torchgp.priors import LogNormal
    >>> LogNormal(0.0, 1.0).log_density([0.5, 1.0, 2.0]).round(3)
    array([-0.466, -0.919, -1.852])
    """

    loc: float
    scale: float

    def __post_init__(self):
        self._check(any_sign=("loc",))

    def log_density(self, value):
        log = np.log(value)
        z = (log - self.loc) / self.scale
        return -0.5 * z**2 - log - np.log(self.scale) - 0.5 * np.log(2 * np.pi)

    def slope(self, value):
        return -1.0 - (np.log(value) - self.loc) / np.square(self.scale)


@dataclass(frozen=True)
class Gamma(Prior):
    """Density proportional to ``x**(concentration - 1) * exp(-rate * x)``.

    Parameters
    ----------
    concentration : float
        Above 1 the density is zero at zero.
    rate : float
        One over the scale; the mean is ``concentration / rate``.

    Examples
    --------
    >>> from sklearn_torchgp.priors import Gamma
    >>> Gamma(2.0, 1.0).log_density([0.5, 1.0, 2.0]).round(3)
    array([-1.193, -1.   , -1.307])
    """

    concentration: float
    rate: float

    def __post_init__(self):
        self._check()

    def log_density(self, value):
        a, b = self.concentration, self.rate
        constant = a * np.log(b) - gammaln(a)
        return constant + (a - 1) * np.log(value) - b * np.asarray(value)

    def slope(self, value):
        return self.concentration - 1 - self.rate * np.asarray(value)


@dataclass(frozen=True)
class HalfNormal(Prior):
    """The absolute value of a normal number of mean zero.

    Parameters
    ----------
    scale : float
        Standard deviation of the normal number.

    Examples
    --------
    >>> from sklearn_torchgp.priors import HalfNormal
    >>> HalfNormal(1.0).log_density([0.5, 1.0, 2.0]).round(3)
    array([-0.351, -0.726, -2.226])
    """

    scale: float

    def __post_init__(self):
        self._check()

    def log_density(self, value):
        z = np.asarray(value) / self.scale
        return 0.5 * np.log(2 / np.pi) - np.log(self.scale) - 0.5 * z**2

    def slope(self, value):
        return -np.square(np.asarray(value) / self.scale)
