"""Tanimoto: the similarity of fingerprints."""

import torch

from .._covariance.registry import KernelRecord, register
from ._base import Kernel


class Tanimoto(Kernel):
    """k(x, z) = variance x'z / (|x|^2 + |z|^2 - x'z).

    Of sets, given as rows of 0 and 1 (bits of a molecular fingerprint), the size of
    the intersection by that of the union (Jaccard's index); of counts, and of any
    numbers, its continuation, positive definite as well. Two rows of zeros are equal.

    Parameters
    ----------
    variance : float, default=1.0
    variance_bounds : pair or "fixed", default=(1e-5, 1e5)
    """

    parameters = ("variance",)

    def __init__(self, variance=1.0, variance_bounds=(1e-5, 1e5)):
        self.variance = variance
        self.variance_bounds = variance_bounds


def _parts(X, Z):
    """x'z, and |x|^2 + |z|^2, for all pairs of rows."""
    squares = X.square().sum(-1)[..., :, None] + Z.square().sum(-1)[..., None, :]
    return X @ Z.mT, squares


def _dense(params, X, Z):
    common, squares = _parts(X, Z)
    union = squares - common
    K = params["variance"] * torch.where(union > 0, common / union, 1.0)
    return K, lambda G: {"variance": (G * K).sum()}


def _diag(params, X):
    value = params["variance"]
    return value, lambda total: {"variance": value * total}


def _slope(params, X, Z):
    common, squares = _parts(X, Z)
    union = squares - common
    there = union > 0
    scale = torch.where(there, params["variance"] / union.square(), 0.0)
    K = params["variance"] * torch.where(there, common / union, 1.0)

    def pull(G):
        W = G * scale
        return (W * squares) @ Z - 2 * (W * common).sum(-1, keepdim=True) * X

    return K, pull


register(Tanimoto, KernelRecord(_dense, _diag, slope=_slope, check=Tanimoto.check))
