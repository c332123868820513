"""Expectation propagation, all sites at once (GPML 3.6, algorithms 3.5 and 5.2).

Parallel updates cost one factorisation for all sites and reach the fixed point of the
sequential algorithm. The likelihood supplies ``tilted(m, v)`` and `copies`: c equal
terms at one row have c equal sites, and a cavity leaves one of them out.
"""

import torch

from .engine import Sites, cavities, fixed_point
from .laplace import laplace


def ep(K, likelihood, start=None, *, max_iter=100, work=None):
    """Expectation propagation.

    Parameters
    ----------
    K : tensor (n, n)
    likelihood : object with ``tilted`` and ``copies``
    start : Sites, default=None
        None starts at Laplace's sites: from the prior, all sites that move at once
        overshoot where many observations agree or the variance is large.
    max_iter : int, default=100
        Most factorisations of a try; see `fixed_point`.
    work : tensor (n, n), default=None

    Returns
    -------
    Inference
        The residual is the largest change of a mean, in posterior standard
        deviations, or relative change of a variance that matching would make.
    """
    copies = likelihood.copies

    def rule(q, sites):
        return _match(q, sites, likelihood, copies)

    def safe_start():
        return laplace(K, likelihood, max_iter=max_iter, work=work).sites

    options = {"climbs": False, "max_iter": max_iter, "work": work}
    return fixed_point(K, rule, start, safe_start, **options)


def _match(q, sites, likelihood, copies):
    """Evidence, residual and moment-matched sites."""
    c = 1.0 if copies is None else copies
    m, v = cavities(q, sites, copies)
    log_z, slope, bend, shrinkage = likelihood.tilted(m, v)
    lml = _evidence(q, Sites(sites.precision / c, sites.shift / c), c, m, v, log_z)
    mean_gap = (m + v * slope - q.mean).abs() / q.variance.sqrt()
    variance_gap = (v * shrinkage / q.variance - 1).abs()
    residual = torch.maximum(mean_gap, variance_gap).max().item()
    target = Sites(c * bend / shrinkage, c * (slope + m * bend) / shrinkage)
    return lml, residual, target


def _evidence(q, one, c, m, v, log_z):
    """log Z_EP (GPML 3.65), every term finite where site precisions vanish."""
    tau, nu = one
    spread = 1 + tau * v
    log_scale = log_z + 0.5 * spread.log()
    log_scale = log_scale + 0.5 * (m * (m * tau - 2 * nu) - v * nu * nu) / spread
    fit = 0.5 * torch.dot(c * nu, q.mean)
    return ((c * log_scale).sum() + fit - q.half_log_det).item()
