"""Where the inducing points are: chosen among the rows, and then moved."""

from dataclasses import dataclass

import numpy as np

# Rows among which points are chosen: more of them tell no more of where rows are.
MOST_ROWS = 8000


@dataclass(frozen=True)
class Places:
    """Inducing points, and the units in which they move.

    Attributes
    ----------
    Z : ndarray (m, d)
    unit : ndarray (d,)
    """

    Z: np.ndarray
    unit: np.ndarray

    def moved(self, steps=None):
        """The points after steps (m d,) in these units."""
        if steps is None:
            return self.Z
        return self.Z + np.reshape(steps, self.Z.shape) * self.unit


def units(at):
    """How far a point moves before it sees other rows: ndarray (d,).

    A length scale, but not more than the spread of the rows, which is what counts for
    features without one.
    """
    X = np.asarray(at.points.objects, dtype=np.float64)
    spread = X.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return np.minimum(at.length_scales(), spread)


def chosen(at, m, rng):
    """m of the rows by k-means++ in x / length_scale (Arthur and Vassilvitskii 2007).

    Each next row is drawn with a probability proportional to its squared distance from
    the nearest one chosen. Greedier choices find what is far from the rest.

    Returns
    -------
    Places
    """
    rows, unit = rng.permutation(at.points.n)[: max(m, MOST_ROWS)], units(at)
    X = np.asarray(at.points.objects, dtype=np.float64)[rows]
    U, taken = (X - X.mean(axis=0)) / unit, [0]
    nearest = np.square(U - U[0]).sum(axis=1)
    free = np.ones(len(U), dtype=bool)
    free[0] = False
    while len(taken) < min(m, len(U)):
        # Where all rows left are copies of those chosen, any will do.
        odds = np.where(free, nearest, 0.0) if nearest[free].any() else free * 1.0
        odds = np.cumsum(odds)
        i = int(np.searchsorted(odds, rng.uniform() * odds[-1], side="right"))
        i = min(i, len(U) - 1)
        taken.append(i)
        free[i] = False
        np.minimum(nearest, np.square(U - U[i]).sum(axis=1), out=nearest)
    return Places(X[taken], unit)
