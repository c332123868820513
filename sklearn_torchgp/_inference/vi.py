"""Variational inference with a full-covariance Gaussian, through its sites.

The Gaussian that maximises the evidence lower bound has sites S = -E[d2 log p] and
nu = E[d log p] + S mean, expectations under its own marginals (Opper and Archambeau
2009). Moving the sites towards these values is natural-gradient ascent of the bound
(Khan and Lin 2017).
"""

import torch

from .sites import Sites, iterate, no_sites

TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-3}

# First step towards the matched sites.
DAMPING = 0.9


def vi(K, likelihood, start=None, *, max_iter=100, work=None):
    """The best Gaussian approximation in Kullback-Leibler divergence KL(q, posterior).

    Parameters
    ----------
    K : tensor (n, n)
    likelihood : object with ``expectations(m, v)``
    start : Sites, default=None
        None starts at the prior.
    max_iter : int, default=100
        Most factorisations, from the start and again from the prior.
    work : tensor (n, n), default=None

    Returns
    -------
    Inference
        `lml` is the evidence lower bound. The residual is the largest gap in the
        stationarity conditions, in posterior standard deviations (relative, for S).
    """

    def rule(q, sites):
        return _ascend(q, sites, likelihood)

    options = {
        "damping": DAMPING,
        "climbs": True,
        "tol": TOLERANCE[K.dtype],
        "max_iter": max_iter,
        "work": work,
    }
    result = iterate(K, rule, start or no_sites(K), **options)
    if start is not None and not result.converged:
        result = iterate(K, rule, no_sites(K), **options)
    return result


def _ascend(q, sites, likelihood):
    """Evidence lower bound, residual and stationary sites."""
    log_p, slope, curvature = likelihood.expectations(q.mean, q.variance)
    target = Sites(-curvature, slope - curvature * q.mean)
    # KL(q, prior) = (mean' K^-1 mean - sum_i S_i variance_i + log det B) / 2.
    explained = torch.dot(sites.precision, q.variance)
    kl = 0.5 * (torch.dot(q.alpha, q.mean) - explained) + q.half_log_det
    lml = (log_p.sum() - kl).item()
    mean_gap = (slope - q.alpha).abs() * q.variance.sqrt()
    variance_gap = (target.precision - sites.precision).abs() * q.variance
    return lml, torch.maximum(mean_gap, variance_gap).max().item(), target
