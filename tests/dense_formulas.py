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


def numeric_gradient(function, theta, step=1e-5):
    """Central differences of a scalar function."""
    theta = np.asarray(theta, dtype=float)
    gradient = np.empty_like(theta)
    for i in range(len(theta)):
        shift = np.zeros_like(theta)
        shift[i] = step
        gradient[i] = (function(theta + shift) - function(theta - shift)) / (2 * step)
    return gradient
