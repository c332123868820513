"""The posterior of exact inference: leave-one-out, conditioning, trend."""

from dataclasses import replace

from ..dense import DensePosterior
from .leave_one_out import leave_one_out
from .refinement import refined
from .solution import Solution, solution_of
from .trend import Trend

_TREND = ("_trend_Q", "_trend_R", "_trend_beta")


class ExactPosterior(DensePosterior):
    """f given noisy observations of it, and of a trend under it (GPML 2.2, 2.7).

    It keeps `alpha_` (n, t), `L_` (n, n) or (t, n, n), and where there is a trend its
    Q, R and beta; in float32 also what the last factor needed beyond the jitter of the
    observations, the same for every row. Both count as noise, which they are to the
    rest of the model: hyperparameters were chosen with them, a new observation has
    them, too. (What float64 may need is far below what it could be taken for.)
    """

    @classmethod
    def of(cls, covariance, observations, solution, added=0.0):
        """The posterior that keeps this solution, of a factor with so much added."""
        arrays = {"alpha_": solution.alpha, "L_": solution.L}
        if solution.trend is not None:
            arrays.update(zip(_TREND, vars(solution.trend).values(), strict=True))
        if observations.jitter:
            arrays["_jitter"] = float(added)
        return cls(covariance, observations, arrays)

    @property
    def trend(self):
        if self.likelihood.basis is None:
            return None
        return Trend(*(self.arrays[name] for name in _TREND))

    @property
    def solution(self):
        return Solution(self.alpha, self.L, self.trend)

    def jitter(self, Z):
        """What counts as noise of the rows Z beyond the given and the White part.

        Parameters
        ----------
        Z : Points

        Returns
        -------
        tensor (m,), or 0.0 in float64
        """
        if not self.likelihood.jitter:
            return 0.0
        return self.likelihood.jitter * self.covariance.diag(Z) + self._added

    @property
    def _added(self):
        return self.arrays.get("_jitter", 0.0) if self.likelihood.jitter else 0.0

    def _prior_variance(self, Z, noise):
        prior = super()._prior_variance(Z, noise)
        return prior + self.jitter(Z) if noise else prior

    def _prior_covariance(self, X, noise):
        prior = super()._prior_covariance(X, noise)
        if noise:
            prior.diagonal().add_(self.jitter(self.covariance.points.others(X)))
        return prior

    def _prior_slope(self, Z):
        return (1 + self.likelihood.jitter) * super()._prior_slope(Z)

    def leave_one_out(self):
        """Mean (n, t) and variance (n, n_factors) of the noisy observations."""
        own = own_noise(self.covariance, self.likelihood) + self._added
        return leave_one_out(self.likelihood, self.solution, own)

    def factors(self):
        """A posterior for each factor, of the targets that share it."""
        parts = zip(self.solution.factors(), self.likelihood.factors(), strict=True)
        return [
            ExactPosterior.of(self.covariance, observations, solution, self._added)
            for solution, observations in parts
        ]

    def condition(self, residual):
        """As the contract says, for a posterior of one factor."""
        observations = replace(self.likelihood, y=residual)
        solution = solution_of(self.L, observations)
        solution = refined(self.covariance, observations, solution, self._added)
        return ExactPosterior.of(self.covariance, observations, solution, self._added)


def own_noise(covariance, observations):
    """What `Observations.own_noise` says where weights need it, else 0.0."""
    if observations.weight is None:
        return 0.0
    nugget, _ = covariance.nugget()
    return observations.own_noise(nugget, covariance.diag(covariance.points))
