"""Inducing points for observations with Gaussian noise: the method of the contract."""

from dataclasses import dataclass, replace

import numpy as np

from ..._linalg.memory import Workspace
from ..columns import log_density, mixture
from ..contract import Inference
from .gradient import Direction, gradient
from .placed import Through
from .posterior import InducingPosterior, kept
from .statistics import Solution, rows_of, statistics


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
        nugget, pull_nugget = here.at.nugget()
        factors = observed.factors()
        rows = [rows_of(one, nugget) for one in factors]
        found = statistics(here.at, here.whitening, rows, here.work)
        solutions = [Solution.of(one) for one in found]
        copies = [one.copies(nugget) for one in factors]
        parts = zip(solutions, factors, copies, strict=True)
        value = sum(bound(*of) + of_copies[0] for *of, of_copies in parts)

        def by_block():
            towards = [
                direction(*of, here.whitening.L)
                for of in zip(factors, rows, solutions, strict=True)
            ]
            by_theta, by_points, by_precision = gradient(
                here.at, here.whitening, towards, here.work, moves=self.moves
            )
            parts = zip(rows, by_precision, copies, strict=True)
            for one, slope, (_, of_copies) in parts:
                slope = -slope * one.share
                slope = slope if of_copies is None else slope + of_copies
                by_theta += pull_nugget(slope)
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
            arrays = kept(whitening, found, solutions)
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
