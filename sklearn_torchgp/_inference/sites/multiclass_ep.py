"""Expectation propagation for several classes that compete.

Nested EP (Riihimaki, Jylanki and Vehtari 2013, "Nested expectation propagation for
Gaussian process classification with a multinomial probit likelihood"), as one fixed
point. The likelihood of a row is an integral over the winner's value u of terms
t_c(x_c) of one variable x_c = f_c - u each, so that in the larger space of (f, u), u
with a flat prior, every term has a Gaussian site exp(nu x - d x^2 / 2) of its own. With
D_c = diag(d_c), E_c = (K_c + D_c^-1)^-1 and M = sum_c E_c, which is the precision of u,

    (K^-1 + W)^-1 = K - K E K + K E R M^-1 R' E K

as for Laplace's method, whose D is that of the probabilities: what is kept, and how it
predicts, is the same. Unlike there, unlikely classes do not keep their prior variance:
their sites know how far below the winner they must be. A sweep takes 2 C n^3
operations.

Shapes: kernels (1, n, n) shared by all classes or (C, n, n), both triangles; class
arrays (C, n).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..._linalg.cholesky import (
    cholesky_,
    half_log_det,
    invert_lower_,
    own_gram_,
    solve,
    solve_lower,
    symmetrize_,
)
from .acceleration import MEMORY, Stepper
from .engine import SMALL_EXPLAINED, TOLERANCE, Sites, factor
from .softmax_laplace import softmax_laplace, times

# First step towards the matched sites.
DAMPING = 0.9

# Site precisions are kept above this, in units of 1 / variance: such a site says
# nothing, and 1 / d stays finite.
LEAST_PRECISION = 1e-12

# Least marginal variance of x = f - u over the cavity's. A term whose rivals say
# nothing has a cavity so wide that more width would not show.
LEAST_LEFT = 1e-10


@dataclass
class MulticlassInference:
    """What `multiclass_ep` returns; see `sites.Inference`.

    Attributes
    ----------
    lml : float
    a : tensor (C, n)
        K^-1 times the posterior mean.
    E : tensor (C, n, n)
        Both triangles.
    M : tensor (n, n)
        Cholesky factor of sum_c E_c, lower triangle.
    sites : Sites
        d and nu, (C, n) each.
    derivative : callable
        ``derivative()`` -> d lml / dK, of the shape of K.
    start : Sites
    """

    lml: float
    a: torch.Tensor
    E: torch.Tensor
    M: torch.Tensor
    sites: Sites
    derivative: Callable
    start: Sites
    converged: bool
    residual: float
    n_iterations: int

    @property
    def precision(self):
        return self.sites.precision


class RaceConditional(NamedTuple):
    """The Gaussian posterior of (f, u) given sites.

    Attributes
    ----------
    a : tensor (C, n)
    E, M : as in `MulticlassInference`
    mean, variance : tensors (C, n)
        Of x = f - u.
    left : tensor (C, n)
        1 - d variance, without cancellation.
    half_log_det : tensor ()
        log det of (I + K D) and of M, halved and added.
    """

    a: torch.Tensor
    E: torch.Tensor
    M: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    left: torch.Tensor
    half_log_det: torch.Tensor


def multiclass_ep(K, likelihood, start=None, *, max_iter=100, work=None):
    """Expectation propagation, all sites at once.

    Parameters
    ----------
    K : tensor (1, n, n) or (C, n, n)
    likelihood : Softmax or MultinomialProbit
        ``race_moments``, ``log_constant`` and ``softmax``.
    start : Sites, default=None
        None starts at Laplace's sites for the softmax.
    max_iter : int, default=100
        Most sweeps of each try: from `start`, from Laplace's sites and from there
        without acceleration.
    work : tensor (n, n), default=None
        Holds the sum of E_c and its factor.

    Returns
    -------
    MulticlassInference
        The residual is the largest change of a mean, in posterior standard deviations,
        or relative change of a variance that matching would make.

    Notes
    -----
    EP approximates the integral over u, too. Where f is known the evidence of the
    softmax comes out low by 0.04 (2 classes) to 0.07 nat (10) a row, divided by the
    weight if that is above 1 and 2.7 times as much at weight 0.3; that of the
    multinomial probit by 0 (2 classes, exact) to 0.011 (10). Where the labels are clear
    both vanish. So the multinomial probit is the better model to choose kernels by, and
    the softmax the one that takes weights.
    """
    E = K.new_empty(*likelihood.y.shape, K.shape[-1])
    if start is not None:
        found = _iterate(K, likelihood, start, MEMORY, max_iter, E, work)
        if found.converged:
            return found
    near = _laplace_sites(K, likelihood, max_iter, work)
    for memory in (MEMORY, 0):
        found = _iterate(K, likelihood, near, memory, max_iter, E, work)
        if found.converged:
            break
    return found


def _laplace_sites(K, likelihood, max_iter, work):
    """The sites of the softmax's race at its mode, where x = log(w pi)."""
    softmax = likelihood.softmax
    f = softmax_laplace(K, softmax, max_iter=max_iter, work=work).start
    x = (f.log_softmax(dim=0) + softmax.weight.log()).clamp(min=-30)
    d = x.exp()
    return Sites(d, softmax.weight * softmax.y - d + d * x)


