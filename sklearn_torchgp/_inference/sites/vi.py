"""Variational inference with a full-covariance Gaussian, through its sites.

The Gaussian that maximises the evidence lower bound has sites S = -E[d2 log p] and
alpha = E[d log p], expectations under its own marginals (Opper and Archambeau 2009).
Moving the sites straight towards these values is natural-gradient ascent (Khan and Lin
2017), which creeps where the variance is large. For log-concave terms the bound is
concave in the means and standard deviations of the marginals (Challis and Barber
2013), so Newton's steps in these ascend, and converge from anywhere when they are
shortened until the bound rises.
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
    condition,
    sites_derivative,
    solve_sites,
)
from .response import Blocks, newton_step, scale_precision

# A step must bring this part of what the gradient promises (Armijo).
SUFFICIENT = 1e-4
SHORTEST = 1e-4

# Starts at a larger residual are not worth their while.
NEAR = 1.0


class Bound(NamedTuple):
    """The evidence lower bound of one Gaussian, and its gradient.

    Attributes
    ----------
    value : float
    noise : float
        Round-off of the value.
    residual : float
        Largest gap in the stationarity conditions, in posterior standard deviations
        (relative, for S).
    precision : tensor (n,)
    q : Conditional
    terms : tuple of tensors (n,)
        What ``likelihood.expectations`` said.
    """

    value: float
    noise: float
    residual: float
    precision: torch.Tensor
    q: Conditional
    terms: Any


def vi(K, likelihood, start=None, *, max_iter=100, work=None):
    """The best Gaussian approximation in Kullback-Leibler divergence KL(q, posterior).

    Parameters
    ----------
    K : tensor (n, n)
    likelihood : object with ``expectations(m, v)``
    start : Sites, default=None
        Where to start, if that is near.
    max_iter : int, default=100
        Most factorisations, steps that were taken back included.
    work : tensor (n, n), default=None

    Returns
    -------
    Inference
        `lml` is the evidence lower bound.
    """
    here = _start(K, likelihood, start, work)
    n_iterations, settled = 1, False
    while here.residual > TOLERANCE[K.dtype] and not settled:
        if n_iterations >= max_iter:
            break
        step = _newton(here)
        there, tried = _search(K, likelihood, here, step, max_iter - n_iterations, work)
        n_iterations += tried
        settled = step.gain <= (1 if there else 1e3) * here.noise
        if there is None:  # no gain that could be measured, or no iteration, is left
            here = _evaluate(K, likelihood, here.q.alpha, here.precision, work)
            break
        here = there
    small = LARGEST_ROUND_OFF if settled else TOLERANCE
    sites = Sites(here.precision, here.q.alpha + here.precision * here.q.mean)
    return Inference(
        lml=here.value,
        sites=sites,
        alpha=here.q.alpha,
        derivative=lambda: sites_derivative(sites, here.q),
        start=sites,
        converged=here.residual <= small[K.dtype],
        residual=here.residual,
        n_iterations=n_iterations,
    )


def _start(K, likelihood, start, work):
    """The bound at `start` if that is near, else where f would be 0 and certain.

    Sites that are too narrow widen in a few steps; from sites that are too wide, such
    as the prior's, the way back is several times longer. But round-off in K must not
    spoil B.
    """
    if start is not None:
        try:
            alpha = solve_sites(K, start, work)[0].alpha
            here = _evaluate(K, likelihood, alpha, start.precision, work)
            if here.residual < NEAR:
                return here
        except NotPositiveDefiniteError:
            pass
    zero = torch.zeros_like(K.diagonal())
    precision = -likelihood.expectations(zero, zero)[2]
    largest = 0.01 / (len(K) * torch.finfo(K.dtype).eps * K.diagonal())
    return _evaluate(K, likelihood, zero, torch.minimum(precision, largest), work)


def _evaluate(K, likelihood, alpha, precision, work):
    """The bound of the Gaussian with mean K alpha and precision K^-1 + S."""
    q = condition(K, precision, alpha, work)
    terms = likelihood.expectations(q.mean, q.variance)
    log_p, slope, curvature, _, _ = terms
    # KL(q, prior) = (mean' K^-1 mean - sum_i S_i variance_i + log det B) / 2.
    fit = log_p.sum().item()
    explained = torch.dot(precision, q.variance).item()
    pull = torch.dot(alpha, q.mean).item()
    value = fit - 0.5 * (pull - explained) - q.half_log_det.item()
    sums = abs(fit) + abs(pull) + explained + q.half_log_det.item()
    sums = sums + torch.dot(alpha.square(), K.diagonal()).item()
    noise = 8 * torch.finfo(K.dtype).eps * (1 + sums)
    mean_gap = (slope - alpha).abs() * q.variance.sqrt()
    variance_gap = (curvature + precision).abs() * q.variance
    residual = torch.maximum(mean_gap, variance_gap).max().item()
    return Bound(value, noise, residual, precision, q, terms)


def _newton(here):
    """Newton's step for the concave bound in means and standard deviations.

    d E[d log p] = -T d mean + E[d3] dv / 2 and d T = -E[d3] d mean - E[d4] dv / 2 for
    T = -E[d2]; the last term of D is what coordinates sqrt(v) add to v's.
    """
    q, S = here.q, here.precision
    _, slope, curvature, third, fourth = here.terms
    excess = -curvature - S
    D = Blocks(excess, third, excess / q.variance - fourth)
    return newton_step(q.W, S, q.variance, D, torch.stack([slope - q.alpha, excess]))


def _search(K, likelihood, here, step, budget, work):
    """The bound after the longest step that raises it enough, and the steps tried.

    None where there is none. A gain below round-off is taken at its word.
    """
    length, tried = 1.0, 0
    while tried < budget and length > SHORTEST:
        tried += 1
        alpha = here.q.alpha + length * step.alpha
        precision = scale_precision(here.precision, length * step.relative)
        promised, gained = length * step.gain, float("-inf")
        try:
            there = _evaluate(K, likelihood, alpha, precision, work)
            gained = there.value - here.value
        except NotPositiveDefiniteError:
            pass
        if gained >= SUFFICIENT * promised - here.noise:
            return there, tried
        # The top of the parabola through what is known.
        length *= min(0.5, max(0.05, 0.5 * promised / (promised - gained)))
    return None, tried
