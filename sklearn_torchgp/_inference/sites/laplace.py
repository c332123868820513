"""Laplace's approximation for terms that depend on one latent value each (GPML 3.4)."""

import torch

from ..._linalg.cholesky import half_log_det, inverse_, lower_, solve
from . import few
from .engine import Inference, Sites, factor
from .newton import find_mode


def laplace(K, likelihood, start=None, *, max_iter=100, work=None):
    """Laplace's approximation at the mode (GPML algorithms 3.1 and 5.1).

    Parameters
    ----------
    K : tensor (n, n)
    likelihood : object with ``log_p(f)`` and ``derivatives(f)``
    start : tensor (n,), default=None
        f to start from, if that is better than 0.
    max_iter : int, default=100
        Most Newton steps.
    work : tensor (n, n), default=None

    Returns
    -------
    Inference
        The residual is max_i |a_i - d log p / df_i|, which is 0 at the mode.
    """
    if few.serves(K, likelihood):
        return few.laplace(K, likelihood.few, start, max_iter=max_iter, work=work)

    def expand(f):
        d1, d2, d3 = likelihood.derivatives(f)
        s = d2.neg().sqrt_()
        L = factor(K, s, work)

        def solve_newton(r):
            return r - s * solve(L, (s * (K @ r))[:, None])[:, 0]

        return d1, lambda x: -d2 * x, solve_newton, (L, s, d1, d2, d3)

    mode = find_mode(
        lambda a: K @ a,
        likelihood.log_p,
        expand,
        start,
        zero=torch.zeros_like(K.diagonal()),
        eps=torch.finfo(K.dtype).eps,
        largest_variance=K.diagonal().max().item(),
        max_iter=max_iter,
    )
    L, s, d1, d2, d3 = mode.local
    return Inference(
        lml=mode.psi - half_log_det(L).item(),
        sites=Sites(-d2, d1 - d2 * mode.f),
        alpha=mode.a,
        derivative=lambda: _derivative(K, L, s, d1, d3),
        start=mode.f,
        converged=mode.converged,
        residual=mode.residual,
        n_iterations=mode.n_steps,
    )


def _derivative(K, L, s, d1, d3):
    """d lml / dK at the mode, where a = d1 (GPML 5.20 to 5.24); L is overwritten.

    With R = s B^-1 s and u = (I - R K) (diag(Sigma) d3 / 2), which is how the mode's
    motion enters, the derivative is (a a' - R + u a' + a u') / 2.
    """
    B_inverse = lower_(inverse_(L))
    # diag(Sigma) = (1 - diag B^-1) / s^2, and d3 / s^2 is bounded.
    explained = 1 - B_inverse.diagonal()
    ratio = torch.where(s > 0, d3 / s.square(), 0.0)
    half = 0.5 * explained * ratio
    R = B_inverse.mul_(s).mul_(s[:, None])
    v = K @ half
    u = half - (R @ v + R.mT @ v - R.diagonal() * v)  # R has its lower triangle only
    left = torch.stack([d1 + u, d1], dim=1)
    right = torch.stack([d1, u], dim=1)
    return R.mul_(-0.5).addmm_(left, right.mT, alpha=0.5)
