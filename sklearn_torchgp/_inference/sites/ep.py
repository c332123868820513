"""Expectation propagation, all sites at once (GPML 3.6, algorithms 3.5 and 5.2).

Parallel updates cost one factorisation for all sites and reach the fixed point of the
sequential algorithm. Far from it damped updates are best, which match each moment by
itself; near it Newton's steps, which know how a site moves the other rows, converge
where updates creep or cycle. The likelihood supplies ``tilted(m, v)`` and `copies`: c
equal terms at one row have c equal sites, and a cavity leaves one of them out.
"""

from typing import Any, NamedTuple

import torch

from ...exceptions import NotPositiveDefiniteError
from .engine import (
    LARGEST_ROUND_OFF,
    TOLERANCE,
    Conditional,
    Inference,
    Sites,
    cavities,
    sites_derivative,
    solve_sites,
)
from .laplace import laplace
from .response import Blocks, newton_step, scale_precision

# Longest damped step towards the matched sites, as a fraction.
DAMPING = 0.9

# Newton's steps begin at this residual; one that leaves more of the mismatch than
# this is taken back.
NEAR = 1.0
WORTH = 0.9

# Steps without a new smallest mismatch after which there is no hope.
PATIENCE = 15

# Difference of a cavity's mean, in its standard deviations, for third and fourth
# cumulants of tilted distributions: they only aim Newton's step.
DIFFERENCE = {torch.float64: 1e-3, torch.float32: 0.05}


class Match(NamedTuple):
    """The posterior given sites beside the tilted distributions.

    Attributes
    ----------
    lml : float
    residual : float
        The largest change of a mean, in posterior standard deviations, or relative
        change of a variance that matching would make.
    round_off : float
        How far, in standard deviations, round-off had moved a mean.
    mismatch : float
        The changes of the sites, as a sum of squares.
    sites, target : Sites
        As they are, and as moments of one row after the other ask for.
    q : Conditional
    cavity : tuple of tensors (n,)
        Mean and variance.
    tilted : Tilted
    """

    lml: float
    residual: float
    round_off: float
    mismatch: float
    sites: Sites
    target: Sites
    q: Conditional
    cavity: tuple
    tilted: Any

    @property
    def open(self):
        """Whether there is a gap that is not round-off."""
        tolerance = TOLERANCE[self.q.mean.dtype]
        return not self.residual <= max(tolerance, self.round_off)

    @property
    def converged(self):
        """Sites that match a mean which round-off has moved far match nothing."""
        return not self.open and self.round_off <= LARGEST_ROUND_OFF[self.q.mean.dtype]


def ep(K, likelihood, start=None, *, max_iter=100, work=None):
    """Expectation propagation.

    Parameters
    ----------
    K : tensor (n, n)
    likelihood : object with ``tilted``, ``copies`` and what `laplace` asks for
    start : Sites, default=None
        None starts at Laplace's sites: from the prior, all sites that move at once
        overshoot where many observations agree or the variance is large.
    max_iter : int, default=100
        Most factorisations, Laplace's included.
    work : tensor (n, n), default=None

    Returns
    -------
    Inference
    """
    here, n_iterations = None, 0
    if start is not None:
        here, n_iterations = _approach(K, likelihood, start, max_iter, work)
    if here is None or (here.open and n_iterations < max_iter):
        left = max(max_iter - n_iterations, 1)
        rough = laplace(K, likelihood, max_iter=left - 1, work=work)
        left -= rough.n_iterations
        here, steps = _approach(K, likelihood, rough.sites, left, work)
        n_iterations += rough.n_iterations + steps
    return Inference(
        lml=here.lml,
        sites=here.sites,
        alpha=here.q.alpha,
        derivative=lambda: sites_derivative(here.sites, here.q),
        start=here.sites,
        converged=here.converged,
        residual=max(here.residual, here.round_off),
        n_iterations=n_iterations,
    )


def _approach(K, likelihood, sites, max_iter, work):
    """Steps from `sites` until they match or cease to improve, and their number."""
    here, n_iterations = _match(K, likelihood, sites, work), 1
    near, damping, taken_back = NEAR, DAMPING, False
    least, least_at = here.mismatch, 1
    while here.open and n_iterations < min(max_iter, least_at + PATIENCE):
        by_newton = here.residual < near
        sites = _newton(K, here, likelihood) if by_newton else _damped(here, damping)
        there = _try(K, likelihood, sites, work)
        n_iterations += 1
        bound = WORTH * here.mismatch if by_newton else float("inf")
        taken_back = there is None or not there.mismatch <= bound
        if taken_back and by_newton:
            near = NEAR * here.residual
        elif taken_back or there.mismatch > here.mismatch:
            damping = max(0.1, 0.6 * damping)
        elif not by_newton:
            damping = min(DAMPING, 1.3 * damping)
        if not taken_back:
            here = there
        if here.mismatch < least:
            least, least_at = here.mismatch, n_iterations
    if taken_back:
        here = _match(K, likelihood, here.sites, work)
    return here, n_iterations


