"""Where a spectral mixture starts: the highest peaks of periodograms of y."""

import numpy as np

# Frequencies looked at along a feature, and rows that are enough to see peaks.
MOST_FREQUENCIES = 2000
MOST_ROWS = 2000


def peaks(X, y, n_components):
    """Weights (Q,), means and scales (Q, d) of a spectral mixture.

    Along each feature: the Lomb-Scargle periodogram of y on a grid from 0 to half the
    inverse of the median distance of neighbours, of which the highest peaks are taken
    one after the other, each subtracted from y by least squares. A scale is half of the
    resolution, the inverse of the range. Weights share the variance of y by the power
    that each component takes along the features.
    """
    rows = np.linspace(0, len(X) - 1, min(len(X), MOST_ROWS)).astype(int)
    X, y = X[rows], np.asarray(y, dtype=np.float64).reshape(len(y), -1)[rows, 0]
    variance = y.var() or 1.0
    found = [_along(x, y - y.mean(), n_components) for x in X.T]
    means, scales, power = (np.stack(part, axis=1) for part in zip(*found, strict=True))
    share = power.mean(axis=1) + 0.01 * max(power.max(), 1e-300)
    return variance * share / share.sum(), means, scales


def _along(x, y, n_components):
    """Frequencies, widths and powers of the highest peaks along one feature."""
    spread = np.ptp(x)
    if not spread:  # one row, or a constant: any frequency
        return np.ones(n_components), np.ones(n_components), np.ones(n_components)
    gaps = np.diff(np.unique(x))
    highest = 0.5 / max(np.median(gaps), spread / MOST_FREQUENCIES)
    step = max(0.25 / spread, highest / MOST_FREQUENCIES)
    grid = step * np.arange(1, max(int(highest / step), n_components) + 1)
    means, powers, rest = [], [], y
    for _ in range(n_components):
        power = _periodogram(x, rest, grid)
        best = int(np.argmax(power))
        means.append(grid[best])
        powers.append(power[best])
        waves = np.c_[
            np.cos(2 * np.pi * grid[best] * x), np.sin(2 * np.pi * grid[best] * x)
        ]
        rest = rest - waves @ np.linalg.lstsq(waves, rest, rcond=None)[0]
    return np.array(means), np.full(n_components, 0.5 / spread), np.array(powers)


def _periodogram(x, y, grid):
    """Power that the wave of each frequency takes from y by least squares."""
    phase = 2 * np.pi * grid[:, None] * x
    c, s = np.cos(phase), np.sin(phase)
    cc, ss, cs = (c * c).sum(1), (s * s).sum(1), (c * s).sum(1)
    yc, ys = c @ y, s @ y
    determinant = np.maximum(cc * ss - cs * cs, 1e-12 * len(x) ** 2)
    power = (ss * yc**2 - 2 * cs * yc * ys + cc * ys**2) / determinant
    return np.clip(power, 0.0, y @ y)
