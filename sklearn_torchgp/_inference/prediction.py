"""Moments of the latent function at new rows, from a covariance and a posterior.

`noise` says whether variances have the kernel's own noise (its White part);
``columns(X)`` gives the columns of the posterior's trend at rows X, None without one.
Variances may be negative by round-off.
"""

import torch

from .._linalg.cholesky import symmetrize_
from .._linalg.memory import row_blocks


def prior_moments(covariance, n_targets, spread, *, noise=True):
    """Mean (n, t), and variance (n, 1) or covariance (n, n, 1) or None, of the prior
    at the covariance's own rows.
    """
    points = covariance.points
    mean = points.zeros(points.n, n_targets)
    if spread == "cov":
        return mean, covariance.full(noise=noise)[..., None]
    if spread == "var":
        return mean, covariance.diag(points, noise=noise)[:, None]
    return mean, None


def no_columns(X):
    """The columns of a model without a trend."""


def row_moments(covariance, posterior, X, spread, *, noise=True, columns=no_columns):
    """Mean (m, t) and variance (m, n_factors) or None, in blocks of rows."""
    points, n = covariance.points, covariance.points.n
    n_factors = posterior.n_factors if spread else 0
    bytes_per_row = (2 + 2 * n_factors) * n * points.itemsize
    # A triangular solve ran at 44 GFLOP/s for 64 rows and at 54 for 512.
    at_least = 512 if spread else 64
    means, variances = [], []
    for rows in row_blocks(len(X), bytes_per_row, points.device, at_least):
        Z = points.others(X[rows])
        k = covariance.cross(Z)
        h = columns(X[rows])
        means.append(posterior.mean(k, h))
        if spread:
            prior = covariance.diag(Z, noise=noise)[:, None]
            variances.append(prior - posterior.explained(k, h))
    return torch.cat(means), torch.cat(variances) if spread else None


def joint_moments(covariance, posterior, X, *, noise=True, columns=no_columns):
    """Mean (m, t) and covariance (m, m, n_factors)."""
    k = covariance.cross(X)
    h = columns(X)
    prior = covariance.full(X, noise=noise)[..., None]
    cov = prior - posterior.explained_covariance(k, h)
    torch.diagonal(cov).clamp_(min=0)
    for one in cov.unbind(-1):
        symmetrize_(one)
    return posterior.mean(k, h), cov


def row_gradients(covariance, posterior, X, *, variance, columns, trend_slopes):
    """d mean / dx (m, d, t) and d variance / dx (m, d, n_factors) or None.

    ``trend_slopes`` (p, d) is d column / dx, None without a trend.
    """
    points, n = covariance.points, covariance.points.n
    bytes_per_row = (6 + 4 * (posterior.n_factors if variance else 0)) * n
    means, variances = [], []
    for rows in row_blocks(len(X), bytes_per_row * points.itemsize, points.device):
        Z = points.others(X[rows])
        k, pull = covariance.cross_slope(Z)
        weights = [alpha.expand(Z.n, n) for alpha in posterior.alpha.mT]
        mean = torch.stack([pull(G) for G in weights], dim=-1)
        if trend_slopes is not None:
            mean = mean + trend_slopes.mT @ posterior.trend.beta
        means.append(mean)
        if variance:
            c, e = posterior.variance_weights(k, columns(X[rows]))
            slopes = torch.stack([-2 * pull(G) for G in c], dim=-1)
            if e is not None:
                slopes += 2 * (e @ trend_slopes).permute(1, 2, 0)
            variances.append(slopes + covariance.diag_slope(Z)[..., None])
    return torch.cat(means), torch.cat(variances) if variance else None
