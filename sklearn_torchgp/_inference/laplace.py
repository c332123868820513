"""Laplace's approximation for terms that depend on one latent value each (GPML 3.4).

Newton's method runs in a = K^-1 f with step halving on
psi(f) = log p(y | f) - f' K^-1 f / 2. Undamped Newton (GPML algorithm 3.1 as listed) fails
where the variance is large, inside ordinary bounds. a and f are linear in the step, so a
shorter one costs no factorisation.
"""

import torch

from .._linalg.cholesky import half_log_det, inverse_, solve, symmetrize_
from .sites import Inference, Sites, factor

# The Newton decrement squared (about twice the gain that is left) at which the next
# step is the last: convergence is quadratic, so that step lands on the mode.
LAST_STEP = 1e-9


def laplace(K, likelihood, start=None, *, max_iter=100, work=None):
    """Laplace's approximation at the mode (GPML algorithms 3.1 and 5.1).

    Parameters
    ----------
    K : tensor (n, n)
    likelihood : object with ``log_p(f)`` and ``derivatives(f)``
    start : tensor (n,), default=None
        a to start from, if it is better than 0.
    max_iter : int, default=100
        Most Newton steps.
    work : tensor (n, n), default=None

    Returns
    -------
    Inference
        The residual is max_i |a_i - d log p / df_i|, which is 0 at the mode.
    """
    a, f, psi = _best_start(K, likelihood, start)
    limit = LAST_STEP / (1 + K.diagonal().max().item())
    converged = False
    for step in range(max_iter + 1):
        d1, d2, d3 = likelihood.derivatives(f)
        s = d2.neg().sqrt_()
        L = factor(K, s, work)
        if converged or step == max_iter:
            break
        b = d1 - d2 * f
        towards = b - s * solve(L, (s * (K @ b))[:, None])[:, 0] - a
        df = K @ towards
        gain = torch.dot(d1 - a, df).item()
        noise = 4 * torch.finfo(K.dtype).eps * (1 + abs(psi))
        converged = gain <= max(limit, noise)
        t, psi = (1.0, psi) if converged else _length(likelihood, a, f, towards, df, psi)
        if t == 0.0:  # no gain that could be measured is left
            converged = gain <= 1e3 * noise
            break
        a, f = a + t * towards, f + t * df
    log_p = likelihood.log_p(f).sum()
    lml = (log_p - 0.5 * torch.dot(a, f) - half_log_det(L)).item()
    return Inference(
        lml=lml,
        sites=Sites(-d2, d1 - d2 * f),
        alpha=a,
        derivative=lambda: _derivative(K, L, s, d1, d3),
        start=a,
        converged=converged,
        residual=(a - d1).abs().max().item(),
        n_iterations=step,
    )


def _psi(likelihood, a, f):
    return (likelihood.log_p(f).sum() - 0.5 * torch.dot(a, f)).item()


def _best_start(K, likelihood, start):
    """a, f and psi(f) at `start`, or at 0 where that is better."""
    a = torch.zeros_like(K.diagonal())
    f = torch.zeros_like(a)
    psi = _psi(likelihood, a, f)
    if start is not None:
        f_start = K @ start
        psi_start = _psi(likelihood, start, f_start)
        if psi_start > psi:
            return start, f_start, psi_start
    return a, f, psi


def _length(likelihood, a, f, towards, df, psi):
    """The longest of 1, 1/2, 1/4, ... that does not lower psi, and psi there."""
    t = 1.0
    while t > 1e-6:
        new = _psi(likelihood, a + t * towards, f + t * df)
        if new >= psi:
            return t, new
        t /= 2
    return 0.0, psi


def _derivative(K, L, s, d1, d3):
    """d lml / dK at the mode, where a = d1 (GPML 5.20 to 5.24); L is overwritten.

    With R = s B^-1 s and u = (I - R K) (diag(Sigma) d3 / 2), which is how the mode's
    motion enters, the derivative is (a a' - R + u a' + a u') / 2.
    """
    B_inverse = symmetrize_(inverse_(L))
    # diag(Sigma) = (1 - diag B^-1) / s^2, and d3 / s^2 is bounded.
    explained = 1 - B_inverse.diagonal()
    ratio = torch.where(s > 0, d3 / s.square(), 0.0)
    half = 0.5 * explained * ratio
    R = B_inverse.mul_(s).mul_(s[:, None])
    u = half - R @ (K @ half)
    left = torch.stack([d1 + u, d1], dim=1)
    right = torch.stack([d1, u], dim=1)
    return R.mul_(-0.5).addmm_(left, right.mT, alpha=0.5)
