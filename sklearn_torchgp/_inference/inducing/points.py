"""Where the inducing points are: chosen among the rows, and then moved."""

from dataclasses import dataclass
from typing import Any

import numpy as np

# Length scales in a unit of their steps. L-BFGS moves points and length scales by the
# same number where their slopes agree, and points are many: in units of one length
# scale they stay behind (kin40k, 10,000 rows, 512 points: after 48 iterations the bound
# a row was -0.249 with 1, -0.191 with 3, -0.193 with 10).
STEP = 4.0

# Rows among which points are chosen: more of them tell no more of where rows are.
MOST_ROWS = 8000


@dataclass(frozen=True)
class Places:
    """Inducing points, and the units in which they move.

    Attributes
    ----------
    Z : ndarray (m, d)
    unit : ndarray (d,)
    sites : tensor (2, n), default=None
        Of class labels: precisions and shifts, where inference begins.
    jitter : float, default=0.0
        What K_uu needed so far: a level that fell again would be a step of the bound.
    """

    Z: np.ndarray
    unit: np.ndarray
    sites: Any = None
    jitter: float = 0.0

    def moved(self, steps=None):
        """The points after steps (m d,) in these units."""
        if steps is None:
            return self.Z
        return self.Z + np.reshape(steps, self.Z.shape) * self.unit


def units(at):
    """Units of the steps of points: ndarray (d,).

    Length scales are what they see rows by, but no more than the spread of the rows,
    which is what counts for features without one.
    """
    spread = distinct(at.points).std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return STEP * np.minimum(at.length_scales(), spread)


def distinct(points):
    """Rows that differ, in an order of their own: ndarray (k, d)."""
    return np.unique(np.asarray(points.objects, dtype=np.float64), axis=0)


def chosen(at, m, rng):
    """m of the distinct rows, or all of them, by k-means++ in x / length_scale.

    Each next row is drawn with a probability proportional to its squared distance from
    the nearest one chosen (Arthur and Vassilvitskii 2007). Greedier choices find what
    is far from the rest.

    Returns
    -------
    Places
    """
    X, unit = distinct(at.points), units(at)
    X = X[rng.permutation(len(X))[: max(m, MOST_ROWS)]]
    U, taken = (X - X.mean(axis=0)) / unit, [0]
    nearest = np.square(U - U[0]).sum(axis=1)
    while len(taken) < min(m, len(U)):
        odds = np.cumsum(nearest)
        i = int(np.searchsorted(odds, rng.uniform() * odds[-1], side="right"))
        taken.append(min(i, len(U) - 1))
        np.minimum(nearest, np.square(U - U[taken[-1]]).sum(axis=1), out=nearest)
    return Places(X[taken], unit)
