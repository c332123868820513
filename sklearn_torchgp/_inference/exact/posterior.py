"""What prediction needs, for every dense method: mean, variance and covariance."""

from dataclasses import dataclass, replace

import torch

from ..._linalg.cholesky import solve_lower
from .trend import Trend


@dataclass(frozen=True)
class Posterior:
    """A Gaussian posterior over f (GPML algorithms 2.1, 3.2 and 3.6).

    mean = k' alpha,   variance = k** - |L^-1 (s * k)|^2,   and see `Trend`.

    Attributes
    ----------
    alpha : tensor (n, t)
    L : tensor (n, n), or (t, n, n) where each target has a factor; lower triangle
    trend : Trend, default=None
    s : tensor (n,), default=None
        Root of the site precisions; None for 1 (exact inference).
    """

    alpha: torch.Tensor
    L: torch.Tensor
    trend: Trend | None = None
    s: torch.Tensor | None = None

    @classmethod
    def stack(cls, posteriors):
        """One posterior of t targets from t posteriors of one target."""
        alpha = torch.cat([posterior.alpha for posterior in posteriors], dim=1)
        trends = [posterior.trend for posterior in posteriors]
        trend = None if trends[0] is None else Trend.stack(trends)
        return cls(alpha, torch.stack([posterior.L for posterior in posteriors]), trend)

    def factors(self):
        """The posteriors of one factor that `stack` made this one from."""
        if self.L.ndim == 2:
            return [self]
        parts = []
        for j, L in enumerate(self.L):
            trend = self.trend
            if trend is not None:
                trend = Trend(trend.Q[j], trend.R[j], trend.beta[:, j : j + 1])
            parts.append(Posterior(self.alpha[:, j : j + 1], L, trend))
        return parts

    def with_copied_factor(self):
        """The same on memory of its own, for what overwrites L."""
        return replace(self, L=self.L.clone())

    @property
    def n_factors(self):
        return 1 if self.L.ndim == 2 else self.L.shape[0]

    def mean(self, k, h=None):
        """(m, t) in float64, for k = k(Z, X) of shape (m, n), trend columns h (m, p).

        float32 would lose to cancellation what float32 weights still hold, and the
        answer for a row would depend on the rows beside it.
        """
        mean = k.double() @ self.alpha.double()
        if self.trend is not None:
            mean += h.double() @ self.trend.beta.double()
        return mean

    def explained(self, k, h=None):
        """The variance that the data take away from the prior's: (m, n_factors).

        A trend gives back what is unsure about it.
        """
        V = self._whitened(k)
        unsure = None if self.trend is None else self.trend.unsure(V, h)
        explained = V.square_().sum(-2)
        if unsure is not None:
            explained -= unsure.square_().sum(-2)
        return explained.reshape(self.n_factors, -1).mT

    def variance_weights(self, k, h=None):
        """How the variance changes with k and with the trend's columns h.

        Returns
        -------
        c : tensor (n_factors, m, n)
            d variance_i = -2 sum_j c_ij dk_ij + ...
        e : tensor (n_factors, m, p) or None
            ... + 2 sum_j e_ij dh_ij.
        """
        V = self._whitened(k)
        e = None
        if self.trend is not None:
            unsure = self.trend.unsure(V, h)
            V = V + self.trend.Q @ unsure
            e = torch.linalg.solve_triangular(self.trend.R, unsure, upper=True).mT
            e = e[None] if self.L.ndim == 2 else e
        c = torch.linalg.solve_triangular(self.L.mT, V, upper=True).mT
        return c[None] if self.L.ndim == 2 else c, e

    def explained_covariance(self, k, h=None):
        """The covariance that the data take away: (m, m, n_factors)."""
        V = self._whitened(k)
        explained = V.mT @ V
        if self.trend is not None:
            unsure = self.trend.unsure(V, h)
            explained -= unsure.mT @ unsure
        return explained[..., None] if self.L.ndim == 2 else explained.permute(1, 2, 0)

    def _whitened(self, k):
        return solve_lower(self.L, (k if self.s is None else k * self.s).mT)
