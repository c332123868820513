"""The posteriors seen through inducing points, of observations and of class labels."""

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from ..._linalg.precision import double
from ...exceptions import ROWS_LEFT
from ..columns import Coefficients
from ..contract import Posterior
from ..sites.engine import Sites
from ..vecchia.left_out import of_rows_given
from . import few
from .left_out import left_out, left_out_sites
from .placed import places_kept
from .seen import SeenThrough
from .statistics import Solution, Statistics, Whitening

_SUMS = "_inducing_L_B", "_inducing_b", "_inducing_squares", "_inducing_rest"


def kept(whitening, found, solutions):
    """What a posterior keeps, as named tensors."""
    parts = (
        [one.L_B for one in solutions],
        [one.b for one in found],
        [one.squares for one in found],
        [one.rest for one in found],
    )
    return {
        "inducing_points_": torch.from_numpy(np.array(whitening.Z.objects)),
        "_inducing_L": whitening.L,
        **{name: torch.stack(one) for name, one in zip(_SUMS, parts, strict=True)},
    }


class ThroughPoints(Posterior):
    """f, all rows having been seen through inducing points.

    It keeps `inducing_points_` (m, d), the factors of K_uu and of B, and the sums over
    the rows.

    Parameters
    ----------
    method : Through
    """

    coefficients = (None,)
    has_trend = False

    def __init__(self, method, covariance, likelihood, arrays):
        super().__init__(covariance, likelihood, arrays)
        self.method = method

    @property
    def n_functions(self):
        return self.seen.n_functions

    @cached_property
    def points(self):
        """The inducing points, as Points."""
        return self.covariance.points.others(places_kept(self.arrays).Z)

    @cached_property
    def L(self):
        return double(self.arrays["_inducing_L"])

    @cached_property
    def solutions(self):
        """The Solution of each factor."""
        parts = (double(self.arrays[name]) for name in _SUMS)
        return [Solution.with_factor(*one) for one in zip(*parts, strict=True)]

    @cached_property
    def seen(self):
        """What new rows see: a posterior over the inducing points."""
        return SeenThrough(self)

    def whitening(self, at):
        """The Whitening that the sums were made with, for rows of `at`."""
        return Whitening(at.points.others(self.points.objects), self.L)

    def moments(self, X, spread=None, *, noise=True):
        return self.seen.moments(X, spread, noise=noise)

    def few_moments(self, X, spread=None, *, noise=True):
        return None if self.has_trend else few.moments(self, X, spread, noise)

    def slopes(self, X, *, variance=False):
        return self.seen.slopes(X, variance=variance)


class InducingPosterior(ThroughPoints):
    """f given noisy observations of it."""

    @property
    def has_trend(self):
        return self.likelihood.basis is not None

    @cached_property
    def coefficients(self):
        """The trend's Coefficients of each factor; None without a trend."""
        pairs = zip(self.solutions, self.likelihood.factors(), strict=True)
        return [Coefficients.of(one.sums.S, of.y.shape[1]) for one, of in pairs]

    @property
    def trend(self):
        """The Coefficients of all targets; None without a trend."""
        return self.seen.trend

    @property
    def statistics(self):
        """The Statistics of each factor."""
        names = "_inducing_squares", "_inducing_rest"
        squares, rest = (double(self.arrays[name]) for name in names)
        found = []
        for one, *sums in zip(self.solutions, squares, rest, strict=True):
            S = one.L_B @ one.L_B.mT
            S.diagonal().sub_(1)
            found.append(Statistics(S, one.b, *sums))
        return found

    def leave_one_out(self):
        """Mean (n, t) and variance (n, n_factors) of the noisy observations."""
        at = self.covariance.at()
        pairs = zip(self.likelihood.factors(), self.solutions, strict=True)
        found = [left_out(at, self.whitening(at), *one) for one in pairs]
        means, *variances = zip(*found, strict=True)
        mean = torch.cat(means, dim=1)
        variance, missed = (torch.stack(one, dim=1) for one in variances)
        given, factors = self.likelihood.given, self.likelihood.factors()
        if given is not None:  # other copies of a row tell of it through the points
            missed = missed[given[0]]
            told = mean, variance, at, self.likelihood, factors
            mean, variance = of_rows_given(*told)
        return mean, variance + missed

    def factors(self):
        """A posterior for each factor, of the targets that share it."""
        parts = []
        for i, one in enumerate(self.likelihood.factors()):
            arrays = {n: self.arrays[n] for n in ("inducing_points_", "_inducing_L")}
            arrays.update((name, self.arrays[name][i : i + 1]) for name in _SUMS)
            parts.append(InducingPosterior(self.method, self.covariance, one, arrays))
        return parts

    def as_seen(self, function):
        """As the contract says: the rows see k_fu K_uu^-1 u, for u its values at the
        points.
        """
        at = self.covariance.at()
        if at.points.n < (1 - 1e-6) * self.solutions[0].n:  # which may be in float32
            raise ValueError(ROWS_LEFT)
        values = torch.as_tensor(function(self.points.objects)).to(self.L)
        told = torch.cholesky_solve(values, self.L)
        seen = [
            double(at.cross(at.points[some], self.points)[0]) @ told
            for some in self.whitening(at).blocks(at.points.n)
        ]
        return torch.cat(seen)

    def condition(self, residual):
        """As the contract says, for a posterior of one factor."""
        likelihood = replace(self.likelihood, y=residual)
        start = places_kept(self.arrays)
        return self.method.infer(self.covariance, likelihood, start=start).posterior()


class SitesThrough(ThroughPoints):
    """f given class labels, as sites.

    It keeps the sites, too.
    """

    def leave_one_out(self):
        """Mean and variance (n, 1) of each f_i given all but one copy of its term."""
        sites = Sites(*double(self.arrays["_inducing_sites"]))
        at, copies = self.covariance.at(), self.likelihood.copies
        (solution,) = self.solutions
        return left_out_sites(at, self.whitening(at), sites, solution, copies)
