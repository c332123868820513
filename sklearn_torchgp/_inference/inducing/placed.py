"""What both methods through inducing points share: the points, at one theta."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._linalg.memory import Workspace
from .points import Places, chosen, distinct, units
from .statistics import Whitening


@dataclass(frozen=True)
class Through:
    """Options of methods that see all rows through inducing points.

    Attributes
    ----------
    points : int or ndarray (m, d)
        How many are chosen among the rows (those of `start` are kept), or which.
    moves : bool, default=False
        Whether the block "inducing" of theta says by how much the points are moved, in
        the units of `start`.
    seed : int, default=0
        Of the choice.
    """

    points: Any
    moves: bool = False
    seed: int = 0

    def placed(self, covariance, theta, places, work):
        """The covariance and the points at theta: a Placed."""
        theta = theta or {}
        at = covariance.at(theta.get("kernel"))
        places = places or self.places(at)
        Z = at.points.others(places.moved(theta.get("inducing")))
        work = work or Workspace(at.points.dtype, at.points.device)
        whitening = Whitening.at(at, Z, places.jitter)
        places = replace(places, jitter=whitening.jitter)
        return Placed(theta.get("kernel"), at, places, whitening, work)

    def places(self, at):
        """The Places at one theta."""
        if isinstance(self.points, np.ndarray):
            Z = np.asarray(self.points, dtype=np.float64)
            return Places(Z, units(at) if self.moves else np.ones(Z.shape[1]))
        return chosen(at, self.points, np.random.RandomState(self.seed))

    def n_dims(self, covariance):
        """How many coordinates there are to move."""
        if isinstance(self.points, np.ndarray):
            return self.points.size
        rows = distinct(covariance.points)
        return rows[: self.points].size

    def by_block(self, by_theta, by_points, places):
        """A gradient as the contract wants it."""
        blocks = {"kernel": by_theta}
        if self.moves:
            blocks["inducing"] = (by_points * places.unit).ravel()
        return blocks


@dataclass(frozen=True)
class Placed:
    """Inducing points at one theta.

    Attributes
    ----------
    theta : ndarray (n_dims,) or None
    at : CovarianceAt
    places : Places
        From which the points were moved.
    whitening : Whitening
    work : Workspace
    """

    theta: Any
    at: Any
    places: Places
    whitening: Whitening
    work: Workspace

    def sum(self, function, covariance, likelihood, *args):
        """`Workspace.sum` of a function that goes on with theta, the points and L."""
        through = self.theta, self.whitening.Z.objects, self.whitening.L
        return self.work.sum(function, covariance, likelihood, *through, *args)

    def each(self, function, covariance, likelihood, *args):
        """The same of `Workspace.each`."""
        through = self.theta, self.whitening.Z.objects, self.whitening.L
        return self.work.each(function, covariance, likelihood, *through, *args)


def places_kept(arrays):
    """The Places that fitted attributes say."""
    Z = arrays["inducing_points_"].cpu().double().numpy()
    return Places(Z, np.ones(Z.shape[1]))
