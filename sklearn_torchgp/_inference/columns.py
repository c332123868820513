"""A trend integrated out of a sum: log p(y) from C'K^-1 C for the columns C = [y, H].

H are the columns of a linear trend. Methods that sum over rows, or over terms, keep
S = C'K^-1 C, which holds y'K^-1 y, H'K^-1 y and H'K^-1 H: all that integrating the
trend's coefficients out asks for (GPML 2.45). The derivative of log p(y) in K is then
that of -1/2 sum_j w_j c_j'K^-1 c_j - T log|K| / 2 with other columns c_j, held fixed:
the residual y - H beta with weight 1 and H R^-1 (H'K^-1 H = R'R) with weight T, for T
targets.
"""

import math
from dataclasses import dataclass

import torch

from .._linalg.cholesky import cholesky_, lower_
from .._linalg.precision import double


@dataclass(frozen=True)
class Sums:
    """What is summed, for observations of one factor.

    Attributes
    ----------
    S : tensor (c, c)
        Of the whitened columns [y, H].
    log_det : float
        log|K| / 2.
    spread : float
        What leaving out adds where a row is the mean of copies: see `vecchia.terms`.
    """

    S: torch.Tensor
    log_det: float
    spread: float = 0.0

    def __add__(self, other):
        return Sums(
            self.S + other.S, self.log_det + other.log_det, self.spread + other.spread
        )


@dataclass(frozen=True)
class Coefficients:
    """A trend's coefficients given the data: mean beta (p, t), and A = R'R (p, p)."""

    R: torch.Tensor
    beta: torch.Tensor

    @classmethod
    def of(cls, S, t):
        """From the sums S of [y, H]; None where there is no H."""
        if len(S) == t:
            return None
        L = lower_(cholesky_(S[t:, t:].clone()))
        return cls(L.mT, torch.cholesky_solve(S[t:, :t], L))


def log_density(sums, observed, n):
    """log p(y) from its sums, for n terms (a weighted number), without its copies."""
    t, S = observed.y.shape[1], sums.S
    fit = 0.5 * (S.diagonal()[:t].sum().item() + sums.spread)
    value = -t * sums.log_det
    trend = Coefficients.of(S, t)
    if trend is not None:
        n -= len(trend.R)
        fit -= 0.5 * (S[:t, t:] @ trend.beta).trace().item()
        half_log_A = trend.R.diagonal().log().sum().item()
        value -= t * (half_log_A - observed.basis.log_scale)
    return value - fit - 0.5 * n * t * math.log(2 * math.pi)


def columns_of(observed):
    """[y, H]: tensor (n, t + p)."""
    if observed.basis is None:
        return observed.y
    return torch.cat([observed.y, observed.basis.H], dim=1)


def weighted_columns(observed, sums):
    """The columns, and their weights, whose terms have the gradient of log p(y)."""
    mix, weights = mixture(sums, observed.y.shape[1])
    if observed.basis is None:
        return observed.y, weights.to(observed.y)
    columns = double(columns_of(observed)).cpu() @ mix
    return columns.to(observed.y), weights.to(observed.y)


def mixture(sums, t):
    """The same columns as sums of those of `columns_of`: (c, c), and weights (c,)."""
    mix, weights = torch.eye(len(sums.S), dtype=torch.float64), torch.ones(len(sums.S))
    trend = Coefficients.of(sums.S, t)
    if trend is not None:
        mix[t:, :t] = -trend.beta
        mix[t:, t:] = torch.linalg.solve_triangular(trend.R, mix[t:, t:], upper=True)
        weights[t:] = t
    return mix, weights.double()
