"""The site engine: Gaussian approximations of a posterior by sites (GPML 3.5.2, 3.6).

Laplace, EP and VI all replace each likelihood term by a Gaussian *site*
exp(nu_i f_i - S_i f_i^2 / 2), and differ in how they choose the precision S and the
shift nu. Given sites, with s = sqrt(S), only B = I + s K s is ever factored: its
eigenvalues are at least 1, so neither a singular K nor vanishing sites need help.

Shapes: K (n, n), both triangles, left as it is; vectors (n,).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ..._linalg.cholesky import cholesky_, half_log_det, invert_lower_, own_gram_
from .acceleration import MEMORY, Stepper

# Of the fixed points of EP and VI: the residual at which the next step is the last.
TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-3}

# First step of EP and VI towards the matched sites.
DAMPING = 0.9

# Where 1 - |L^-1 e_i|^2 is smaller than this, the marginal variance is computed from K
# instead: the first form divides round-off by the site precision.
SMALL_EXPLAINED = 1e-5


class Sites(NamedTuple):
    """Precision S >= 0 and shift nu of n sites, two tensors (n,)."""

    precision: torch.Tensor
    shift: torch.Tensor


@dataclass
class Inference:
    """What an inference method returns.

    Attributes
    ----------
    lml : float
        Log marginal likelihood, approximated (Laplace, EP) or bounded (VI).
    sites : Sites
    alpha : tensor (n,)
        K^-1 times the posterior mean.
    derivative : callable
        ``derivative()`` -> d lml / dK (n, n), lower triangle valid, in the work buffer:
        once, and only once.
    start : object
        Hand it back as `start` of a call at nearby hyperparameters.
    converged : bool
    residual : float
        Distance from the fixed point, in units of the method.
    n_iterations : int
    """

    lml: float
    sites: Sites
    alpha: torch.Tensor
    derivative: Callable
    start: Any
    converged: bool
    residual: float
    n_iterations: int


class Conditional(NamedTuple):
    """The Gaussian posterior given sites.

    Attributes
    ----------
    alpha, mean, variance : tensors (n,)
    unexplained : tensor (n,)
        (B^-1)_ii = 1 - S_i variance_i, without cancellation.
    half_log_det : tensor ()
        log det B / 2.
    W : tensor (n, n)
        L^-1, zero above the diagonal.
    """

    alpha: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    unexplained: torch.Tensor
    half_log_det: torch.Tensor
    W: torch.Tensor


def factor(K, s, work=None):
    """L with L L' = B = I + s K s, in the lower triangle of `work`."""
    B = torch.mul(K, s, out=work).mul_(s[:, None])
    B.diagonal().add_(1)
    return cholesky_(B)


def condition(K, sites, work=None):
    """The posterior given sites (GPML algorithm 3.5, lines 10 to 12).

    2 n^3 / 3 operations: the factor, and its inverse for the marginal variances.
    """
    s = sites.precision.sqrt()
    L = factor(K, s, work)
    log_det = half_log_det(L)
    W = invert_lower_(L)
    alpha = sites.shift - s * (W.mT @ (W @ (s * (K @ sites.shift))))
    unexplained = torch.linalg.vector_norm(W, dim=0).square_()
    explained = (1 - unexplained).clamp_(min=0)
    variance = explained / sites.precision
    faint = explained < SMALL_EXPLAINED
    if not s.any():
        variance = K.diagonal().clone()
    elif faint.any():
        rows = faint.nonzero()[:, 0]
        for some in rows.split(512):
            V = W @ (s[:, None] * K[:, some])
            variance[some] = (K.diagonal()[some] - V.square_().sum(0)).clamp_(min=0)
    return Conditional(alpha, K @ alpha, variance, unexplained, log_det, W)


def sites_derivative(sites, q):
    """d lml / dK at a fixed point of EP or VI (GPML 5.26).

    It is (alpha alpha' - s B^-1 s) / 2, and q.W is overwritten.
    """
    s = sites.precision.sqrt()
    R = own_gram_(q.W).mul_(s).mul_(s[:, None])
    return R.mul_(-0.5).addr_(q.alpha, q.alpha, alpha=0.5)


def fixed_point(K, rule, start, safe_start, *, climbs, max_iter, work=None):
    """Move all sites at once to the fixed point of a rule.

    Parameters
    ----------
    rule : callable ``(Conditional, Sites)`` -> (lml, residual, target)
        The approximate evidence, the distance from the fixed point and the sites that
        the method would choose given this posterior.
    start : Sites or None
    safe_start : callable () -> Sites
        Where to begin without a start, or where the start fails. Where that fails, too:
        the prior, and last `safe_start` without acceleration.
    climbs : bool
        Whether short steps towards `target` raise the lml.
    max_iter : int
        Most factorisations of each try.

    Returns
    -------
    Inference
    """
    if start is not None:
        found = _iterate(K, rule, start, Stepper(DAMPING, climbs), max_iter, work)
        if found.converged:
            return found
    near, zero = safe_start(), torch.zeros_like(K.diagonal())
    for begin, memory in ((near, MEMORY), (Sites(zero, zero), MEMORY), (near, 0)):
        stepper = Stepper(DAMPING, climbs, memory)
        found = _iterate(K, rule, begin, stepper, max_iter, work)
        if found.converged:
            break
    return found


def _iterate(K, rule, sites, stepper, max_iter, work):
    tol = TOLERANCE[K.dtype]
    converged = False
    for iteration in range(1, max_iter + 1):
        q = condition(K, sites, work)
        lml, residual, target = rule(q, sites)
        if converged or iteration == max_iter:
            break
        # One more step makes it several times smaller, unless that is round-off.
        converged = residual <= tol
        sites = _next_sites(stepper, sites, target, q.variance, residual, lml)
    return Inference(
        lml=lml,
        sites=sites,
        alpha=q.alpha,
        derivative=lambda: sites_derivative(sites, q),
        start=sites,
        converged=converged or residual <= tol,
        residual=residual,
        n_iterations=iteration,
    )


def _next_sites(stepper, sites, target, variance, residual, lml):
    """The stepper's proposal, with precisions that stay positive."""
    x, goal = torch.cat(sites), torch.cat(target)
    scale = torch.cat([variance, variance.sqrt()])  # as precision and shift move q
    proposal = stepper.propose(x, goal - x, scale=scale, size=residual, objective=lml)
    precision, shift = proposal.chunk(2)
    least = 0.1 * torch.minimum(sites.precision, target.precision)
    return Sites(torch.maximum(precision, least), shift)


def leave_one_out(K, sites, copies=None, work=None):
    """Mean and variance of f_i given all terms but one copy of the i-th (GPML 3.56).

    Exact for EP's own posterior; for Laplace and VI the same with their sites
    (Vehtari et al. 2016, section 3).
    """
    q = condition(K, sites, work)
    return cavities(q, sites, copies)


def cavities(q, sites, copies=None):
    """Mean m and variance v of the posterior without one copy of each site."""
    copies = 1.0 if copies is None else copies
    # 1 / v = 1 / d - S / copies, and 1 - S d is known without cancellation.
    left = (copies - 1 + q.unexplained) / copies
    v = q.variance / left
    m = (q.mean - q.variance * sites.shift / copies) / left
    return m, v