def _try(K, likelihood, sites, work):
    try:
        return _match(K, likelihood, sites, work)
    except NotPositiveDefiniteError:
        return None


def _match(K, likelihood, sites, work):
    """The posterior given sites, and the sites that match moments (GPML 3.59)."""
    q, correction = solve_sites(K, sites, work)
    c = torch.ones_like(K[0]) if likelihood.copies is None else likelihood.copies
    m, v = cavities(q, sites, likelihood.copies)
    tilted = likelihood.tilted(m, v)
    log_z, slope, bend, shrinkage = tilted
    one = Sites(sites.precision / c, sites.shift / c)
    mean_gap = (m + v * slope - q.mean) / q.variance.sqrt()
    variance_gap = v * shrinkage / q.variance - 1
    residual = torch.maximum(mean_gap.abs(), variance_gap.abs()).max().item()
    round_off = (correction.abs() / q.variance.sqrt()).max().item()
    gaps = mean_gap.square() + 0.5 * variance_gap.square()
    mismatch = (c * c * gaps).sum().item()
    target = Sites(c * bend / shrinkage, c * (slope + m * bend) / shrinkage)
    lml = _evidence(q, one, c, m, v, log_z)
    return Match(lml, residual, round_off, mismatch, sites, target, q, (m, v), tilted)


def _damped(here, damping):
    """Part of the way to the matched sites, with precisions that stay positive."""
    (S, nu), (S_target, nu_target) = here.sites, here.target
    least = 0.1 * torch.minimum(S, S_target)
    precision = torch.maximum(S + damping * (S_target - S), least)
    return Sites(precision, nu + damping * (nu_target - nu))


def _newton(K, here, likelihood):
    """Newton's step for matched moments.

    With C and C_tilted the covariances of (f, -f^2 / 2) under a row's marginal and its
    tilted distribution, a change x of the sites leaves the gap

        C_tilted^-1 C b - x - c (C_tilted^-1 - C^-1) G x

    to first order, where b is the gap of natural parameters and c counts copies.
    """
    q, S = here.q, here.sites.precision
    c = torch.ones_like(K[0]) if likelihood.copies is None else likelihood.copies
    (m, v), (_, slope, bend, shrinkage) = here.cavity, here.tilted
    # Derivatives of log Z are cumulants of the tilted distribution over v, v^2, ...
    h = DIFFERENCE[v.dtype] * v.sqrt()
    up, down = likelihood.tilted(m + h, v).bend, likelihood.tilted(m - h, v).bend
    k2 = v * shrinkage
    k3 = v**3 * (down - up) / (2 * h)
    k4 = v**4 * (2 * bend - up - down) / h.square()
    # Round-off aside, |k3| and k4 are such that the covariance is positive definite.
    k4 = torch.maximum(k4, -1.9 * k2.square())
    corner = (k4 + 2 * k2.square()) / 4
    determinant = (k2 * corner - k3.square() / 4).clamp(min=0.02 * k2**3)
    inverse = Blocks(corner / determinant, 0.5 * k3 / determinant, k2 / determinant)
    gap = torch.stack([m + v * slope - q.mean, 0.5 * (q.variance - k2)])
    gap = c * gap * torch.stack([q.variance / k2, q.variance / k2])
    D = Blocks(
        c * (inverse.mean - 1 / q.variance),
        c * inverse.cross,
        c * (inverse.variance - 2 / q.variance.square()),
    )
    step = newton_step(q.W, S, q.variance, D, inverse @ gap)
    alpha, precision = q.alpha + step.alpha, scale_precision(S, step.relative)
    return Sites(precision, alpha + precision * (K @ alpha))


def _evidence(q, one, c, m, v, log_z):
    """log Z_EP (GPML 3.65), every term finite where site precisions vanish."""
    tau, nu = one
    spread = 1 + tau * v
    log_scale = log_z + 0.5 * spread.log()
    log_scale = log_scale + 0.5 * (m * (m * tau - 2 * nu) - v * nu * nu) / spread
    fit = 0.5 * torch.dot(c * nu, q.mean)
    return ((c * log_scale).sum() + fit - q.half_log_det).item()
