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
    L : tensor (n, n), lower triangle
    """

    alpha: torch.Tensor
    L: torch.Tensor

    def mean(self, k):
        """(m, t) in float64, for k = k(Z, X) of shape (m, n).

        float32 would lose to cancellation what float32 weights still hold, and the
        answer for a row would depend on the rows beside it.
        """
        return k.double() @ self.alpha.double()

    def explained(self, k):
        """The variance that the data take away from the prior's: (m,)."""
        return solve_lower(self.L, k.mT).square_().sum(0)

    def explained_covariance(self, k):
        """The covariance that the data take away from the prior's: (m, m)."""
        V = solve_lower(self.L, k.mT)
        return V.mT @ V
