"""A Cholesky factor that grows by rows."""

import torch

from .cholesky import cholesky_, solve_lower


def extend_cholesky(L, B, C):
    """The factor of [[A, B'], [B, C]] from that of A = L L', in O(n^2 k).

    Parameters
    ----------
    L : tensor (n, n), lower triangle
    B : tensor (k, n)
    C : tensor (k, k)
        Overwritten; the lower triangle is read.

    Returns
    -------
    tensor (n + k, n + k)
        Zero above the diagonal.

    Raises
    ------
    NotPositiveDefiniteError
    """
    n, k = L.shape[0], C.shape[0]
    grown = torch.zeros(n + k, n + k, dtype=L.dtype, device=L.device)
    grown[:n, :n] = L
    below = grown[n:, :n]
    below.copy_(solve_lower(L, B.mT).mT)
    grown[n:, n:] = cholesky_(C.addmm_(below, below.mT, alpha=-1)).tril_()
    return grown