def _iterate(K, likelihood, sites, memory, max_iter, E, work):
    tol = TOLERANCE[K.dtype]
    stepper = Stepper(DAMPING, False, memory)
    least = LEAST_PRECISION / K.diagonal(dim1=1, dim2=2).clamp(min=1)
    converged = False
    for iteration in range(1, max_iter + 1):
        q = condition_race(K, sites, E, work)
        lml, residual, target = _match(q, sites, likelihood)
        if converged or iteration == max_iter or not math.isfinite(residual):
            break
        converged = residual <= tol  # one more sweep makes it several times smaller
        target = Sites(torch.maximum(target.precision, least), target.shift)
        sites = _next_sites(stepper, sites, target, q.variance, residual)
    return MulticlassInference(
        lml=lml,
        a=q.a,
        E=q.E,
        M=q.M,
        sites=sites,
        derivative=lambda: _derivative(K, q),
        start=sites,
        converged=converged or residual <= tol,
        residual=residual,
        n_iterations=iteration,
    )


def _next_sites(stepper, sites, target, variance, residual):
    """The stepper's proposal, with precisions that stay positive."""
    x, goal = (torch.stack(s).flatten() for s in (sites, target))
    scale = torch.stack([variance, variance.sqrt()]).flatten()
    proposal = stepper.propose(x, goal - x, scale=scale, size=residual, objective=0.0)
    precision, shift = proposal.view(2, *variance.shape)
    least = 0.1 * torch.minimum(sites.precision, target.precision)
    return Sites(torch.maximum(precision, least), shift)


def condition_race(K, sites, E, work=None):
    """The posterior given sites: `RaceConditional`; E (C, n, n) is written to."""
    d, nu = sites
    s = d.sqrt()
    r, variance, left = (torch.empty_like(d) for _ in range(3))
    half_log_dets = 0.0
    for c in range(len(d)):
        Kc = K[min(c, len(K) - 1)]
        W = factor(Kc, s[c], E[c])
        half_log_dets = half_log_dets + half_log_det(W)
        W = invert_lower_(W)
        left[c] = torch.linalg.vector_norm(W, dim=0).square_()
        variance[c] = _given_winner(Kc, s[c], W, left[c])
        B_inverse = symmetrize_(own_gram_(W))
        r[c] = s[c] * (B_inverse @ (nu[c] / s[c]))  # (I + D K)^-1 nu
        B_inverse.mul_(s[c]).mul_(s[c][:, None])
    M = cholesky_(torch.sum(E, dim=0, out=work))
    u = -solve(M, r.sum(dim=0)[:, None])[:, 0]
    a = r + E @ u
    faint = 1 - left < SMALL_EXPLAINED
    for c in range(len(d)):
        through = solve_lower(M, E[c]).div_(d[c])  # how x_c follows u
        own = torch.linalg.vector_norm(through, dim=0).square_()
        variance[c] += own
        left[c] -= d[c] * own
    left = torch.where(faint, 1 - d * variance, left).clamp_(min=LEAST_LEFT)
    # Either form loses digits where the other does not.
    mean = torch.where(d * variance < 1e-3, times(K, a) - u, (nu - a) / d)
    return RaceConditional(
        a, E, M, mean, variance, left, half_log_dets + half_log_det(M)
    )


def _given_winner(K, s, W, unexplained):
    """Variance of f_c given u: diag(K - K E_c K)."""
    explained = (1 - unexplained).clamp_(min=0)
    variance = explained / s.square()
    rows = (explained < SMALL_EXPLAINED).nonzero()[:, 0]
    for some in rows.split(512):
        V = W @ (s[:, None] * K[:, some])
        variance[some] = (K.diagonal()[some] - V.square_().sum(dim=0)).clamp_(min=0)
    return variance


def _match(q, sites, likelihood):
    """Evidence, residual and moment-matched sites."""
    d, nu = sites
    v = q.variance / q.left
    m = (q.mean - q.variance * nu) / q.left
    log_z, mean, variance = likelihood.race_moments(m, v)
    residual = torch.maximum(
        (mean - q.mean).abs() / q.variance.sqrt(), (variance / q.variance - 1).abs()
    )
    log_scale = log_z - 0.5 * q.left.log()
    log_scale = log_scale + 0.5 * q.left * (m * (m * d - 2 * nu) - v * nu.square())
    fit = 0.5 * (nu * q.mean).sum()
    flat = 0.5 * d.shape[1] * math.log(2 * math.pi) + likelihood.log_constant
    lml = (log_scale.sum() + fit - q.half_log_det).item() + flat
    target = Sites(1 / variance - 1 / v, mean / variance - m / v)
    return lml, residual.max().item(), target


def _derivative(K, q):
    """d lml / dK at the fixed point: (a_c a_c' - E_c + E_c M^-1 E_c) / 2."""
    G = torch.zeros_like(K)
    for c, E in enumerate(q.E):
        V = solve_lower(q.M, E)
        Gc = G[min(c, len(K) - 1)]
        Gc.addmm_(V.mT, V, alpha=0.5).sub_(E, alpha=0.5)
        Gc.addr_(q.a[c], q.a[c], alpha=0.5)
    return G
