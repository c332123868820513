"""Pass two: the gradient of the bound in closed form, block of rows by block.

For columns e_j of weight w_j (see `columns`), beta_j = B^-1 b_j and T targets,

    d / d K_uu = 1/2 L^-T [T (I - B^-1 - S) - sum_j w_j beta_j beta_j'] L^-1
    d / d k_ui = T lambda_i L^-T (I - B^-1) a_i
                 + sum_j w_j lambda_i (e_ij - a_i'beta_j) L^-T beta_j
    d / d k_ii = -1/2 T lambda_i
    d / d lambda_i = 1/2 [T / lambda_i - sum_j w_j (e_ij - a_i'beta_j)^2 - T v_i],

v_i = k_ii - a_i'(I - B^-1) a_i, and the kernel's own pullbacks do the rest.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ..._linalg.cholesky import solve_lower
from ..._linalg.precision import double


@dataclass(frozen=True)
class Direction:
    """What the gradient needs of one factor, in the dtype of the rows.

    Attributes
    ----------
    precision : tensor (n,)
    columns : tensor (n, c)
    weights : tensor (c,)
    slope : tensor (m, m)
        T L^-T (I - B^-1).
    gamma : tensor (m, c)
        L^-T beta.
    n_targets : int
    by_points : tensor (m, m)
        d / d K_uu, in float64.
    """

    precision: torch.Tensor
    columns: torch.Tensor
    weights: torch.Tensor
    slope: torch.Tensor
    gamma: torch.Tensor
    n_targets: int
    by_points: torch.Tensor

    @classmethod
    def of(cls, rows, solution, L, t, mix, weights):
        """From the Rows and Solution of a factor, and what `columns.mixture` says."""
        eye = torch.eye(len(L), dtype=L.dtype, device=L.device)
        inverse = torch.cholesky_inverse(solution.L_B)
        mix, weights = mix.to(L), weights.to(L)
        beta = inverse @ (solution.b @ mix)
        B = solution.L_B @ solution.L_B.mT
        inner = t * (2 * eye - inverse - B) - (beta * weights) @ beta.mT
        like = rows.columns
        return cls(
            rows.precision,
            (double(like) @ mix.to(double(like))).to(like),
            weights.to(like),
            _upper(L, t * (eye - inverse)).to(like),
            _upper(L, beta).to(like),
            t,
            0.5 * _upper(L, _upper(L, inner).mT),
        )


def _upper(L, G):
    """L^-T G."""
    return torch.linalg.solve_triangular(L.mT, G, upper=True)


def gradient(at, whitening, directions, work, *, moves=False):
    """The gradient in theta, in the points, and in the precisions of the rows.

    Parameters
    ----------
    at : CovarianceAt
    whitening : Whitening
    directions : list of Direction
        Of the factors.
    work : Workspace
    moves : bool, default=False
        Whether the points' coordinates are parameters.

    Returns
    -------
    by_theta : ndarray (n_dims,)
    by_points : ndarray (m, d), or None
    by_precision : list of tensor (n,)
        Of each factor, the slopes in log lambda_i.
    """
    points, Z = at.points, whitening.Z
    L = whitening.L.to(points.zeros(0))
    diagonal, pull_diagonal = at.diag()
    by_precision = [torch.empty_like(one.precision) for one in directions]
    totals = sum(-0.5 * one.n_targets * one.precision for one in directions)
    by_theta = pull_diagonal(totals)
    by_points = np.zeros(tuple(Z.raw.shape)) if moves else None
    for some in whitening.blocks(points.n):
        X = points[some]
        k, pull = at.cross(Z, X)
        a = solve_lower(L, k)
        G = work.buffer("G", *k.shape).zero_()
        told, product = (work.buffer(name, *k.shape) for name in ("told", "product"))
        for one, slopes in zip(directions, by_precision, strict=True):
            precision, t = one.precision[some], one.n_targets
            torch.mm(one.slope, a, out=told)
            missed = t * diagonal[some] - torch.mul(k, told, out=product).sum(0)
            error = one.columns[some] - k.mT @ one.gamma
            G.addcmul_(told, precision)
            weighted = error * one.weights
            G.addmm_(one.gamma, weighted.mT * precision)
            lost = (weighted * error).sum(1) + missed
            slopes[some] = 0.5 * (t - precision * lost)
        by_theta += pull(G)
        if moves:
            by_points += at.slope(Z, X)[1](G).cpu().double().numpy()
    G = sum(one.by_points for one in directions)
    G.diagonal().add_(whitening.jitter * G.diagonal().mean())
    G = G.to(L)
    by_theta += whitening.pull(G)
    if moves:
        by_points += 2 * at.slope(Z, Z)[1](G).cpu().double().numpy()
    return by_theta, by_points, by_precision
