"""What prediction needs, for every dense method: mean, variance and covariance."""

from dataclasses import dataclass

import torch

from .._linalg.cholesky import solve_lower


@dataclass(frozen=True)
class Posterior:
    """A Gaussian posterior over f (GPML algorithms 2.1, 3.2 and 3.6).

    mean = k' alpha,   variance = k** - |L^-1 (s * k)|^2

    Attributes
    ----------
    alpha : tensor (n, t)
    L : tensor (n, n), lower triangle
    s : tensor (n,), default=None
        Root of the site precisions; None for 1 (exact inference).
    """

    alpha: torch.Tensor
    L: torch.Tensor
    s: torch.Tensor | None = None

    def mean(self, k):
        """(m, t) in float64, for k = k(Z, X) of shape (m, n).

        float32 would lose to cancellation what float32 weights still hold, and the
        answer for a row would depend on the rows beside it.
        """
        return k.double() @ self.alpha.double()

    def explained(self, k):
        """The variance that the data take away from the prior's: (m,)."""
        return self._whitened(k).square_().sum(0)

    def explained_covariance(self, k):
        """The covariance that the data take away from the prior's: (m, m)."""
        V = self._whitened(k)
        return V.mT @ V

    def _whitened(self, k):
        return solve_lower(self.L, (k if self.s is None else k * self.s).mT)
