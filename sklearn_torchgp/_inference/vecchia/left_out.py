"""Leave-one-out: each training row told by its nearest other ones.

With the blocks of `terms` and e = [y, H]_B' w, l = L_last,last, row i is told by its
neighbours with the residual r = l e_y and the variance v = l^2. Its own term in
A = H'K^-1 H is e_H e_H'; without it the coefficients of a trend are unsure by more:
with s = e_H' A^-1 e_H (which is exact where the neighbours are all other rows)

    mean = y - (r - l e_H' beta) / (1 - s),   variance = v / (1 - s).
"""

import math

import torch

from ..._linalg.precision import double
from ..columns import columns_of
from ..exact.leave_one_out import put_back
from .factor import factor_with_help
from .sweep import batches, sweep


def left_out(at, observed, trend, blocks, ladder):
    """Mean (n, t) and variance (n,) of noisy observations, and what had to be added.

    Parameters
    ----------
    at : CovarianceAt
    observed : Observations
        Of one factor.
    trend : Coefficients or None
    blocks : ndarray of int32 (n, k)
        Of each row, its neighbours and, last, itself.
    ladder : tuple of float
    """
    n, t = observed.y.shape
    columns, slices = columns_of(observed), batches(*blocks.shape, at.points)
    means = double(at.points.zeros(1)).new_empty(n, t)
    variances, added = means.new_empty(n), [0.0] * len(slices)

    def some(i, rows):
        index = torch.from_numpy(blocks[rows]).long().to(at.points.device)
        part = observed.rows(index)
        nugget = 0.0 if part.weight is None else at.nugget(at.points[index])[0]
        K = part.cover_(at.blocks(index)[0], nugget)
        own = K[:, -1, -1].clone()
        L, added[i] = factor_with_help(K, ladder)
        E = torch.linalg.solve_triangular(L, columns[index], upper=False)[:, -1]
        l, E, own = double(L[:, -1, -1]), double(E), double(own)
        residual, variance = l[:, None] * E[:, :t], l.square()
        if trend is not None:
            R, beta = trend.R.to(E), trend.beta.to(E)
            told = torch.linalg.solve_triangular(R.mT, E[:, t:].mT, upper=False)
            left = 1 - told.square().sum(0)
            # Without a row that alone determines a coefficient the others say nothing.
            left = torch.where(left / variance * own > 1e-10, left, 0.0)
            residual = (residual - l[:, None] * (E[:, t:] @ beta)) / left[:, None]
            variance = variance / left
            residual = torch.where(left[:, None] > 0, residual, math.nan)
        if part.weight is not None:
            N = part.noise + part.own_noise(
                nugget, at.diag(at.points[index])[0] + nugget
            )
            variance = variance + double(N * (1 - 1 / part.weight))[:, -1]
        means[rows] = double(part.y[:, -1]) - residual
        variances[rows] = variance

    sweep(some, slices, at)
    return means, variances, max(added)


def of_rows_given(mean, variance, at, likelihood, factors):
    """The moments of each row that was merged, where only that one is left out.

    Parameters
    ----------
    mean, variance : tensors (n, t), (n, n_factors)
    at : CovarianceAt
    likelihood : Observations
        With `given` and `y_given`.
    factors : list of Observations
    """
    nugget = at.nugget()[0]
    diagonal = at.diag()[0] + nugget
    noise = [one.noise + one.own_noise(nugget, diagonal) for one in factors]
    noise = double(torch.stack(noise, dim=1))
    group, weight = likelihood.given
    weight, total = double(weight)[:, None], double(likelihood.weight)[group][:, None]
    rest = total - weight
    rest = torch.where(rest > 1e-12 * total, rest, 0.0)
    y, others = double(likelihood.y), double(likelihood.y)[group]
    if likelihood.y_given is not None:
        told = total * y[group] - weight * double(likelihood.y_given)
        others = torch.where(rest > 0, told / rest.clamp_min(1e-300), 0.0)
    return put_back(mean[group], variance[group], others, noise[group], rest[:, 0])
