"""Algorithm 2.1 of GPML up to alpha: the factor of K + N, and the weights K^-1 y."""

from dataclasses import dataclass

import torch

from ..._linalg.cholesky import cholesky_, inverse_, panels, solve
from .trend import Trend, solve_with_trend


@dataclass(frozen=True)
class Solution:
    """The factor of the covariance of the observations, and what it was solved for.

    Attributes
    ----------
    alpha : tensor (n, t)
    L : tensor (n, n), or (t, n, n) where each target has a factor; lower triangle
    trend : Trend, default=None
    """

    alpha: torch.Tensor
    L: torch.Tensor
    trend: Trend | None = None

    @classmethod
    def stack(cls, solutions):
        """One solution of t targets from t solutions of one target."""
        if len(solutions) == 1:
            return solutions[0]
        alpha = torch.cat([one.alpha for one in solutions], dim=1)
        trends = [one.trend for one in solutions]
        trend = None if trends[0] is None else Trend.stack(trends)
        return cls(alpha, torch.stack([one.L for one in solutions]), trend)

    def factors(self):
        """The solutions of one factor that `stack` made this one from."""
        if self.L.ndim == 2:
            return [self]
        trends = [None] * len(self.L) if self.trend is None else self.trend.unstack()
        return [
            Solution(self.alpha[:, j : j + 1], L, trend)
            for j, (L, trend) in enumerate(zip(self.L, trends, strict=True))
        ]


def condition_(K, observations, nugget=0.0):
    """The solution, its factor in K's memory, for observations of one factor."""
    return solution_of(cholesky_(observations.cover_(K, nugget)), observations)


def solution_of(L, observations):
    """The solution for observations whose covariance has the factor L."""
    if observations.basis is None:
        return Solution(solve(L, observations.y), L)
    alpha, trend = solve_with_trend(L, observations.basis.H, observations.y)
    return Solution(alpha, L, trend)


def precision_(solution):
    """P, with P y = alpha: K^-1, less what the trend explains (GPML 2.45).

    In the memory of the solution's L, lower triangle.
    """
    L, trend = solution.L, solution.trend
    if trend is None:
        return inverse_(L)
    W = torch.linalg.solve_triangular(L.mT, trend.Q, upper=True)
    return add_outer_(inverse_(L), W, W, scale=-1.0)


def add_outer_(A, u, v, *, beta=1.0, scale):
    """A <- beta A + scale u v' in the lower triangle."""
    for rows in panels(A.shape[0], 512):
        block = A[rows, : rows.stop]
        block.addmm_(u[rows], v[: rows.stop].mT, beta=beta, alpha=scale)
    return A
