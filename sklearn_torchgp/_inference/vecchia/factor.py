"""Cholesky factors of many small matrices."""

import torch

from ...exceptions import NotPositiveDefiniteError


def factor(K):
    """The lower Cholesky factor of each matrix (b, k, k).

    Raises
    ------
    NotPositiveDefiniteError
        If one of them has none.
    """
    L, bad = _factor(K)
    if bad.any().item():
        raise NotPositiveDefiniteError("a pivot of the Cholesky factor is not positive")
    return L


def factor_with_help(K, ladder):
    """The same, where more may be added to the diagonals of those without a factor.

    Parameters
    ----------
    K : tensor (b, k, k)
    ladder : tuple of float
        Fractions of the mean diagonal that are added, in this order.

    Returns
    -------
    L : tensor (b, k, k)
    added : float
        The largest number that was added; 0.0 if none.
    """
    L, bad = _factor(K)
    added, done = 0.0, 0.0
    for step in ladder:
        if not bad.any().item():
            return L, added
        where = bad.nonzero()[:, 0]
        rest = K[where]
        diagonal = rest.diagonal(dim1=-2, dim2=-1)
        scale = diagonal.mean(-1, keepdim=True)
        diagonal += (step - done) * scale
        added, done = step * scale.max().item(), step
        K[where] = rest
        L[where], still = _factor(rest)
        bad[where] = still
    if bad.any().item():
        raise NotPositiveDefiniteError("a pivot of the Cholesky factor is not positive")
    return L, added


def _factor(K):
    """Factors, and which of them (b,) are none."""
    L, info = torch.linalg.cholesky_ex(K)
    # NaN and inf pass unnoticed and then show in a pivot.
    trace = L.diagonal(dim1=-2, dim2=-1).sum(-1)
    return L, (info != 0) | ~torch.isfinite(trace)
