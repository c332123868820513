"""Pass two: the gradient of the bound in closed form, block of rows by block.

For columns e_j of weight w_j (see `columns`), beta_j = B^-1 b_j and T targets,

    d / d K_uu = 1/2 L^-T [T (I - B^-1 - S) - sum_j w_j beta_j beta_j'] L^-1
    d / d k_ui = T lambda_i L^-T (I - B^-1) a_i
                 + sum_j w_j lambda_i (e_ij - a_i'beta_j) L^-T beta_j
    d / d k_ii = -1/2 T lambda_i
    d / d lambda_i = 1/2 [T / lambda_i - sum_j w_j (e_ij - a_i'beta_j)^2 - T v_i],

v_i = k_ii - a_i'(I - B^-1) a_i, and the kernel's own pullbacks do the rest.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..._linalg.cholesky import solve_lower
from ..._linalg.precision import double
from .statistics import Whitening, rows_of


@dataclass(frozen=True)
class Direction:
    """What the gradient needs of one factor, beside its rows.

    Attributes
    ----------
    mix : tensor (c, c)
        The columns e as sums of those of the rows; in float64, as `by_points`.
    weights : tensor (c,)
    slope : tensor (m, m)
        T L^-T (I - B^-1).
    gamma : tensor (m, c)
        L^-T beta.
    n_targets : int
    by_points : tensor (m, m)
        d / d K_uu.
    """

    mix: torch.Tensor
    weights: torch.Tensor
    slope: torch.Tensor
    gamma: torch.Tensor
    n_targets: int
    by_points: torch.Tensor

    @classmethod
    def of(cls, solution, L, t, mix, weights):
        """From the Solution of a factor, and what `columns.mixture` says."""
        eye = torch.eye(len(L), dtype=L.dtype, device=L.device)
        inverse = torch.cholesky_inverse(solution.L_B)
        mix, weights = mix.to(L), weights.to(L)
        beta = inverse @ (solution.b @ mix)
        B = solution.L_B @ solution.L_B.mT
        inner = t * (2 * eye - inverse - B) - (beta * weights) @ beta.mT
        return cls(
            mix,
            weights,
            _upper(L, t * (eye - inverse)),
            _upper(L, beta),
            t,
            0.5 * _upper(L, _upper(L, inner).mT),
        )

    def without_points(self):
        """What rows need of it, in whose sums `by_points` has no part."""
        return replace(self, by_points=None)


def _upper(L, G):
    """L^-T G."""
    return torch.linalg.solve_triangular(L.mT, G, upper=True)


def gradient(covariance, likelihood, theta, Z, L, directions, moves, work):
    """Of noisy rows, what does not go by K_uu: [by_theta, by_points], as `over_rows`.

    It adds up over shards of rows: see `Workspace.sum`.

    Parameters
    ----------
    covariance, likelihood, theta, Z, L, work : as in `statistics`
    directions : list of Direction
        Of the factors.
    moves : bool
        Whether the points' coordinates are parameters.
    """
    at = covariance.at(theta)
    (nugget, pull), factors = at.nugget(), likelihood.factors()
    rows = [rows_of(one, nugget) for one in factors]
    whitening = Whitening(at.points.others(Z), L)
    by_theta, by_points, by_precision = over_rows(
        at, whitening, rows, directions, moves, work
    )
    for observed, one, slope in zip(factors, rows, by_precision, strict=True):
        of_copies = observed.copies(nugget)[1]
        slope = -slope * one.share
        by_theta += pull(slope if of_copies is None else slope + of_copies)
    return [by_theta, by_points]


def over_rows(at, whitening, rows, directions, moves, work):
    """The gradient by the rows of `at`, apart from what goes by K_uu.

    Parameters
    ----------
    at : CovarianceAt
    whitening : Whitening
    rows : list of Rows
        Of the factors, as `directions`.
    directions : list of Direction
    moves : bool
    work : Workspace

    Returns
    -------
    by_theta : ndarray (n_dims,)
    by_points : ndarray (m, d)
        (0, d) unless they move.
    by_precision : list of tensor (n,)
        Of each factor, the slopes in log lambda_i.
    """
    points, Z = at.points, whitening.Z
    L = whitening.L.to(points.zeros(0))
    parts = [_in_dtype(*one) for one in zip(rows, directions, strict=True)]
    diagonal, pull_diagonal = at.diag()
    by_precision = [torch.empty_like(one.precision) for one in rows]
    totals = sum(-0.5 * of.n_targets * one.precision for one, of in parts)
    by_theta = pull_diagonal(totals)
    by_points = np.zeros((Z.n * moves, Z.raw.shape[1]))
    for some in whitening.blocks(points.n):
        X = points[some]
        k, pull = at.cross(Z, X)
        a = solve_lower(L, k)
        G = work.buffer("G", *k.shape).zero_()
        told, product = (work.buffer(name, *k.shape) for name in ("told", "product"))
        for (one, of), slopes in zip(parts, by_precision, strict=True):
            precision, t = one.precision[some], of.n_targets
            torch.mm(of.slope, a, out=told)
            missed = t * diagonal[some] - torch.mul(k, told, out=product).sum(0)
            error = one.columns[some] - k.mT @ of.gamma
            G.addcmul_(told, precision)
            weighted = error * of.weights
            G.addmm_(of.gamma, weighted.mT * precision)
            lost = (weighted * error).sum(1) + missed
            slopes[some] = 0.5 * (t - precision * lost)
        by_theta += pull(G)
        if moves:
            by_points += at.slope(Z, X)[1](G).cpu().double().numpy()
    return by_theta, by_points, by_precision


def over_points(at, whitening, directions, moves):
    """The rest of [by_theta, by_points]: what goes by K_uu."""
    Z = whitening.Z
    G = sum(one.by_points for one in directions)
    G.diagonal().add_(whitening.jitter * G.diagonal().mean())
    G = G.to(at.points.zeros(0))
    by_points = np.zeros((0, Z.raw.shape[1]))
    if moves:
        by_points = 2 * at.slope(Z, Z)[1](G).cpu().double().numpy()
    return [whitening.pull(G), by_points]


def _in_dtype(rows, direction):
    """The Rows with the columns of a Direction, and this, in the dtype of the rows."""
    like = rows.columns
    columns = (double(like) @ direction.mix.to(double(like))).to(like)
    names = "weights", "slope", "gamma"
    cast = {name: getattr(direction, name).to(like) for name in names}
    return replace(rows, columns=columns), replace(direction, **cast)
