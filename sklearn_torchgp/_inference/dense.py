"""The posterior of every method that factors one n x n matrix: moments and slopes."""

from functools import cached_property

import torch

from .._linalg.cholesky import solve_lower, symmetrize_
from .._linalg.memory import row_blocks
from .._linalg.precision import double, has_float64
from . import few
from .contract import Posterior


class DensePosterior(Posterior):
    """A Gaussian posterior over f (GPML algorithms 2.1, 3.2 and 3.6).

    mean = k' alpha,   variance = k** - |L^-1 (s * k)|^2,   and see `exact.trend`.

    Attributes
    ----------
    alpha : tensor (n, q)
    L : tensor (n, n), or (q, n, n) where each function has a factor; lower triangle
    s : tensor (n,) or None
        Root of the site precisions; None for 1 (exact inference).
    trend : Trend or None
    """

    s = None
    trend = None

    @cached_property
    def alpha(self):
        alpha = self.arrays["alpha_"]
        return alpha[:, None] if alpha.ndim == 1 else alpha

    @cached_property
    def L(self):
        return self.arrays["L_"]

    @property
    def n_functions(self):
        return self.alpha.shape[1]

    @property
    def n_factors(self):
        L = self.arrays["L_"]
        return 1 if L.ndim == 2 else L.shape[0]

    def moments(self, X, spread=None, *, noise=True):
        if spread == "cov":
            return self._joint_moments(X, noise)
        if (found := self.few_moments(X, spread, noise=noise)) is not None:
            mean, variance = found
            return torch.from_numpy(mean), spread and torch.from_numpy(variance)
        points, n = self.covariance.points, self.covariance.points.n
        n_parts = 2 + 2 * self.n_factors if spread else 1
        # A triangular solve ran at 44 GFLOP/s for 64 rows and at 54 for 512.
        at_least = 512 if spread else 64
        means, variances = [], []
        size, new = n_parts * n * points.itemsize, points.others(X)
        for rows in row_blocks(len(X), size, points.device, at_least):
            Z, h = new[rows], self._trend_columns(X[rows])
            if not spread:
                means.append(self._with_trend(self.covariance.times(Z, self.alpha), h))
                continue
            k = self.covariance.cross(Z)
            means.append(self._mean(k, h))
            prior = double(self._prior_variance(Z, noise))[:, None]
            variances.append(prior - self._explained(k, h))
        return torch.cat(means), double(torch.cat(variances)) if spread else None

    def few_moments(self, X, spread=None, *, noise=True):
        return few.moments(self, X, spread, noise)

    def slopes(self, X, *, variance=False):
        points, n = self.covariance.points, self.covariance.points.n
        n_parts = 6 + 4 * (self.n_factors if variance else 0)
        means, variances = [], []
        for rows in row_blocks(len(X), n_parts * n * points.itemsize, points.device):
            Z = points.others(X[rows])
            k, pull = self.covariance.cross_slope(Z)
            weights = [alpha.expand(Z.n, n) for alpha in self.alpha.mT]
            means.append(torch.stack([pull(G) for G in weights], dim=-1))
            if variance:
                c, e = self._variance_weights(k, self._trend_columns(X[rows]))
                slopes = torch.stack([-2 * pull(G) for G in c], dim=-1)
                if e is not None:
                    slopes += 2 * (e @ self._trend_slopes()).permute(1, 2, 0)
                variances.append(slopes + self._prior_slope(Z)[..., None])
        mean = double(torch.cat(means))
        if self.trend is not None:
            mean += double(self._trend_slopes().mT @ self.trend.beta)
        return mean, double(torch.cat(variances)) if variance else None

    def _joint_moments(self, X, noise):
        k = self.covariance.cross(X)
        h = self._trend_columns(X)
        prior = double(self._prior_covariance(X, noise))[..., None]
        cov = prior - self._explained_covariance(k, h)
        torch.diagonal(cov).clamp_(min=0)
        for one in cov.unbind(-1):
            symmetrize_(one)
        return self._mean(k, h), cov

    def _prior_variance(self, Z, noise):
        return self.covariance.diag(Z, noise=noise)

    def _prior_slope(self, Z):
        return self.covariance.diag_slope(Z)

    def _prior_covariance(self, X, noise):
        return self.covariance.full(X, noise=noise)

    def _trend_columns(self, X):
        return None if self.trend is None else self.likelihood.basis.at(X)

    def _trend_slopes(self):
        """d column / dx: tensor (p, d)."""
        d = self.covariance.points.raw.shape[1]
        return torch.from_numpy(self.likelihood.basis.slopes(d)).to(self.alpha)

    def _mean(self, k, h):
        """(m, q) in float64, for k = k(Z, X) of shape (m, n), trend columns h (m, p).

        float32 would lose to cancellation what float32 weights still hold, and the
        answer for a row would depend on the rows beside it.
        """
        return self._with_trend(double(k) @ double(self.alpha), h)

    def _with_trend(self, mean, h):
        return mean if h is None else mean + double(h) @ double(self.trend.beta)

    def _explained(self, k, h):
        """The variance that the data take away from the prior's: (m, n_factors).

        A trend gives back what is unsure about it. Sums are float64's: they nearly
        cancel the prior.
        """
        V = self._whitened(k)
        unsure = None if h is None else self.trend.unsure(V, h)
        explained = _sum_of_squares(V)
        if unsure is not None:
            explained -= _sum_of_squares(unsure)
        return explained.reshape(self.n_factors, -1).mT

    def _explained_covariance(self, k, h):
        """The covariance that the data take away: (m, m, n_factors)."""
        V = self._whitened(k)
        unsure = None if h is None else double(self.trend.unsure(V, h))
        V = double(V)
        explained = V.mT @ V
        if unsure is not None:
            explained -= unsure.mT @ unsure
        return explained[..., None] if self.L.ndim == 2 else explained.permute(1, 2, 0)

    def _variance_weights(self, k, h):
        """How the variance changes with k and with the trend's columns h.

        Returns
        -------
        c : tensor (n_factors, m, n)
            d variance_i = -2 sum_j c_ij dk_ij + ...
        e : tensor (n_factors, m, p) or None
            ... + 2 sum_j e_ij dh_ij.
        """
        V, e = self._whitened(k), None
        if h is not None:
            unsure = self.trend.unsure(V, h)
            V = V + self.trend.Q @ unsure
            e = torch.linalg.solve_triangular(self.trend.R, unsure, upper=True).mT
            e = e[None] if self.L.ndim == 2 else e
        c = torch.linalg.solve_triangular(self.L.mT, V, upper=True).mT
        if self.s is not None:
            c = c * self.s
        return c[None] if self.L.ndim == 2 else c, e

    def _whitened(self, k):
        return solve_lower(self.L, (k if self.s is None else k * self.s).mT)


def _sum_of_squares(V):
    """Over the last axis but one, in float64; V is overwritten."""
    V = V.square_()
    if not has_float64(V.device.type):
        return double(V.sum(-2))
    return V.sum(-2, dtype=torch.float64)
