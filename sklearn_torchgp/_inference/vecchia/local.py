"""New rows given the training rows nearest to them: one small factor each."""

from functools import cached_property

import torch

from ..._linalg.precision import double
from .factor import factor_with_help


class Local:
    """Some new rows, in g groups of s that share their k neighbours, for one factor.

    Parameters
    ----------
    at : CovarianceAt
    observed : Observations
        Of all training rows, of one factor.
    trend : Coefficients or None
    index : tensor of int (g, k)
        Training rows of each group.
    K : tensor (g, k, k)
        Their covariance with the kernel's noise; becomes that of the observations.
    c : tensor (g, k, s)
        Covariance of them with the new rows.
    h : tensor (g s, p) or None
        The trend's columns at the new rows.
    ladder : tuple of float
        What may be added to a matrix without a factor: see `factor_with_help`.
    """

    def __init__(self, at, observed, trend, index, K, c, h, ladder):
        part = observed.rows(index)
        nugget = 0.0 if part.weight is None else at.nugget(at.points[index])[0]
        self.L, self.added = factor_with_help(part.cover_(K, nugget), ladder)
        self.c, self.h, self.part = c, h, part
        self.R = self.beta = self.H = None
        self.y = part.y
        if trend is not None:
            self.R, self.beta = (one.to(c) for one in (trend.R, trend.beta))
            self.H = part.basis.H
            self.y = self.y - self.H @ self.beta

    @property
    def t(self):
        return self.y.shape[-1]

    @cached_property
    def alpha(self):
        """K_N^-1 (y_N - H_N beta): (g, k, t)."""
        return torch.cholesky_solve(self.y, self.L)

    @cached_property
    def V(self):
        """L^-1 k_N*: (g, k, s)."""
        return torch.linalg.solve_triangular(self.L, self.c, upper=False)

    @cached_property
    def unsure(self):
        """R^-T (h* - H_N' b): (g s, p); its square is what the trend is unsure of."""
        whitened = torch.linalg.solve_triangular(self.L, self.H, upper=False)
        told = (whitened.mT @ self.V).mT.reshape(-1, self.h.shape[1])
        lower = self.R.mT
        return torch.linalg.solve_triangular(lower, (self.h - told).mT, upper=False).mT

    def mean(self):
        """(g s, t) in float64, for the reason that dense posteriors give."""
        mean = (double(self.c).mT @ double(self.alpha)).reshape(-1, self.t)
        if self.h is not None:
            mean = mean + double(self.h) @ double(self.beta)
        return mean

    def variance(self, prior):
        """(g s,) from that of the prior."""
        variance = prior - self.V.square().sum(1).reshape(-1)
        if self.h is not None:
            variance = variance + self.unsure.square().sum(1)
        return variance

    def weights(self):
        """b = K_N^-1 k_N* of each new row: (g s, k)."""
        b = torch.linalg.solve_triangular(self.L.mT, self.V, upper=True)
        return b.mT.reshape(-1, b.shape[1])

    def slopes(self, pull, trend_slopes):
        """Of one new row: d mean / dx (1, d, t), and d variance / dx (1, d), less that
        of the prior.

        Parameters
        ----------
        pull : callable
            Of `Covariance.cross_slope` with the neighbours.
        trend_slopes : tensor (p, d) or None
        """
        mean = torch.stack([pull(one[None]) for one in self.alpha[0].mT], dim=-1)
        told = self.weights()
        if self.h is None:
            return mean, -2 * pull(told)
        mean = mean + trend_slopes.mT @ self.beta
        e = torch.linalg.solve_triangular(self.R, self.unsure.mT, upper=True)  # (p, 1)
        back = torch.cholesky_solve(self.H @ e, self.L)[..., 0]
        return mean, 2 * (trend_slopes.mT @ e).mT - 2 * pull(told + back)
