"""A process for a monotone function of y, read in units of y.

With z = T(y) Gaussian of mean mu and deviation sigma and g the inverse of T: quantiles
are g of the quantiles of z; E y and Var y are integrals of g(mu + sigma xi) over a
standard normal xi, by the trapezoidal rule, which converges exponentially for smooth g
and still serves one with kinks; and with the Hermite coefficients
c_k = E g(mu + sigma xi) h_k(xi), the covariance of two rows whose z have correlation
rho is sum_k c_k c'_k rho^k (Mehler), a positive semidefinite matrix again.
"""

import warnings
from contextlib import contextmanager

import numpy as np
from scipy.special import ndtri
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from . import convolution

# 12 deviations hold the second moment of a lognormal with sigma = 2 to 1e-14.
_NODES = np.linspace(-12, 12, 241)
_WEIGHTS = np.exp(-0.5 * _NODES**2)
_WEIGHTS /= _WEIGHTS.sum()

# Terms of Mehler's series; what they miss of a variance is put on the diagonal.
N_TERMS = 32


class Identity:
    """No transform: the interface of a `TargetMap` where T(y) = y.

    There is one, `IDENTITY`, also after a pickle.
    """

    mean_needs = None

    def __reduce__(self):
        return "IDENTITY"

    def inside(self, z):
        return z

    def quantile(self, mean, std, probability, noise):
        return mean + np.sqrt(std**2 + noise) * ndtri(probability)

    def log_density(self, mean, std, y, noise):
        return _log_normal(y, mean, std**2 + noise, 0.0)

    def of_y(self, mean, second):
        return mean, second

    def moment_gradients(self, mean, std, d_mean, d_std):
        return d_mean, d_std


IDENTITY = Identity()


