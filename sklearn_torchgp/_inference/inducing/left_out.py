"""Leave-one-out: each row told by the others, the points kept, by rank-one downdates.

With P = C^-1, less what a trend takes, and alpha = P y, GPML 5.12 holds for what the
points tell: mean = y - alpha / P_ii, and 1 / P_ii is the variance of it with the noise.
What the points do not tell of a row, k_ii - |a_i|^2, is added. Here

    alpha_i = lambda_i (e_i - a_i'beta),   (C^-1)_ii = lambda_i (1 - h_i),
    h_i = lambda_i a_i'B^-1 a_i,           (C^-1 H)_i = lambda_i (H_i - a_i'B^-1 b_H).

Of class labels the same is the cavity of a site, as far as the points tell the row (see
`sites.engine`).
"""

import math

import torch

from ..._linalg.cholesky import solve_lower
from ..._linalg.precision import double
from ..columns import Coefficients, mixture
from ..sites.engine import Conditional, cavities
from .statistics import rows_of


def left_out(at, whitening, observed, solution):
    """Of one factor mean (n, t) and variance (n,) of noisy observations, as far as the
    points tell them; and the variance (n,) that they do not tell.
    """
    t = observed.y.shape[1]
    nugget = at.nugget()[0]
    rows = rows_of(observed, nugget)
    mix, _ = mixture(solution.sums, t)
    mix = mix.to(solution.b)
    beta = torch.cholesky_solve(solution.b @ mix, solution.L_B)
    precision, columns = double(rows.precision), double(rows.columns) @ mix
    told, share, missed = _told(at, whitening, solution, beta)
    lost = columns - told
    P = 1 - precision * share
    if Coefficients.of(solution.sums.S, t) is not None:
        P = P - precision * lost[:, t:].square().sum(1)
        # Without a row that alone determines a coefficient the others say nothing.
        P = torch.where(P > 1e-10, P, 0.0)
    mean = double(observed.y) - lost[:, :t] / P[:, None]
    mean = torch.where(P[:, None] > 0, mean, math.nan)
    variance = 1 / (precision * P)
    if observed.weight is not None:
        variance += double((1 - 1 / observed.weight) / rows.share)
    return mean, variance, missed


def left_out_sites(at, whitening, sites, solution, copies):
    """Mean and variance (n, 1) of each f_i without one copy of its site."""
    beta = torch.cholesky_solve(solution.b, solution.L_B)
    mean, share, missed = _told(at, whitening, solution, beta)
    unexplained = 1 - sites.precision * share
    q = Conditional(None, mean[:, 0], share, unexplained, None, None)
    m, v = cavities(q, sites, copies)
    return m[:, None], (v + missed + double(at.nugget()[0]))[:, None]


def _told(at, whitening, solution, beta):
    """Of each row a'beta (n, c), a'B^-1 a (n,) and k_ii - |a|^2 (n,), in float64."""
    n, L_B = at.points.n, solution.L_B
    told = L_B.new_empty(n, beta.shape[1])
    share, missed = L_B.new_empty(n), L_B.new_empty(n)
    diagonal = double(at.diag()[0])
    for some in whitening.blocks(n):
        a = double(at.cross(whitening.Z, at.points[some])[0])
        a = solve_lower(whitening.L, a)
        told[some] = a.mT @ beta
        share[some] = solve_lower(L_B, a).square().sum(0)
        missed[some] = (diagonal[some] - a.square().sum(0)).clamp_(min=0)
    return told, share, missed
