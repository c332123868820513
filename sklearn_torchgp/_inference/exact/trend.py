"""A linear trend h(x)' beta whose coefficients have a flat prior (GPML 2.7).

With K = L L' and the whitened basis L^-1 H = Q R (Q'Q = 1, R triangular), A = H'K^-1 H
of the book (which has H transposed) is R'R, and GPML 2.42, 2.44 and 2.45 become

    beta = R^-1 Q' L^-1 y
    mean = k' alpha + h' beta,       alpha = L^-T (1 - Q Q') L^-1 y
    variance = k** - |v|^2 + |R^-T h - Q' v|^2,        v = L^-1 k
    log p(y) = -y' alpha / 2 - log|L| - log|R| - (n - p) log(2 pi) / 2.

K^-1 turns into the precision P = K^-1 - W W', W = L^-T Q, wherever it stands.
"""

from dataclasses import dataclass

import torch

from ..._linalg.cholesky import solve_lower


@dataclass(frozen=True)
class Trend:
    """The trend's posterior.

    Attributes
    ----------
    Q : tensor (n, p), or (t, n, p) where each target has a factor
    R : tensor (p, p), or (t, p, p)
    beta : tensor (p, t)
    """

    Q: torch.Tensor
    R: torch.Tensor
    beta: torch.Tensor

    @classmethod
    def stack(cls, trends):
        """One trend of t targets from t trends of one target."""
        Q = torch.stack([trend.Q for trend in trends])
        R = torch.stack([trend.R for trend in trends])
        return cls(Q, R, torch.cat([trend.beta for trend in trends], dim=1))

    def unstack(self):
        """The trends of one target that `stack` made this one from."""
        parts = zip(self.Q, self.R, self.beta.mT, strict=True)
        return [Trend(Q, R, beta[:, None]) for Q, R, beta in parts]

    def unsure(self, V, h):
        """R^-T h - Q' v: (p, m), or (t, p, m), for V = L^-1 k (.., n, m), h (m, p)."""
        lower = self.R.mT
        return torch.linalg.solve_triangular(lower, h.mT, upper=False) - self.Q.mT @ V


def solve_with_trend(L, H, y):
    """alpha (n, t) and the Trend, for y (n, t)."""
    Q, R = torch.linalg.qr(solve_lower(L, H))
    z = solve_lower(L, y)
    Qz = Q.mT @ z
    beta = torch.linalg.solve_triangular(R, Qz, upper=True)
    alpha = torch.linalg.solve_triangular(L.mT, z - Q @ Qz, upper=True)
    return alpha, Trend(Q, R, beta)
