"""A function of a Gaussian plus Gaussian noise, y = g(z) + e, by quadrature over z.

With z ~ N(mu, s^2) and e ~ N(0, noise), given z the observation is normal, so that its
distribution function and density are averages of normal ones over z. The trapezoidal
rule is exact to many digits where its spacing in y is below the noise's deviation.

Shapes: means, deviations and noise are ndarrays (m, t); g takes (k, t) to (k, t).
"""

import numpy as np
from scipy.special import logsumexp, ndtr

REACH = 9.0

# Spacings in units of s, and the least deviation of the noise, in units of that of y,
# that each serves. Less noise than the last is taken to first order, which then is off
# by 1e-4 of the deviation of y.
SPACINGS = ((0.1, 0.2), (0.01, 0.02))

# Numbers held at a time.
ENTRIES = 2**20

BISECTIONS = 48


def log_density(g, mean, std, noise, y, to_first_order):
    """log p(y) for y (m, t); `to_first_order` (m, t) where there is little noise."""

    def of_rows(values, log_w, noise, y):
        gap = (y - values) ** 2 / noise + np.log(2 * np.pi * noise)
        return logsumexp(log_w - 0.5 * gap, axis=0)

    return _by_quadrature(of_rows, g, mean, std, noise, y, to_first_order)


def quantiles(g, mean, std, noise, probability, to_first_order):
    """The quantile of one probability, by bisection: (m, t)."""

    def of_rows(values, log_w, noise, _):
        sd, w = np.sqrt(noise), np.exp(log_w)
        low, high = values.min(axis=0) - REACH * sd, values.max(axis=0) + REACH * sd
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            below = (w * ndtr((middle - values) / sd)).sum(axis=0) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)

    none = np.zeros_like(mean)
    return _by_quadrature(of_rows, g, mean, std, noise, none, to_first_order)


def _by_quadrature(of_rows, g, mean, std, noise, y, otherwise):
    """of_rows(g at the nodes (k, b, t), log weights, ...) where the noise is enough."""
    found = np.array(otherwise, dtype=float)
    spread = 0.5 * np.abs(g(mean + std) - g(mean - std))
    enough = np.inf
    for spacing, least in SPACINGS:
        served = (noise >= (least * spread) ** 2) & (noise > 0) & (noise < enough)
        enough = np.where(served, 0.0, enough)
        x = np.arange(-REACH, REACH + spacing / 2, spacing)[:, None, None]
        log_w = -0.5 * x**2
        log_w -= logsumexp(log_w)
        size = max(1, ENTRIES // (len(x) * mean.shape[1]))
        chosen = np.flatnonzero(served.any(axis=1))
        for start in range(0, len(chosen), size):
            rows = chosen[start : start + size]
            z = mean[rows] + std[rows] * x
            values = g(z.reshape(-1, z.shape[-1])).reshape(z.shape)
            some = np.where(noise[rows] > 0, noise[rows], 1.0)
            new = of_rows(values, log_w, some, y[rows])
            found[rows] = np.where(served[rows], new, found[rows])
    return found
