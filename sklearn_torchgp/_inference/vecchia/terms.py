"""The terms of the evidence: log p(row | rows before it), and their gradient.

A block B is a row's neighbours and, last, the row itself; K_B holds all noise. With
L = chol K_B, z = L^-1 y_B, w = L^-T e_last and a = L^-T (z with 0 last), for T targets,

    log p_B       = -1/2 sum_t z_last,t^2 - T log L_last,last - T/2 log 2 pi
    dlog p_B/dK_B = (u w' + w u') / 2,
    u             = sum_t z_last,t a_t + (sum_t z_last,t^2 - T) w / 2.

The precision of all rows is the sum of w w' over the blocks. So with columns
C = [y, H], H those of a linear trend, S = sum of e e', e = C_B' w, is what `columns`
asks for.

In one *dense* block all rows are terms: S = C'K^-1 C.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..._linalg.precision import double
from ..columns import Sums
from .factor import factor
from .sweep import batches, sweep


@dataclass(frozen=True)
class Blocks:
    """Which terms there are.

    Attributes
    ----------
    dense : ndarray of int (k,)
        Rows of the one dense block, perhaps none.
    sparse : ndarray of int32 (m, k)
        Of each further term, the neighbours and, last, the row itself.
    scale : float
        What a sparse term counts: more than 1 where it stands for others.
    """

    dense: object
    sparse: object
    scale: float = 1.0

    def parts(self, n):
        """The same in n parts, the dense block in the first one."""
        sparse = np.array_split(self.sparse, n)
        dense = [self.dense, *[self.dense[:0]] * (n - 1)]
        return [Blocks(*part, self.scale) for part in zip(dense, sparse, strict=True)]


def terms(at, observed, blocks, columns, weights=None, *, leaving_out=False):
    """The sums over all blocks and, with weights of the columns, the gradient.

    Parameters
    ----------
    at : CovarianceAt
    observed : Observations
        Of all training rows, of one factor.
    blocks : Blocks
    columns : tensor (n, c)
    weights : tensor (c,), default=None
    leaving_out : bool, default=False
        Whether a row stands for its copies, one by one, and not for their mean: a row
        of weight w is w terms, each of one noisy copy.

    Returns
    -------
    sums : Sums
    gradient : ndarray (n_dims,) or None

    Raises
    ------
    NotPositiveDefiniteError
    """
    m, k = blocks.sparse.shape
    slices, points = batches(m, k, at.points), at.points
    n_parts, c, n_dims = len(slices) + 1, columns.shape[1], at.n_dims
    # What lives on is had before the loop: small tensors kept between large ones that
    # are given back would make the heap grow.
    S = torch.zeros(n_parts, c, c, dtype=torch.float64)
    logs = torch.zeros(n_parts, 2, dtype=torch.float64)
    gradients = torch.zeros(n_parts, n_dims, dtype=torch.float64)
    one = _Part(at, observed, columns, weights, leaving_out)

    def some(i, rows):
        index = torch.from_numpy(blocks.sparse[rows]).long().to(points.device)
        found = one(index)
        for total, value in zip((S, logs, gradients), found, strict=True):
            if value is not None:
                total[i] = blocks.scale * value

    sweep(some, slices, at)
    if len(blocks.dense):
        index = torch.as_tensor(blocks.dense).long().to(points.device)[None]
        found = one(index, dense=True)
        for total, value in zip((S, logs, gradients), found, strict=True):
            if value is not None:
                total[-1] = value
    log_det, spread = logs.sum(0).tolist()
    sums = Sums(S.sum(0), log_det, spread)
    return sums, None if weights is None else gradients.sum(0).numpy()


class _Part:
    """The sums, and the gradient, of a batch of blocks."""

    def __init__(self, at, observed, columns, weights, leaving_out):
        self.at, self.observed, self.columns = at, observed, columns
        self.weights, self.leaving_out = weights, leaving_out

    def __call__(self, index, dense=False):
        """S (c, c), (log det, spread) (2,) and gradient (n_dims,) or None, float64."""
        at, part = self.at, self.observed.rows(index)
        K, pull = at.blocks(index)
        copies, spread = None, None
        if self.leaving_out and part.weight is not None:
            copies, part = _with_single_copies(part)
            spread = None if part.scatter is None else part.scatter[:, -1].sum(-1)
        nugget, pull_nugget = _nugget(at, part, index)
        part.cover_(K, nugget)
        L = factor(K)
        Z = torch.linalg.solve_triangular(L, self.columns[index], upper=False)
        pivots = L.diagonal(dim1=-2, dim2=-1)
        if not dense:
            pivots = pivots[:, -1:]
        E, logs = Z if dense else Z[:, -1:], pivots.log()
        if spread is not None:
            spread = spread / pivots[:, -1].square()
        S = _sum_of_squares(E, copies)
        totals = _totals(logs, spread, copies)
        if self.weights is None:
            return S, totals, None
        t = self.observed.y.shape[1]
        if dense:
            G = _dense_derivative(L, Z, self.weights, t)
        else:
            G = _derivative(L, Z, self.weights, t, spread, copies)
        slope = part.noise_slopes_(G.diagonal(dim1=-2, dim2=-1), 0.0)
        gradient = pull(G)
        if slope is not None:
            gradient = gradient + pull_nugget(slope)
        return S, totals, torch.from_numpy(gradient)


def _derivative(L, Z, weights, t, spread, copies):
    """(u w' + w u') / 2 of each block: (b, k, k)."""
    z = Z[:, -1:] * weights  # (b, 1, c)
    rhs = torch.cat([Z, torch.zeros_like(Z[..., :1])], dim=-1)
    u = 0.5 * ((z * Z[:, -1:]).sum((1, 2)) - t)
    rhs[:, -1] = 0.0
    rhs[:, -1, -1] = 1.0
    solved = torch.linalg.solve_triangular(L.mT, rhs, upper=True)
    a, w = solved[..., :-1], solved[..., -1]
    if copies is not None and spread is not None:
        u = u + 0.5 * spread / copies
    u = (a * z).sum(-1) + u[:, None] * w
    if copies is not None:
        u = u * copies[:, None]
    return torch.stack([u, w], dim=-1) @ torch.stack([0.5 * w, 0.5 * u], dim=1)


def _dense_derivative(L, Z, weights, t):
    """(alpha alpha' - t K^-1) / 2 (GPML 5.9), alpha alpha' weighted by column."""
    alpha = torch.linalg.solve_triangular(L.mT, Z, upper=True)
    inverse = torch.cholesky_inverse(L)
    return torch.baddbmm(inverse, alpha * weights, alpha.mT, beta=-0.5 * t, alpha=0.5)


def _with_single_copies(part):
    """How many copies the last rows stand for, and the block with one of each."""
    weight = part.weight.clone()
    weight[:, -1] = 1.0
    return part.weight[:, -1], replace(part, weight=weight)


def _nugget(at, part, index):
    """The kernel's White part, where the weights need it, and its pullback."""
    return (0.0, None) if part.weight is None else at.nugget(at.points[index])


def _sum_of_squares(E, copies):
    """sum e e' over rows e of E (b, r, c): (c, c)."""
    E = double(E)
    scaled = E if copies is None else E * double(copies)[:, None, None]
    c = E.shape[-1]
    return (scaled.reshape(-1, c).mT @ E.reshape(-1, c)).cpu()


def _totals(logs, spread, copies):
    logs = double(logs).sum(1)
    if copies is not None:
        logs = logs * double(copies)
    spread = torch.zeros_like(logs) if spread is None else double(spread)
    return torch.stack([logs.sum(), spread.sum()]).cpu()
