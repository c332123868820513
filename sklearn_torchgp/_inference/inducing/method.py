"""Inducing points for observations with Gaussian noise: the method of the contract."""

from dataclasses import dataclass, replace

import numpy as np

from ..._linalg.memory import Workspace
from ..columns import log_density, mixture
from ..contract import Inference
from .gradient import Direction, gradient, over_points
from .placed import Through
from .posterior import InducingPosterior, kept
from .statistics import Solution, statistics


@dataclass(frozen=True)
class Inducing(Through):
    """The bound of Titsias (2009), which is exact where the points are the rows."""

    def infer(self, covariance, likelihood, theta=None, *, start=None, work=None):
        """As the contract says; `start` are the `Places` of an earlier evaluation.

        Raises
        ------
        ValueError
            Where rows have no noise.
        """
        here = self.placed(covariance, theta, start, work)
        # Rows count as their noise says, and the jitter is that of K_uu.
        observed = replace(likelihood, jitter=0.0)
        problem = covariance, observed
        found = here.sum(statistics, *problem)
        solutions = [Solution.of(one) for one in found]
        factors = observed.factors()
        value = sum(map(bound, solutions, factors))

        def by_block():
            towards = [
                direction(*of, here.whitening.L)
                for of in zip(factors, solutions, strict=True)
            ]
            of_rows = [one.without_points() for one in towards]
            parts = here.sum(gradient, *problem, of_rows, self.moves)
            rest = over_points(here.at, here.whitening, towards, self.moves)
            by_theta, by_points = map(np.add, parts, rest)
            return self.by_block(by_theta, by_points, here.places)

        def posterior():
            arrays = kept(here.whitening, found, solutions)
            return InducingPosterior(self, covariance, observed, arrays)

        return Inference(value, by_block, posterior, start=here.places)

    def posterior(self, covariance, likelihood, arrays):
        observed = replace(likelihood, jitter=0.0)
        return InducingPosterior(self, covariance, observed, arrays)

    def extend(self, posterior, covariance, likelihood):
        """The bound and posterior with more rows, at the posterior's theta and points.

        The rows of `posterior` are the first ones of `covariance` and `likelihood`:
        what the new ones say is added to what they said.
        """
        n_old, n = posterior.covariance.points.n, covariance.points.n
        new = np.arange(n_old, n)
        some = covariance.rows(new)
        observed = replace(likelihood, jitter=0.0)
        whitening = posterior.whitening(some.at())
        work = Workspace(some.points.dtype, some.points.device)
        through = None, whitening.Z.objects, whitening.L
        more = statistics(some, observed.rows(new), *through, work)
        both = zip(posterior.statistics, more, strict=True)
        found = [old + added for old, added in both]
        solutions = [Solution.of(one) for one in found]
        value = sum(map(bound, solutions, observed.factors()))

        def grown():
            arrays = kept(whitening, found, solutions)
            return InducingPosterior(self, covariance, observed, arrays)

        return Inference(value, None, grown)


def bound(solution, observed):
    """The bound of one factor; `observed` may be some of its rows."""
    value = log_density(solution.sums, observed, solution.n)
    return value - 0.5 * observed.y.shape[1] * solution.missed + solution.copies


def direction(observed, solution, L):
    """The Direction in which the bound of one factor grows."""
    t = observed.y.shape[1]
    return Direction.of(solution, L, t, *mixture(solution.sums, t))
