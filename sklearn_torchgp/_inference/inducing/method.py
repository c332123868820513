"""Inducing points for observations with Gaussian noise: the method of the contract."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._linalg.memory import Workspace
from ..columns import log_density, mixture
from ..contract import Inference
from .gradient import Direction, gradient
from .points import Places, chosen, units
from .posterior import InducingPosterior, kept
from .statistics import Solution, Whitening, rows_of, statistics


@dataclass(frozen=True)
class Inducing:
    """The bound of Titsias (2009), which is exact where the points are the rows.

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

    def infer(self, covariance, likelihood, theta=None, *, start=None, work=None):
        """As the contract says; `start` are the `Places` of an earlier evaluation.

        Raises
        ------
        ValueError
            Where rows have no noise.
        """
        theta = theta or {}
        at = covariance.at(theta.get("kernel"))
        work = work or Workspace(at.points.dtype, at.points.device)
        places = start or self.places(at)
        Z = at.points.others(places.moved(theta.get("inducing")))
        # Rows count as their noise says, and the jitter is that of K_uu.
        observed = replace(likelihood, jitter=0.0)
        nugget, pull_nugget = at.nugget()
        factors = observed.factors()
        rows = [rows_of(one, nugget) for one in factors]
        whitening = Whitening.at(at, Z)
        found = statistics(at, whitening, rows, work)
        solutions = [Solution.of(one) for one in found]
        value, copies = 0.0, []
        for one, solution in zip(factors, solutions, strict=True):
            of_copies, slope = one.copies(nugget)
            value += bound(solution, one) + of_copies
            copies.append(slope)

        def by_block():
            directions = [
                direction(one, *both, whitening.L)
                for one, *both in zip(factors, rows, solutions, strict=True)
            ]
            by_theta, by_points, by_precision = gradient(
                at, whitening, directions, work, moves=self.moves
            )
            for one, part, slope in zip(rows, by_precision, copies, strict=True):
                part = -part * one.share
                by_theta += pull_nugget(part if slope is None else part + slope)
            blocks = {"kernel": by_theta}
            if self.moves:
                blocks["inducing"] = (by_points * places.unit).ravel()
            return blocks

        def posterior():
            arrays = kept(Z, whitening, found, solutions)
            return InducingPosterior(self, covariance, observed, arrays)

        return Inference(value, by_block, posterior, start=places)

    def places(self, at):
        """The Places at one theta."""
        if isinstance(self.points, np.ndarray):
            return Places(np.asarray(self.points, dtype=np.float64), units(at))
        return chosen(at, self.points, np.random.RandomState(self.seed))

    def n_dims(self, covariance):
        """How many coordinates are parameters."""
        if not self.moves:
            return 0
        n, d = np.shape(covariance.points.objects)
        return np.size(self.points) if np.ndim(self.points) else min(self.points, n) * d

    def posterior(self, covariance, likelihood, arrays):
        observed = replace(likelihood, jitter=0.0)
        return InducingPosterior(self, covariance, observed, arrays)

    def start(self, arrays):
        """The Places that fitted attributes say."""
        Z = arrays["inducing_points_"].cpu().double().numpy()
        return Places(Z, np.ones(Z.shape[1]))

    def extend(self, posterior, covariance, likelihood):
        """The bound and posterior with more rows, at the posterior's theta and points.

        The rows of `posterior` are the first ones of `covariance` and `likelihood`:
        what the new ones say is added to what they said.
        """
        n_old, n = posterior.covariance.points.n, covariance.points.n
        new = np.arange(n_old, n)
        at = covariance.rows(new).at()
        observed = replace(likelihood, jitter=0.0)
        nugget = covariance.nugget()[0]
        factors = observed.factors()
        rows = [rows_of(one.rows(new), nugget[n_old:]) for one in factors]
        whitening = posterior.whitening(at)
        work = Workspace(at.points.dtype, at.points.device)
        more = statistics(at, whitening, rows, work)
        both = zip(posterior.statistics, more, strict=True)
        found = [old + added for old, added in both]
        solutions = [Solution.of(one) for one in found]
        value = sum(
            bound(solution, one) + one.copies(nugget)[0]
            for solution, one in zip(solutions, factors, strict=True)
        )

        def grown():
            arrays = kept(whitening.Z, whitening, found, solutions)
            return InducingPosterior(self, covariance, observed, arrays)

        return Inference(value, None, grown)


def bound(solution, observed):
    """The bound of one factor, without its copies."""
    n, t = observed.y.shape
    return log_density(solution.sums, observed, n) - 0.5 * t * solution.missed


def direction(observed, rows, solution, L):
    """The Direction in which the bound of one factor grows."""
    t = observed.y.shape[1]
    return Direction.of(rows, solution, L, t, *mixture(solution.sums, t))
