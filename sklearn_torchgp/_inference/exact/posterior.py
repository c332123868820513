"""The posterior of exact inference: leave-one-out, conditioning, trend."""

from dataclasses import replace
from functools import cached_property

from ..dense import DensePosterior
from .leave_one_out import leave_one_out
from .solution import Solution, solution_of
from .trend import Trend

_TREND = ("_trend_Q", "_trend_R", "_trend_beta")


class ExactPosterior(DensePosterior):
    """f given noisy observations of it, and of a trend under it (GPML 2.2, 2.7).

    It keeps `alpha_` (n, t), `L_` (n, n) or (t, n, n), and where there is a trend its
    Q, R and beta.
    """

    @classmethod
    def of(cls, covariance, observations, solution):
        """The posterior that keeps this solution."""
        arrays = {"alpha_": solution.alpha, "L_": solution.L}
        if solution.trend is not None:
            arrays.update(zip(_TREND, vars(solution.trend).values(), strict=True))
        return cls(covariance, observations, arrays)

    @cached_property
    def trend(self):
        if self.likelihood.basis is None:
            return None
        return Trend(*(self.arrays[name] for name in _TREND))

    @property
    def solution(self):
        return Solution(self.alpha, self.L, self.trend)

    def leave_one_out(self):
        """Mean (n, t) and variance (n, n_factors) of the noisy observations."""
        own = own_noise(self.covariance, self.likelihood)
        return leave_one_out(self.likelihood, self.solution, own)

    def factors(self):
        """A posterior for each factor, of the targets that share it."""
        parts = zip(self.solution.factors(), self.likelihood.factors(), strict=True)
        return [
            ExactPosterior.of(self.covariance, observations, solution)
            for solution, observations in parts
        ]

    def condition(self, residual):
        """As the contract says, for a posterior of one factor."""
        observations = replace(self.likelihood, y=residual)
        solution = solution_of(self.L, observations)
        return ExactPosterior.of(self.covariance, observations, solution)


def own_noise(covariance, observations):
    """What `Observations.own_noise` says where weights need it, else 0.0."""
    if observations.weight is None:
        return 0.0
    nugget, _ = covariance.nugget()
    return observations.own_noise(nugget, covariance.diag(covariance.points))
