"""Latent Gaussian values at new rows: what every classifier predicts from."""

import torch

from ._tensors import row_blocks


def latent_moments(covariance, posterior, X):
    """Mean (m,) and variance (m,) of f at the rows X, in blocks; float64.

    Parameters
    ----------
    covariance : Covariance
        Bound to the training rows.
    posterior : Posterior
    X : ndarray (m, d), or list of m objects
    """
    points = covariance.points
    means, variances = [], []
    for rows in row_blocks(len(X), 4 * points.n * points.itemsize, points.device):
        Z = points.others(X[rows])
        k = covariance.cross(Z)
        means.append(posterior.mean(k)[:, 0])
        variances.append(covariance.diag(Z) - posterior.explained(k)[:, 0])
    return torch.cat(means), torch.cat(variances).double().clamp_(min=0)


def latent_mean(covariance, posterior, X):
    """Mean (m,) of f at the rows X, in blocks; float64."""
    points = covariance.points
    blocks = row_blocks(len(X), 2 * points.n * points.itemsize, points.device)
    k = (covariance.cross(points.others(X[rows])) for rows in blocks)
    return torch.cat([posterior.mean(block)[:, 0] for block in k])


def latent_joint(covariance, posterior, X):
    """Mean (m,) and covariance (m, m) of f at the rows X; float64."""
    k = covariance.cross(X)
    cov = (covariance.full(X) - posterior.explained_covariance(k)[..., 0]).double()
    cov.diagonal().clamp_(min=0)
    return posterior.mean(k)[:, 0], cov