class TargetMap:
    """A fitted monotone transformer; all arrays are float64 ndarrays (m, t).

    Parameters
    ----------
    transformer : scikit-learn transformer
        Left as it is; a clone is fitted.
    y : ndarray (n, t)
    weight : ndarray (n,) or None
        Passed on, or taken as repetitions where the transformer takes no weights.

    Raises
    ------
    ValueError
        If the transformer is not monotone and invertible on y.
    """

    mean_needs = "var"  # of z, without which there is no mean of y

    def __init__(self, transformer, y, weight):
        if isinstance(transformer, type) or not all(
            hasattr(transformer, name)
            for name in ("fit", "transform", "inverse_transform")
        ):
            raise ValueError(
                "The 'target_transform' parameter must be None or a scikit-learn "
                "transformer with inverse_transform, such as PowerTransformer() or "
                "FunctionTransformer(np.log, np.exp). "
                f"Got {transformer!r} instead."
            )
        with _quiet():
            self.transformer = _fit(clone(transformer), y, weight)
        ordered = np.sort(y, axis=0)
        z = self.forward(ordered)
        rises, falls = (np.diff(s * z, axis=0) >= 0 for s in (1, -1))
        with _quiet():
            spread = np.ptp(y, axis=0) + 1e-8 * np.abs(y).max(axis=0)
            back = np.abs(self.backward(z) - ordered) <= 1e-4 * spread
        monotone = (rises.all(axis=0) | falls.all(axis=0)).all()
        if not (np.isfinite(z).all() and monotone and back.all()):
            raise ValueError(
                f"The 'target_transform' parameter, {transformer!r}, must be finite, "
                "monotone and invertible (inverse_transform takes transform back) on "
                f"y, which goes from {y.min():.6g} to {y.max():.6g}."
            )
        self.rising = rises.all(axis=0)
        self._set_limits(y, z)

    def forward(self, y):
        """z = T(y)."""
        return self._apply("transform", y)

    def backward(self, z):
        """y = g(z); not finite where z is outside the range of T."""
        return self._apply("inverse_transform", z)

    def slope(self, y):
        """dT / dy by central differences; not finite outside the domain of T."""
        return _difference(self.forward, y, self._y_spread)

    def log_density_terms(self, y):
        """T(y) and log |dT / dy|, -inf outside the domain of T."""
        z, slope = self.forward(y), np.abs(self.slope(y))
        outside = ~np.isfinite(z) | ~np.isfinite(slope) | (slope == 0)
        log_slope = np.log(np.where(outside, 1.0, slope))
        return np.where(outside, 0.0, z), np.where(outside, -np.inf, log_slope)

    def quantile(self, mean, std, probability, noise):
        """A quantile (m, t) of y + e, for moments of z = T(y) and e's variance."""
        tail = np.where(self.rising, probability, 1 - probability)
        inflated = np.sqrt(self._inflated(mean, std, noise))
        plain = self.inside(mean + inflated * ndtri(tail))
        if not noise.any():
            return plain
        return convolution.quantiles(self.inside, mean, std, noise, probability, plain)

    def log_density(self, mean, std, y, noise):
        """Log density (m, t) of y + e, likewise."""
        z, log_slope = self.log_density_terms(y)
        plain = _log_normal(z, mean, self._inflated(mean, std, noise), log_slope)
        if not noise.any():
            return plain
        return convolution.log_density(self.inside, mean, std, noise, y, plain)

    def _inflated(self, mean, std, noise):
        """Variance of z with known noise of y in it, to first order."""
        if not noise.any():
            return std**2
        return std**2 + noise * self.slope(self.inside(mean)) ** 2

    def of_y(self, mean, second):
        """Moments of y: mean, and variance (m, t) or covariance (m, m, t), of z."""
        if second.ndim == 2:
            return self.moments(mean, second)
        variance = np.einsum("iit->it", second)
        return self.moments(mean, variance)[0], self.covariance(mean, second)

    def moments(self, mean, variance):
        """Mean and variance of y, each (m, t), from those of z."""
        first, second = np.empty_like(mean), np.empty_like(mean)
        for start in range(0, len(mean), 2048):  # each row takes len(_NODES) values
            rows = slice(start, start + 2048)
            g = self._at_nodes(mean[rows], np.sqrt(variance[rows]))
            first[rows] = np.einsum("q,qmt->mt", _WEIGHTS, g)
            g -= first[rows]
            second[rows] = np.einsum("q,qmt->mt", _WEIGHTS, g**2)
        return first, second

    def covariance(self, mean, cov):
        """Covariance of y (m, m, t), from mean (m, t) and covariance of z."""
        std = np.sqrt(np.einsum("iit->it", cov))
        g = self._at_nodes(mean, std)
        total = np.zeros_like(cov)
        scale = np.where(std > 0, std, 1.0)
        rho = np.clip(cov / (scale[:, None] * scale[None]), -1, 1)
        power = np.ones_like(cov)
        previous, current = np.zeros(len(_NODES)), np.ones(len(_NODES))
        for k in range(N_TERMS):  # h_{k+1} from h_k and h_{k-1}
            following = (_NODES * current - np.sqrt(k) * previous) / np.sqrt(k + 1)
            previous, current = current, following
            c = np.einsum("q,qmt->mt", _WEIGHTS * current, g)
            power *= rho
            total += c[:, None] * c[None] * power
        variance = self.moments(mean, std**2)[1]
        np.einsum("iit->it", total)[:] = variance
        return total

    def moment_gradients(self, mean, std, d_mean, d_std):
        """Gradients (m, d, t) of mean and deviation of y, from those of z."""
        z = mean + std * _NODES[:, None, None]
        g = self._at_nodes(mean, std)
        flat = z.reshape(-1, z.shape[-1])
        slope = _difference(self.inside, flat, self._z_spread)
        slope = _WEIGHTS[:, None, None] * slope.reshape(z.shape)
        first = np.einsum("q,qmt->mt", _WEIGHTS, g)
        deviation = np.sqrt(np.einsum("q,qmt->mt", _WEIGHTS, (g - first) ** 2))
        centred = slope * (g - first)

        def pulled(weights):
            through_std = np.einsum("qmt,q->mt", weights, _NODES)
            return weights.sum(0)[:, None] * d_mean + through_std[:, None] * d_std

        scale = np.where(deviation > 0, deviation, np.inf)
        return pulled(slope), pulled(centred) / scale[:, None]

    def _at_nodes(self, mean, std):
        """g at mu + sigma xi: (n_nodes, m, t)."""
        z = mean + std * _NODES[:, None, None]
        return self.inside(z.reshape(-1, z.shape[-1])).reshape(z.shape)

    def inside(self, z):
        """g, continued as a constant beyond the range of T.

        Box-Cox and Yeo-Johnson have a bounded range, which no Gaussian keeps to, and y
        may be unbounded at its end, where E y would not exist: there y counts as at
        most ten times the spread of the training targets beyond them.
        """
        y = self.backward(np.clip(z, *self._z_limits))
        return np.clip(y, *self._y_limits)

    def _set_limits(self, y, z):
        """The range of T, found from where g is no number or turns back."""
        low, high = z.min(axis=0), z.max(axis=0)
        self._z_spread = np.where(high > low, high - low, 1.0)
        size = np.maximum(np.ptp(y, axis=0), 1e-12 * np.abs(y).max(axis=0))
        self._y_spread = np.where(size > 0, size, 1.0)
        ends = [
            self._end_of_range(end, side * self._z_spread)
            for end, side in ((low, -1), (high, 1))
        ]
        bounded = np.isfinite(ends).any(axis=0)
        reach = np.where(bounded, 10 * np.ptp(y, axis=0), np.inf)
        self._z_limits = ends
        self._y_limits = y.min(axis=0) - reach, y.max(axis=0) + reach

    def _end_of_range(self, start, step):
        """The last z in the direction of step, infinite where there is none."""
        out = start + step * 2.0 ** np.arange(11)[:, None]
        outside = self._is_outside(out, start)
        ends = np.where(outside.any(axis=0), start, np.sign(step) * np.inf)
        first = np.argmax(outside, axis=0)
        good, bad = start.copy(), out[first, np.arange(len(start))]
        for _ in range(80 if outside.any() else 0):
            middle = 0.5 * (good + bad)
            beyond = self._is_outside(middle[None], start)[0]
            good, bad = np.where(beyond, good, middle), np.where(beyond, middle, bad)
        return np.where(np.isfinite(ends), good, ends)

    def _is_outside(self, z, start):
        """Where g(z) is no number, or g turns back on the way from `start`."""
        onward = np.sign(z - start)
        inward = z - 1e-4 * onward * self._z_spread
        y = self.backward(z)
        with _quiet():
            gains = np.stack(
                [y - self.backward(from_) for from_ in (start[None], inward)]
            )
        turned = gains * np.where(self.rising, onward, -onward) < 0
        return np.isnan(y) | turned.any(axis=0)

    def _apply(self, method, values):
        with _quiet():
            return np.array(getattr(self.transformer, method)(values), dtype=float)


