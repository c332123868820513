"""Laplace's approximation for several classes that compete (GPML 3.5).

C latent functions, independent a priori, meet in softmax terms. With D = diag(w pi) and
R the n x n identities stacked C times, minus the Hessian of the weighted log likelihood
is W = D - D R (R' D R)^-1 R' D, so that with E_c = (K_c + D_c^-1)^-1 and M = sum_c E_c

    (K^-1 + W)^-1 = K - K E K + K E R M^-1 R' E K
    log |I + K W| = sum_c log |I + D_c K_c| + log |M| - sum_i log w_i

GPML's listing 3.3 leaves log |M| out. Each Newton step takes C + 1 factorisations of
n x n matrices.

Shapes: kernels (1, n, n) shared by all classes or (C, n, n), both triangles; class
arrays (C, n).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..._linalg.cholesky import cholesky_, half_log_det, inverse_, solve, symmetrize_
from .engine import factor
from .newton import find_mode


@dataclass
class SoftmaxInference:
    """What `softmax_laplace` returns; see `sites.Inference`.

    Attributes
    ----------
    a : tensor (C, n)
        K^-1 times the mode.
    E : tensor (C, n, n)
        Both triangles.
    M : tensor (n, n)
        Cholesky factor of sum_c E_c, lower triangle.
    precision : tensor (C, n)
        D.
    derivative : callable
        ``derivative()`` -> d lml / dK, of the shape of K.
    """

    lml: float
    a: torch.Tensor
    E: torch.Tensor
    M: torch.Tensor
    precision: torch.Tensor
    derivative: Callable
    start: torch.Tensor
    converged: bool
    residual: float
    n_iterations: int


def softmax_laplace(K, likelihood, start=None, *, max_iter=100, work=None):
    """Mode, evidence and its exact derivative (GPML algorithm 3.3, corrected).

    Parameters
    ----------
    K : tensor (1, n, n) or (C, n, n)
    likelihood : Softmax
    start : tensor (C, n), default=None
        f to start from, if that is better than 0.
    max_iter : int, default=100
        Most Newton steps, each with step halving as in `laplace`.
    work : tensor (n, n), default=None
        Holds the sum of E_c and its factor.

    Returns
    -------
    SoftmaxInference
    """
    w = likelihood.weight
    E = K.new_empty(*likelihood.y.shape, K.shape[-1])

    def expand(f):
        pi = likelihood.probabilities(f)
        g = likelihood.gradient(pi)
        root = (w * pi).sqrt()
        half_log_dets = _precisions_(E, K, root)
        M = cholesky_(torch.sum(E, dim=0, out=work))

        def times_W(x):
            return w * (pi * x - pi * (pi * x).sum(dim=0))

        def solve_newton(r):
            return r - _explain(E, M, times(K, r))

        return g, times_W, solve_newton, (pi, M, half_log_dets)

    mode = find_mode(
        lambda a: times(K, a),
        likelihood.log_p,
        expand,
        start,
        zero=torch.zeros_like(likelihood.y),
        eps=torch.finfo(K.dtype).eps,
        largest_variance=K.diagonal(dim1=1, dim2=2).max().item(),
        max_iter=max_iter,
    )
    pi, M, half_log_dets = mode.local
    log_det = half_log_dets + half_log_det(M) - 0.5 * w.log().sum()
    return SoftmaxInference(
        lml=mode.psi - log_det.item(),
        a=mode.a,
        E=E,
        M=M,
        precision=w * pi,
        derivative=lambda: _derivative(K, E, M, mode.a, w, pi),
        start=mode.f,
        converged=mode.converged,
        residual=mode.residual,
        n_iterations=mode.n_steps,
    )


def _precisions_(E, K, root):
    """E_c = D_c^1/2 B_c^-1 D_c^1/2 into E; returns sum_c log |B_c| / 2."""
    total = 0.0
    for c, s in enumerate(root):
        L = factor(K[min(c, len(K) - 1)], s, E[c])
        total = total + half_log_det(L)
        symmetrize_(inverse_(L)).mul_(s).mul_(s[:, None])
    return total


def times(K, x):
    """K_c x_c for every class: (C, n)."""
    return x @ K[0] if len(K) == 1 else (K @ x[:, :, None])[:, :, 0]


def _explain(E, M, x):
    """(K + W^-1)^-1 x = E x - E R M^-1 R' E x (GPML 3.46): (C, n)."""
    c = (E @ x[:, :, None])[:, :, 0]
    common = solve(M, c.sum(dim=0)[:, None])
    return c - (E @ common)[:, :, 0]


def posterior_blocks(K, E, M):
    """The C x C posterior covariance of each training row: (n, C, C)."""
    n_classes, n, _ = E.shape
    prior = K.diagonal(dim1=1, dim2=2)
    blocks = K.new_zeros(n, n_classes, n_classes)
    through = torch.empty_like(E)
    for c in range(n_classes):
        Kc = K[min(c, len(K) - 1)]
        P = Kc @ E[c]
        blocks[:, c, c] = prior[min(c, len(K) - 1)] - (P * Kc).sum(dim=1)
        through[c] = torch.linalg.solve_triangular(M, P.mT, upper=False)
    return blocks + torch.einsum("ckn,dkn->ncd", through, through)


def _derivative(K, E, M, a, w, pi):
    """d lml / dK with the motion of the mode; a stands for the gradient at the mode.

    As for one class: (a a' - R_cc + u a' + a u') / 2 for K_c, with R = (K + W^-1)^-1,
    of which R_cc = E_c - E_c M^-1 E_c, and u = (I - R K) q, where
    q_ic = -tr(Sigma_i dW_i / df_ic) / 2.
    """
    Sigma = posterior_blocks(K, E, M)
    p = pi.mT
    h = Sigma.diagonal(dim1=1, dim2=2) - 2 * (Sigma @ p[:, :, None])[:, :, 0]
    q = (-0.5 * w[:, None] * p * (h - (p * h).sum(dim=1, keepdim=True))).mT
    u = q - _explain(E, M, times(K, q))
    G = torch.zeros_like(K)
    for c in range(len(E)):
        V = torch.linalg.solve_triangular(M, E[c], upper=False)
        left = torch.stack([a[c] + u[c], a[c]], dim=1)
        right = torch.stack([a[c], u[c]], dim=1)
        Gc = G[min(c, len(K) - 1)]
        Gc.addmm_(V.mT, V, alpha=0.5).sub_(E[c], alpha=0.5)
        Gc.addmm_(left, right.mT, alpha=0.5)
    return G
