"""Variational inference through inducing points: class labels, as rows with sites.

A likelihood term becomes a row of precision lambda_i and shift nu_i (see
`sites.engine`), under which q has marginals m_i, v_i. The bound on the evidence,

    sum_i E log p(y_i | f_i) - KL(q(u), p(u)),

is highest where lambda_i = -E d2 log p and nu_i = E d log p + lambda_i m_i: so all
sites move towards that at once, which is natural-gradient ascent (Khan and Lin 2017),
by a shorter step where the bound falls. What the points know of the rows, S and b, is
linear in the sites: a shorter step is known without a pass over the rows. At rest q is
stationary, and the gradient of the bound is that of regression, these sites held fixed.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..._linalg.cholesky import half_log_det
from ..._linalg.memory import Workspace
from ..contract import Inference
from ..sites.engine import TOLERANCE
from .gradient import Direction, over_points
from .placed import Through
from .posterior import SitesThrough, kept
from .statistics import Solution, Statistics
from .visits import beginning, gaps, gradient_of_sites, mixed, visited

# On the way to an optimum: the value is off by the square of the residual (10,000 rows,
# 256 points: 3.8 passes an evaluation, and 5.2 with a tenth of this, to the same end).
COARSE = {torch.float64: 1e-3, torch.float32: 1e-2}

# Visits that the next one is extrapolated from (Anderson's acceleration).
MEMORY = 5

# Of a step, in parts of the way to where all sites would go.
SHORTEST = 1e-3


@dataclass(frozen=True)
class InducingSites(Through):
    """The best Gaussian over inducing points for labels with one site a row.

    Attributes
    ----------
    max_iter : int, default=100
        Most passes over the rows at one theta.
    coarse : bool, default=False
        Whether a larger residual counts as none.
    """

    max_iter: int = 100
    coarse: bool = False

    def infer(self, covariance, likelihood, theta=None, *, start=None, work=None):
        """As the contract says; `start` are the `Places` of an earlier evaluation."""
        here = self.placed(covariance, theta, start, work)
        problem = covariance, likelihood
        climb = _Climb(here, problem)
        tolerance = (COARSE if self.coarse else TOLERANCE)[here.at.points.dtype]
        found, n_iterations = climb.top(here.places.sites, self.max_iter, tolerance)
        solution = Solution.of(found.statistics)

        def by_block():
            one = torch.ones(1, 1, dtype=torch.float64)
            towards = [Direction.of(solution, here.whitening.L, 1, one, one[0])]
            of_rows = [each.without_points() for each in towards]
            how = found.sites, of_rows, self.moves
            parts = here.sum(gradient_of_sites, *problem, *how)
            rest = over_points(here.at, here.whitening, towards, self.moves)
            by_theta, by_points = map(np.add, parts, rest)
            return self.by_block(by_theta, by_points, here.places)

        def posterior():
            arrays = kept(here.whitening, [found.statistics], [solution])
            sites = found.sites
            if not isinstance(sites, torch.Tensor):  # those of all rows are elsewhere
                sites = _sites_here(here, problem, found)
            arrays["_inducing_sites"] = sites[:2]
            return SitesThrough(self, covariance, likelihood, arrays)

        return Inference(
            found.value,
            by_block,
            posterior,
            start=replace(here.places, sites=found.sites),
            converged=found.residual <= tolerance,
            residual=found.residual,
            n_iterations=n_iterations,
        )

    def posterior(self, covariance, likelihood, arrays):
        return SitesThrough(self, covariance, likelihood, arrays)


@dataclass(frozen=True)
class _Visit:
    """What a pass over the rows said of one q.

    Attributes
    ----------
    sites : tensor (2, n)
    statistics : Statistics
        Of these sites.
    value : float
        The bound.
    noise : float
        Its round-off.
    residual : float
    next_sites : tensor (4, n), next_statistics
        Where all sites would go; and one over their units, for residuals.
    q : L_B, beta
        What the next sites follow from.
    """

    sites: torch.Tensor
    statistics: Statistics
    value: float
    noise: float
    residual: float
    next_sites: torch.Tensor
    next_statistics: Statistics
    q: tuple


class _Climb:
    """Towards the best q at one theta.

    Parameters
    ----------
    here : Placed
    problem : covariance, likelihood
        The likelihood with ``rows(slice)`` and ``expectations(m, v)``.
    """

    def __init__(self, here, problem):
        self.here, self.problem = here, problem

    def top(self, sites, max_iter, tolerance):
        """The last _Visit, with the sites that it would go to; and how many there were.

        Without sites from elsewhere f starts at 0 and certain: sites that are too
        narrow widen in a few steps.
        """
        here, memory, length, n_visits = None, [], 1.0, 0
        sites, (statistics,) = self.here.each(beginning, *self.problem, sites)
        while n_visits < max_iter:
            n_visits += 1
            there = self._visit(sites, statistics)
            if here is None or there.value >= here.value - here.noise:
                here, length = there, min(1.0, 2 * length)
                if here.residual <= tolerance:
                    break
                memory = [*memory, here][-MEMORY:]
            elif len(memory) > 1:  # extrapolated too far
                memory = [here]
            else:
                length /= 2
                if length < SHORTEST:
                    break
            proposed = self._extrapolated(memory) if length == 1.0 else None
            sites, statistics = proposed or self._part_of_the_way(here, length)
        self.here.work.kept.clear()
        resting = {"sites": here.next_sites, "statistics": here.next_statistics}
        return replace(here, **resting), n_visits

    def _visit(self, sites, statistics):
        """The bound of q with these sites, and where they would go."""
        solution = Solution.of(statistics)
        q = solution.L_B, _mean(solution)
        moved, sums = self.here.each(visited, *self.problem, sites, *q)
        found, fits, gap = sums
        fit, sizes = fits.tolist()
        lost = _divergence(solution)
        eps = torch.finfo(self.here.at.points.dtype).eps
        value, noise = fit - lost, float(8 * eps * (1 + sizes + abs(lost)))
        return _Visit(sites, statistics, value, noise, gap.value, moved, found, q)

    def _part_of_the_way(self, visit, length):
        """Sites and statistics after a step of this length."""
        weights = 1 - length, length
        both = visit.sites, visit.next_sites
        sites, _ = self.here.work.each(mixed, *self.problem, weights, *both)
        parts = visit.statistics, visit.next_statistics
        return sites, Statistics.mixed(parts, weights)

    def _extrapolated(self, visits):
        """Sites and their statistics where the residual of past visits would be least.

        Anderson's method (Walker and Ni 2011): the sum of visits, of weights that add
        up to 1. None where there is but one, or where a precision would not be
        positive.
        """
        if len(visits) < 2:
            return None
        work, ends = self.here.work, [one.next_sites for one in visits]
        begins = [one.sites for one in visits]
        (gram,) = work.sum(gaps, *self.problem, *begins, *ends)
        gram.diagonal().add_(1e-10 * gram.diagonal())
        ones = torch.ones(len(visits), 1).to(gram)
        weights = torch.linalg.solve(gram, ones)[:, 0]
        weights = (weights / weights.sum()).tolist()
        sites, (n_bad,) = work.each(mixed, *self.problem, weights, *ends)
        if n_bad:
            return None
        return sites, Statistics.mixed([one.next_statistics for one in visits], weights)


def _sites_here(here, problem, visit):
    """The sites that a visit ended with, of the rows of the covariance."""
    through = here.theta, here.whitening.Z.objects, here.whitening.L
    points = here.at.points
    work = Workspace(points.dtype, points.device)
    sites, _ = beginning(*problem, *through, None, work)
    return visited(*problem, *through, sites, *visit.q, work)[0]


def _mean(solution):
    """The mean of the whitened values at the points: (m, 1)."""
    return torch.cholesky_solve(solution.b, solution.L_B)


def _divergence(solution):
    """KL(q(u), p(u)) = (tr B^-1 + beta'beta - m + log|B|) / 2."""
    L_B, m = solution.L_B, len(solution.L_B)
    trace = torch.cholesky_inverse(L_B).diagonal().sum()
    squares = _mean(solution).square().sum()
    return (0.5 * (trace + squares - m) + half_log_det(L_B)).item()
