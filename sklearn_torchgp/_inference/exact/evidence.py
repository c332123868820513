"""log p(y | X) of any Gaussian observation model, its derivative, its posterior.

Extends GPML algorithm 2.1 (`exact`) to weights, trend and noise of each target. The
plain model takes `exact.log_marginal_likelihood` as it is.
"""

import math

import torch

from ..._linalg.cholesky import cholesky_, half_log_det, inverse_, panels, solve
from ..._linalg.extend import extend_cholesky
from .plain import log_marginal_likelihood
from .posterior import Posterior
from .trend import solve_with_trend


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
        ``derivative()`` -> (d lml / dK (n, n), lower triangle; d lml / d nugget beyond
        its place in K: (n,) or None). To be called once; it may use K's memory.
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


def condition_(K, observations, nugget=0.0):
    """The posterior, its factor in K's memory, for observations of one factor."""
    return posterior_of(cholesky_(observations.cover_(K, nugget)), observations)


def posterior_of(L, observations):
    """The posterior of observations whose covariance has the factor L."""
    if observations.basis is None:
        return Posterior(solve(L, observations.y), L)
    alpha, trend = solve_with_trend(L, observations.basis.H, observations.y)
    return Posterior(alpha, L, trend)


def precision_(posterior):
    """P, with P y = alpha: K^-1, less what the trend explains (GPML 2.45).

    In the memory of the posterior's L, lower triangle.
    """
    L, trend = posterior.L, posterior.trend
    if trend is None:
        return inverse_(L)
    W = torch.linalg.solve_triangular(L.mT, trend.Q, upper=True)
    return _add_outer_(inverse_(L), W, W, scale=-1.0)


def log_density(posterior, observations, own=0.0):
    """log p(y | X), and its slope in the copies' own noise, for one factor."""
    y, alpha = observations.y, posterior.alpha
    n, t = y.shape
    fit = 0.5 * torch.dot(y.reshape(-1), alpha.reshape(-1))
    lml = -(fit + t * half_log_det(posterior.L)).item()
    if posterior.trend is not None:
        # Both H and y lose p dimensions to the trend: (n - p) log 2 pi (GPML 2.45).
        n -= observations.basis.H.shape[1]
        half_log_A = posterior.trend.R.diagonal().abs().log().sum().item()
        lml -= t * (half_log_A - observations.basis.log_scale)
    lml -= 0.5 * n * t * math.log(2 * math.pi)
    copies, copies_slope = observations.copies(own)
    return lml + copies, copies_slope


def _one_factor(K, observations, nugget):
    own = observations.own_noise(nugget, K.diagonal())
    posterior = condition_(K, observations, nugget)
    lml, own_slope = log_density(posterior, observations, own)
    alpha, t = posterior.alpha, observations.y.shape[1]

    def derivative():
        # (alpha alpha' - t P) / 2, as GPML 5.9
        G = _add_outer_(precision_(posterior), alpha, alpha, beta=-0.5 * t, scale=0.5)
        return G, observations.noise_slopes_(G.diagonal(), own_slope)

    return lml, derivative, posterior


def _add_outer_(A, u, v, *, beta=1.0, scale):
    """A <- beta A + scale u v' in the lower triangle."""
    for rows in panels(A.shape[0], 512):
        block = A[rows, : rows.stop]
        block.addmm_(u[rows], v[: rows.stop].mT, beta=beta, alpha=scale)
    return A


def extend(posterior, B, C, observations, nugget=0.0, own=0.0):
    """The evidence and posterior with more rows, from the posterior without them.

    Parameters
    ----------
    posterior : Posterior
        Of the first n rows.
    B : tensor (k, n)
        Covariance of the k new rows with the first n.
    C : tensor (k, k)
        Of the new rows, with its nugget; lower triangle.
    observations : Observations
        Of all n + k rows, with as many factors as the posterior.
    nugget, own : float or tensor (n + k,)
        The nugget, and what `own_noise` makes of it. Read only under weights.

    Returns
    -------
    lml, posterior : float, Posterior

    Raises
    ------
    NotPositiveDefiniteError
    """
    new = slice(B.shape[1], None)
    tail = nugget[new] if isinstance(nugget, torch.Tensor) else nugget
    total, grown = 0.0, []
    for part, of in zip(posterior.factors(), observations.factors(), strict=True):
        corner = of[new].cover_(C.clone(), tail)
        one = posterior_of(extend_cholesky(part.L, B, corner), of)
        total += log_density(one, of, own)[0]
        grown.append(one)
    return total, grown[0] if len(grown) == 1 else Posterior.stack(grown)
