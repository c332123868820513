"""What prediction needs, for every dense method: mean, variance and covariance."""

from dataclasses import dataclass

import torch

from .._linalg.cholesky import solve_lower


@dataclass(frozen=True)
class Posterior:
    """A Gaussian posterior over f (GPML algorithms 2.1 and 3.2).

    mean = k' alpha,   variance = k** - |L^-1 k|^2

    Attributes
    ----------
    alpha : tensor (n, t)
    L : tensor (n, n), or (t, n, n) where each target has a factor; lower triangle
    """

    alpha: torch.Tensor
    L: torch.Tensor

    @classmethod
    def stack(cls, posteriors):
        """One posterior of t targets from t posteriors of one target."""
        alpha = torch.cat([posterior.alpha for posterior in posteriors], dim=1)
        return cls(alpha, torch.stack([posterior.L for posterior in posteriors]))

    @property
    def n_factors(self):
        return 1 if self.L.ndim == 2 else self.L.shape[0]

    def mean(self, k):
        """(m, t) in float64, for k = k(Z, X) of shape (m, n).

        float32 would lose to cancellation what float32 weights still hold, and the
        answer for a row would depend on the rows beside it.
        """
        return k.double() @ self.alpha.double()

    def explained(self, k):
        """The variance that the data take away from the prior's: (m, n_factors)."""
        V = solve_lower(self.L, k.mT)
        return V.square_().sum(-2).reshape(self.n_factors, -1).mT

    def explained_covariance(self, k):
        """The covariance that the data take away: (m, m, n_factors)."""
        V = solve_lower(self.L, k.mT)
        return _factors_last(V.mT @ V)


def _factors_last(A):
    return A[..., None] if A.ndim == 2 else A.permute(1, 2, 0)
