"""Gaussian likelihood: exact inference by one Cholesky factor (GPML 2.3, 5.4.1).

Shapes: K (n, n) read and overwritten in its lower triangle, y (n, t) for t targets that
share the covariance, noise a float or (n,).
"""

import math

import torch

from ..._linalg import lapack
from ..._linalg.cholesky import cholesky_, half_log_det, inverse_, panels, solve
from ...exceptions import NotPositiveDefiniteError
from . import small
from .posterior import Posterior

# How much of mean(diag K) the final factorisation may add, in this order.
JITTER_LADDER = {
    torch.float64: (1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6),
    torch.float32: (1e-5, 1e-4, 1e-3),
}


def rounding_jitter(n, dtype):
    """By what fraction every diagonal entry of K is enlarged.

    Round-off moves the eigenvalues by about eps |K|, and |K| is n times the diagonal
    where all rows are alike. float64 leaves that to the caller's noise; in float32 a
    smooth kernel has no factor without it.
    """
    return torch.finfo(dtype).eps * (n + 50) if dtype == torch.float32 else 0.0


def log_marginal_likelihood(K, y, noise, jitter=0.0):
    """log p(y | X) summed over targets (GPML algorithm 2.1), and how to differentiate.

    Parameters
    ----------
    jitter : float
        K's own diagonal is multiplied by 1 + jitter.

    Returns
    -------
    lml : float
    derivative : callable
        ``derivative()`` -> d lml / dK, (n, n) in K's own memory.
    posterior : Posterior
        Its L is K's memory, too: valid until `derivative` is called.

    Raises
    ------
    NotPositiveDefiniteError
    """
    if lapack.serves(K):
        return small.log_marginal_likelihood(K, y, noise, jitter)
    n, t = y.shape
    K.diagonal().mul_(1 + jitter).add_(noise)
    L = cholesky_(K)
    alpha = solve(L, y)
    fit = 0.5 * torch.dot(y.reshape(-1), alpha.reshape(-1))
    lml = -(fit + t * half_log_det(L)).item() - 0.5 * n * t * math.log(2 * math.pi)

    def derivative():
        G = inverse_(L)
        for rows in panels(n, 512):  # (alpha alpha' - t K^-1) / 2 (GPML 5.9)
            block = G[rows, : rows.stop]
            block.addmm_(alpha[rows], alpha[: rows.stop].mT, beta=-0.5 * t, alpha=0.5)
        G.diagonal().mul_(1 + jitter)
        return G

    return lml, derivative, Posterior(alpha, L)


def fit_with_jitter(gram, y, noise, *, jitter=0.0, ladder=(), evaluate=None):
    """`log_marginal_likelihood` on gram(), with more jitter if that is not enough.

    Parameters
    ----------
    gram : callable
        Makes K anew, for every try spoils it.
    jitter : float
        As in `log_marginal_likelihood`.
    ladder : sequence of float
        Further fractions of mean(diag K) to add, tried in this order.
    evaluate : callable, default=log_marginal_likelihood
        Another model's, of the same signature.

    Returns
    -------
    lml, posterior, added, step : float, Posterior, float, float
        `added` is the mean of what the diagonal got beyond `noise`, `step` the part
        of the ladder in it (a fraction of mean(diag K)).

    Raises
    ------
    NotPositiveDefiniteError
        If nothing on the ladder helps.
    """
    evaluate = evaluate or log_marginal_likelihood
    for step in (0.0, *ladder):
        K = gram()
        scale = K.diagonal().mean().item()
        try:
            lml, _, posterior = evaluate(K, y, noise + step * scale, jitter)
        except NotPositiveDefiniteError:
            continue
        return lml, posterior, (step + jitter) * scale, step
    raise NotPositiveDefiniteError("no jitter on the ladder gave a Cholesky factor")