def _log_normal(z, mean, variance, log_slope):
    """log N(z; mean, variance) |dz / dy|; of a point mass infinite, or nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        density = -0.5 * ((z - mean) ** 2 / variance + np.log(2 * np.pi * variance))
    certain = np.where(z == mean, np.inf, -np.inf)
    return np.where(variance > 0, density + log_slope, certain)


def _difference(function, at, spread, most=14):
    """df / dx by central differences, for every entry by itself.

    An entry's step starts at 6e-6 of its size (or of `spread` if that is larger) and is
    divided by 8 until the quotient settles: near the end of a domain only short steps
    stay inside, and log bends within them.
    """
    step = 6e-6 * np.maximum(np.abs(at), spread)
    best, smallest_gap = np.full(at.shape, np.nan), np.full(at.shape, np.inf)
    before = np.full(at.shape, np.nan)
    for _ in range(most):
        with _quiet():
            up, down = (_where_possible(function, at + s) for s in (step, -step))
            quotient = (up - down) / (2 * step)
            gap = np.abs(quotient - before) / np.abs(quotient)
            gap = np.where((quotient == 0) & (before == 0), 1.0, gap)
        # A first quotient without another to compare it with is better than none.
        closer = np.isfinite(quotient) & ((gap < smallest_gap) | np.isnan(best))
        best = np.where(closer, quotient, best)
        smallest_gap = np.where(closer & np.isfinite(gap), gap, smallest_gap)
        if (smallest_gap < 1e-7).all():
            break
        before = np.where(smallest_gap < 1e-7, before, quotient)
        step = step / 8
    return best


def _where_possible(function, rows):
    """function(rows), NaN in the rows that it refuses: Box-Cox of a negative number."""
    try:
        return function(rows)
    except ValueError:
        if len(rows) == 1:
            return np.full(rows.shape, np.nan)
        return np.concatenate([_where_possible(function, row[None]) for row in rows])


@contextmanager
def _quiet():
    """No warning of what is not finite: we look at the values."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _fit(transformer, y, weight):
    if weight is None or not get_tags(transformer).requires_fit:
        return transformer.fit(y)
    if has_fit_parameter(transformer, "sample_weight"):
        return transformer.fit(y, sample_weight=weight)
    if (weight == np.round(weight)).all():
        return transformer.fit(y.repeat(weight.astype(int), axis=0))
    raise ValueError(
        f"The 'target_transform' parameter is {transformer!r}, whose fit takes no "
        "sample_weight, and sample_weight is not whole numbers, which could be taken "
        "as repetitions. Use whole weights, or a transformer that takes weights or "
        "needs no fit."
    )
