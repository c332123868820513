"""Latent values of several classes from what inference keeps: a, E and M.

Both `softmax_laplace` and `multiclass_ep` replace a row's likelihood by a Gaussian with
precision W = diag(d) - d d' / sum(d) over the classes: d = w pi for Laplace, the site
precisions for EP.
"""

import torch

from ..._linalg.cholesky import solve_lower
from ..._linalg.precision import double
from .softmax_laplace import posterior_blocks, times


def latent_moments(k, prior, a, E, M):
    """Mean (m, C), and covariance between classes (m, C, C), at m new rows (GPML 3.4).

    Parameters
    ----------
    k : tensor (m, n) or (C, m, n)
        Covariance with the training rows, shared by all classes or of each.
    prior : tensor (m,) or (C, m)
        Variance at the new rows.
    a, E, M : tensors (C, n), (C, n, n), (n, n)
    """
    reach = k @ E
    through = solve_lower(M, reach.flatten(0, 1).mT).unflatten(1, reach.shape[:2])
    cov = torch.einsum("kcm,kdm->mcd", through, through)
    cov.diagonal(dim1=1, dim2=2).add_((prior - (reach * k).sum(dim=2)).mT)
    mean = (k @ a[:, :, None])[:, :, 0] if k.ndim == 3 else a @ k.mT
    return mean.mT, cov


def leave_one_out(K, a, E, M, d, copies=None):
    """Mean (n, C) and covariance (n, C, C) of latent values without the row's label.

    The row's Gaussian, with precision W and gradient a, is taken out of its posterior:
    covariance (I - S W)^-1 S and mean f - that times a.

    Parameters
    ----------
    K : tensor (1, n, n) or (C, n, n)
    d : tensor (C, n)
        Site precisions; w pi for Laplace.
    copies : tensor (n,), default=None
        How many equal terms a row has, one of which is left out. None means 1.
    """
    share = torch.ones_like(a[0]) if copies is None else 1 / copies
    S = double(posterior_blocks(K, E, M))
    f, a, d = (double(x.mT) for x in (times(K, a), share * a, share * d))
    W = torch.diag_embed(d) - d[:, :, None] * d[:, None] / d.sum(1)[:, None, None]
    identity = torch.eye(W.shape[-1], dtype=W.dtype, device=W.device)
    cov = torch.linalg.solve(identity - S @ W, S)
    return f - (cov @ a[:, :, None])[:, :, 0], cov
