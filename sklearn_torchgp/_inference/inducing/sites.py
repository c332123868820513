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

from ..._linalg.cholesky import half_log_det, solve_lower
from ..._linalg.precision import double
from ..contract import Inference
from ..sites.engine import TOLERANCE
from .gradient import Direction, over_points, over_rows
from .placed import Through
from .posterior import SitesThrough, kept
from .statistics import Rows, Solution, Statistics

# On the way to an optimum: the value is off by the square of the residual (10,000 rows,
# 256 points: 3.8 passes an evaluation, and 5.2 with a tenth of this, to the same end).
COARSE = {torch.float64: 1e-3, torch.float32: 1e-2}

# Visits that the next one is extrapolated from (Anderson's acceleration).
MEMORY = 5

# Of a step, in parts of the way to where all sites would go.
SHORTEST = 1e-3

# Precisions below this one are rows that say nothing.
FAINT = 1e-30


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
        climb = _Climb(here, likelihood)
        tolerance = (COARSE if self.coarse else TOLERANCE)[here.at.points.dtype]
        found, n_iterations = climb.top(here.places.sites, self.max_iter, tolerance)
        solution = Solution.of(found.statistics)

        def by_block():
            precision, shift = found.sites[0].clamp(min=FAINT), found.sites[1]
            rows = Rows(precision, (shift / precision)[:, None], precision)
            one = torch.ones(1, 1, dtype=torch.float64)
            L = here.whitening.L
            towards = [Direction.of(solution, L, 1, one, one[0])]
            problem = here.at, here.whitening
            *parts, _ = over_rows(*problem, [rows], towards, self.moves, here.work)
            rest = over_points(*problem, towards, self.moves)
            by_theta, by_points = map(np.add, parts, rest)
            by_theta += here.at.nugget()[1](-0.5 * precision)
            return self.by_block(by_theta, by_points, here.places)

        def posterior():
            arrays = kept(here.whitening, [found.statistics], [solution])
            arrays["_inducing_sites"] = found.sites
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
    next_sites, next_statistics
        Where all sites would go.
    scale : tensor (2, n)
        One over units of the sites, for residuals.
    """

    sites: torch.Tensor
    statistics: Statistics
    value: float
    noise: float
    residual: float
    next_sites: torch.Tensor
    next_statistics: Statistics
    scale: torch.Tensor

    def part_of_the_way(self, length):
        """Sites and statistics after a step of this length."""
        sites = torch.lerp(self.sites, self.next_sites, length)
        parts = self.statistics, self.next_statistics
        return sites, Statistics.mixed(parts, (1 - length, length))


class _Climb:
    """Towards the best q at one theta.

    Parameters
    ----------
    here : Placed
    likelihood : object
        With ``rows(slice)`` and ``expectations(m, v)``.
    """

    def __init__(self, here, likelihood):
        self.here, self.likelihood = here, likelihood
        self.prior = here.at.diag()[0] + here.at.nugget()[0]
        self.L = here.whitening.L.to(self.prior)

    def top(self, sites, max_iter, tolerance):
        """The last _Visit, with the sites that it would go to; and how many there were.

        Without sites from elsewhere f starts at 0 and certain: sites that are too
        narrow widen in a few steps.
        """
        if sites is None:
            zero = torch.zeros_like(self.prior)
            _, slope, bend, _, _ = self.likelihood.expectations(zero, zero)
            sites = torch.stack([-bend, slope])
        here, memory, length, n_visits = None, [], 1.0, 0
        statistics = self._of_sites(sites)
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
            proposed = _extrapolated(memory) if length == 1.0 else None
            sites, statistics = proposed or here.part_of_the_way(length)
        resting = {"sites": here.next_sites, "statistics": here.next_statistics}
        return replace(here, **resting), n_visits

    def _of_sites(self, sites):
        """Statistics of sites (2, n)."""
        found = Statistics.zeros(len(self.L), 1, self.here.whitening.L)
        for some, a in self._whitened():
            self._add(found, a, *sites[:, some])
        return found

    def _visit(self, sites, statistics):
        """The bound of q with these sites, and where they would go."""
        solution = Solution.of(statistics)
        L_B, beta = (one.to(self.prior) for one in (solution.L_B, _mean(solution)))
        found = Statistics.zeros(len(self.L), 1, self.here.whitening.L)
        moved, scale, fit, gap = torch.empty_like(sites), torch.empty_like(sites), 0, 0
        for some, a in self._whitened():
            mean = (a.mT @ beta)[:, 0]
            left = solve_lower(L_B, a).square().sum(0)
            variance = (self.prior[some] - a.square().sum(0) + left).clamp(min=0)
            terms = self.likelihood.rows(some).expectations(mean, variance)
            log_p, slope, bend, _, _ = terms
            moved[0, some], moved[1, some] = -bend, slope - bend * mean
            scale[0, some], scale[1, some] = variance, variance.sqrt()
            self._add(found, a, *moved[:, some])
            precision, shift = sites[:, some]
            of_mean = (slope - shift + precision * mean).abs() * variance.sqrt()
            of_variance = (bend + precision).abs() * variance
            fit = fit + torch.stack([log_p.sum(), log_p.abs().sum()])
            gap = max(gap, torch.maximum(of_mean, of_variance).max().item())
        fit, sizes = fit.tolist()
        lost = _divergence(solution)
        noise = 8 * torch.finfo(sites.dtype).eps * (1 + sizes + abs(lost))
        value, noise = fit - lost, float(noise)
        return _Visit(sites, statistics, value, noise, gap, moved, found, scale)

    def _whitened(self):
        """Slices of rows, each with a = L^-1 k(Z, rows)."""
        at, whitening = self.here.at, self.here.whitening
        for some in whitening.blocks(at.points.n):
            k = at.cross(whitening.Z, at.points[some])[0]
            yield some, solve_lower(self.L, k)

    def _add(self, found, a, precision, shift):
        """Add the rows with these sites to Statistics."""
        work, m = self.here.work, len(a)
        scaled = torch.mul(a, precision, out=work.buffer("scaled", *a.shape))
        product = torch.mm(scaled, a.mT, out=work.buffer("a a'", m, m))
        found.S.add_(product.to(found.S))
        found.b.add_((a @ shift[:, None]).to(found.b))


def _extrapolated(visits):
    """Sites and their statistics where the residual of past visits would be least.

    Anderson's method (Walker and Ni 2011): the sum of visits, of weights that add up to
    1. None where there is but one, or where a precision would not be positive.
    """
    if len(visits) < 2:
        return None
    scale = visits[-1].scale
    gaps = [((one.next_sites - one.sites) * scale).ravel() for one in visits]
    gaps = double(torch.stack(gaps))
    gram = gaps @ gaps.mT
    gram.diagonal().add_(1e-10 * gram.diagonal())
    ones = torch.ones(len(visits), 1).to(gram)
    weights = torch.linalg.solve(gram, ones)[:, 0]
    weights = (weights / weights.sum()).tolist()
    pairs = zip(weights, visits, strict=True)
    sites = sum(weight * one.next_sites for weight, one in pairs)
    if not bool((sites[0] >= 0).all()):
        return None
    return sites, Statistics.mixed([one.next_statistics for one in visits], weights)


def _mean(solution):
    """The mean of the whitened values at the points: (m, 1)."""
    return torch.cholesky_solve(solution.b, solution.L_B)


def _divergence(solution):
    """KL(q(u), p(u)) = (tr B^-1 + beta'beta - m + log|B|) / 2."""
    L_B, m = solution.L_B, len(solution.L_B)
    trace = torch.cholesky_inverse(L_B).diagonal().sum()
    squares = _mean(solution).square().sum()
    return (0.5 * (trace + squares - m) + half_log_det(L_B)).item()
