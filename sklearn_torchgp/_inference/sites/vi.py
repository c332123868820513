"""Variational inference with a full-covariance Gaussian, through its sites.

The Gaussian that maximises the evidence lower bound has sites S = -E[d2 log p] and
nu = E[d log p] + S mean, expectations under its own marginals (Opper and Archambeau
2009). Moving the sites towards these values is natural-gradient ascent of the bound
(Khan and Lin 2017).
"""

import torch

from .engine import Sites, fixed_point
from .laplace import laplace


def vi(K, likelihood, start=None, *, max_iter=100, work=None):
    """The best Gaussian approximation in Kullback-Leibler divergence KL(q, posterior).

    Parameters
    ----------
    K : tensor (n, n)
    likelihood : object with ``expectations(m, v)``
    start : Sites, default=None
        None starts at Laplace's sites: from the prior, all sites that move at once
        overshoot where many observations agree or the variance is large.
    max_iter : int, default=100
        Most factorisations of a try; see `fixed_point`.
    work : tensor (n, n), default=None

    Returns
    -------
    Inference
        `lml` is the evidence lower bound. The residual is the largest gap in the
        stationarity conditions, in posterior standard deviations (relative, for S).
    """

    def rule(q, sites):
        return _ascend(q, sites, likelihood)

    def safe_start():
        return laplace(K, likelihood, max_iter=max_iter, work=work).sites

    options = {"climbs": True, "max_iter": max_iter, "work": work}
    return fixed_point(K, rule, start, safe_start, **options)


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
