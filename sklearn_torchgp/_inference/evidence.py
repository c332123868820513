"""log p(y | X) of any Gaussian observation model, its derivative, its posterior.

Extends GPML algorithm 2.1 (`exact`) to weights and to noise of each target. The plain
model takes `exact.log_marginal_likelihood` as it is.
"""

import math

import torch

from .._linalg.cholesky import cholesky_, half_log_det, inverse_, panels, solve
from .exact import log_marginal_likelihood
from .posterior import Posterior


def evidence(K, observations, nugget=0.0):
    """Log marginal likelihood summed over targets, and how to differentiate it.

    Parameters
    ----------
    K : tensor (n, n)
        With its nugget; read and overwritten in its lower triangle.
    observations : Observations
    nugget : float or tensor (n,)
        What of K's diagonal is noise of a single copy. Read only under weights.

    Returns
    -------
    lml : float
    derivative : callable
        ``derivative()`` -> (d lml / dK (n, n) in K's memory, d lml / d nugget beyond
        its place in K: (n,) or None). To be called once.
    posterior : Posterior
        Valid until `derivative` is called.

    Raises
    ------
    NotPositiveDefiniteError
    """
    if observations.plain:
        problem = observations.y, observations.noise, observations.jitter
        lml, derivative, posterior = log_marginal_likelihood(K, *problem)
        return lml, lambda: (derivative(), None), posterior
    return per_factor(_one_factor, K, observations, nugget)


def per_factor(function, K, observations, nugget):
    """Sum `function` over the factors that the targets need.

    `function` is ``(K, observations, nugget)`` -> (value, derivative, posterior), as
    `evidence` describes them.
    """
    parts = observations.factors()
    if len(parts) == 1:
        return function(K, parts[0], nugget)
    matrices = [*(K.clone() for _ in parts[1:]), K]
    values, derivatives, posteriors = zip(
        *(function(M, part, nugget) for M, part in zip(matrices, parts, strict=True)),
        strict=True,
    )

    def derivative():
        G, slope = derivatives[-1]()
        for other in derivatives[:-1]:
            more, more_slope = other()
            G.add_(more)
            slope = None if slope is None else slope + more_slope
        return G, slope

    return sum(values), derivative, Posterior.stack(posteriors)


def _one_factor(K, observations, nugget):
    y = observations.y
    n, t = y.shape
    L = cholesky_(observations.cover_(K, nugget))
    alpha = solve(L, y)
    fit = 0.5 * torch.dot(y.reshape(-1), alpha.reshape(-1))
    lml = -(fit + t * half_log_det(L)).item() - 0.5 * n * t * math.log(2 * math.pi)
    copies, copies_slope = observations.copies(nugget)

    def derivative():
        G = inverse_(L)
        for rows in panels(n, 512):  # (alpha alpha' - t K^-1) / 2 (GPML 5.9)
            block = G[rows, : rows.stop]
            block.addmm_(alpha[rows], alpha[: rows.stop].mT, beta=-0.5 * t, alpha=0.5)
        slope = observations.nugget_slope(G.diagonal())
        G.diagonal().mul_(1 + observations.jitter)
        return G, None if slope is None else slope + copies_slope

    return lml + copies, derivative, Posterior(alpha, L)
