"""Exact inference for several covariance matrices at once (GPML algorithm 2.1)."""

import math

import torch


def log_marginal_likelihoods(K, y, noise, jitter=0.0):
    """As `evidence.evidence` of plain observations, for K (b, n, n) and one y (n, t).

    Returns
    -------
    lml : tensor (b,)
        -inf where K is not positive definite.
    derivative : callable
        ``derivative()`` -> d lml / dK (b, n, n), lower triangle; 0 where lml is -inf.
    """
    n, t = y.shape
    K.diagonal(dim1=1, dim2=2).mul_(1 + jitter).add_(noise)
    L, info = torch.linalg.cholesky_ex(K)
    pivots = L.diagonal(dim1=1, dim2=2)
    good = (info == 0) & torch.isfinite(pivots.sum(1))
    L[~good] = torch.eye(n, dtype=K.dtype, device=K.device)
    alpha = torch.cholesky_solve(y.expand(len(K), n, t), L)
    fit = 0.5 * (alpha * y).sum((1, 2))
    lml = -(fit + t * pivots.log().sum(1)) - 0.5 * n * t * math.log(2 * math.pi)

    def derivative():
        G = torch.baddbmm(
            torch.cholesky_inverse(L), alpha, alpha.mT, beta=-0.5 * t, alpha=0.5
        )
        G.diagonal(dim1=1, dim2=2).mul_(1 + jitter)
        return G * good[:, None, None]

    return torch.where(good, lml, -math.inf), derivative
