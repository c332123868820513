"""Draws of Gaussians from their joint moments."""

import numpy as np


def joint_draws(mean, cov, n_draws, rng):
    """Draws of independent Gaussians, one a column, whose covariances may be singular.

    The factor is that of NumPy's multivariate_normal, so that draws are those of
    scikit-learn; but eigenvalues that round-off made negative count as zero, not with
    their modulus, and nobody is warned of them.

    Parameters
    ----------
    mean : ndarray (m, t)
    cov : ndarray (m, m, t)
    n_draws : int
    rng : RandomState

    Returns
    -------
    ndarray (m, t, n_draws)
    """
    draws = []
    for m, C in zip(mean.T, np.moveaxis(cov, 2, 0), strict=True):
        U, s, Vt = np.linalg.svd(C)
        s = np.where((U * Vt.T).sum(axis=0) < 0, 0.0, s)
        z = rng.standard_normal((n_draws, len(m)))
        draws.append((m + (z * np.sqrt(s)) @ Vt).T)
    return np.stack(draws, axis=1)


def with_single_axis(draws):
    """Draws (m, t, s) with a last axis of length 1, and without t where it is 1."""
    return (draws[:, 0] if draws.shape[1] == 1 else draws)[..., None]
