"""What the m inducing points tell of new rows.

With P = L^-T (I - B^-1) L^-1 and k = k(Z, x*), and where there is a trend h'beta,

    mean = k'gamma + h*'beta,    gamma = L^-T B^-1 (b_y - b_H beta)
    variance = k** - k'P k + |R^-T d|^2,    d = h* - b_H'B^-1 L^-1 k.
"""

from functools import cached_property

import torch

from ..._linalg.cholesky import solve_lower
from ..._linalg.precision import double
from ..columns import Coefficients
from ..dense import DensePosterior


class SeenThrough(DensePosterior):
    """A posterior over the inducing points, which are its rows.

    Parameters
    ----------
    posterior : ThroughPoints
    """

    def __init__(self, posterior):
        covariance = posterior.covariance.on(posterior.points)
        super().__init__(covariance, posterior.likelihood, posterior.arrays)
        self.L, self.solutions = posterior.L, posterior.solutions
        self.coefficients = posterior.coefficients
        gammas = [
            _gamma(self.L, *one)
            for one in zip(self.solutions, self.coefficients, strict=True)
        ]
        self.alpha = torch.cat(gammas, dim=1).to(covariance.points.zeros(0))

    @property
    def n_factors(self):
        return len(self.solutions)

    @cached_property
    def trend(self):
        if self.coefficients[0] is None:
            return None
        beta = torch.cat([one.beta for one in self.coefficients], dim=1)
        return Coefficients(None, beta.to(self.alpha))

    def few_moments(self, X, spread=None, *, noise=True):
        return None

    def _explained(self, k, h):
        a = solve_lower(self.L, double(k.mT))
        prior = a.square().sum(0)
        parts = [
            prior - sum(part.square().sum(0) for part in self._left(i, a, h))
            for i in range(self.n_factors)
        ]
        return torch.stack(parts, dim=1)

    def _explained_covariance(self, k, h):
        a = solve_lower(self.L, double(k.mT))
        prior = a.mT @ a
        parts = [
            prior - sum(part.mT @ part for part in self._left(i, a, h))
            for i in range(self.n_factors)
        ]
        return torch.stack(parts, dim=-1)

    def _variance_weights(self, k, h):
        a = solve_lower(self.L, double(k.mT))
        c, e = [], []
        for i, one in enumerate(self.solutions):
            left, *unsure = self._left(i, a, h)
            if unsure:
                upper, told = self.coefficients[i].R.to(a), self._told_of_trend(i)
                share = torch.linalg.solve_triangular(upper, unsure[0], upper=True)
                left = left - told @ share
                e.append(share.mT.to(k))
            back = a - torch.linalg.solve_triangular(one.L_B.mT, left, upper=True)
            c.append(torch.linalg.solve_triangular(self.L.mT, back, upper=True).mT)
        return torch.stack(c).to(k), torch.stack(e) if e else None

    def _left(self, i, a, h):
        """Factor i: roots of what is left unsure of the points, and of the trend."""
        left = [solve_lower(self.solutions[i].L_B, a)]
        if h is not None:
            lower = self.coefficients[i].R.mT.to(a)
            d = double(h).mT - self._told_of_trend(i).mT @ left[0]
            left.append(solve_lower(lower, d))
        return left

    def _told_of_trend(self, i):
        """L_B^-1 b_H of factor i."""
        one, p = self.solutions[i], len(self.coefficients[i].R)
        return solve_lower(one.L_B, one.b[:, -p:])


def _gamma(L, solution, trend):
    """L^-T B^-1 (b_y - b_H beta): (m, t)."""
    b = solution.b
    if trend is not None:
        t = trend.beta.shape[1]
        b = b[:, :t] - b[:, t:] @ trend.beta.to(b)
    beta = torch.cholesky_solve(b, solution.L_B)
    return torch.linalg.solve_triangular(L.mT, beta, upper=True)
