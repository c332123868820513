"""Textbook formulas on dense NumPy matrices: the slow oracle of the tests."""

import numpy as np


def log_normal(y, mean, cov):
    """log N(y; mean, cov) for y (n,)."""
    r = y - mean
    sign, log_det = np.linalg.slogdet(cov)
    assert sign > 0
    return -0.5 * (r @ np.linalg.solve(cov, r) + log_det + len(y) * np.log(2 * np.pi))


def posterior(kernel, X, y, noise, Z):
    """Mean and covariance of the latent function at Z (White part left out at Z)."""
    K = kernel(X) + np.diag(np.broadcast_to(noise, len(X)))
    k = kernel(Z, X)
    mean = k @ np.linalg.solve(K, y)
    return mean, kernel(Z, Z) - k @ np.linalg.solve(K, k.T)
