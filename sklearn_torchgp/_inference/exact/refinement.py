"""Weights of a float32 factor, made right by residuals in float64.

A float32 factor of K + N, with the jitter in N that it needs, is that of a matrix some
eps |K| away; its weights moved means by up to 0.1 deviations of the noise on data where
the signal's variance was 6000 times the noise's. Two steps of iterative refinement, for
which K is evaluated in float64 by blocks of rows and never held, leave what rounding
weights and k(x, X) to float32 does: a third of that there, a tenth elsewhere. Variances
need no such help: they were right to 0.3 % of the noisy deviation.
"""

from dataclasses import replace

import torch

from ..._linalg.cholesky import solve, solve_lower
from ..._linalg.memory import row_blocks
from ..._linalg.precision import double
from .solution import Solution

# A step must leave less than this part of the residual for a second one.
CONTRACTION = 0.5


def refined(covariance, observations, solution, added=0.0, theta=None):
    """The solution, with better weights where it is float32.

    Parameters
    ----------
    covariance : Covariance
    observations : Observations
    solution : Solution
        Of these observations.
    added : float or tensor (), default=0.0
        What the factor has on its diagonal beyond these.
    theta : ndarray, default=None
    """
    if solution.alpha.dtype != torch.float32:
        return solution
    residual = _residual(covariance.double(), observations, double_of(added), theta)
    before = _weights(solution)
    r = residual(*before)
    middle = _plus(before, _correction(solution, *r))
    left = residual(*middle)
    if not left[0].norm() <= CONTRACTION * r[0].norm():
        best = middle if left[0].norm() < r[0].norm() else before
    else:
        best = _plus(middle, _correction(solution, *left))
    alpha, beta = best
    trend = solution.trend
    if trend is not None:
        trend = replace(trend, beta=beta.to(trend.beta))
    return Solution(alpha.to(solution.alpha), solution.L, trend)


def double_of(value):
    return double(value) if isinstance(value, torch.Tensor) else value


def _weights(solution):
    trend = solution.trend
    return double(solution.alpha), None if trend is None else double(trend.beta)


def _plus(weights, step):
    return tuple(w if w is None else w + d for w, d in zip(weights, step, strict=True))


def _residual(covariance, observations, added, theta):
    """(alpha, beta) -> y - (K + N) alpha - H beta, and -H' alpha or None."""
    y = double(observations.y)
    times, noise = _system(covariance, observations, added, theta)
    H = None if observations.basis is None else double(observations.basis.H)

    def residual(alpha, beta):
        r = y - times(alpha) - noise * alpha
        return (r, None) if H is None else (r - H @ beta, -H.mT @ alpha)

    return residual


def _system(covariance, observations, added, theta):
    """B -> K B without noise, and the noise (n, 1) or (n, t) of the rows."""
    at, points = covariance.at(theta), covariance.points
    noise = double_of(observations.noise)
    if isinstance(noise, torch.Tensor) and noise.ndim == 1:
        noise = noise[:, None]
    if covariance.tells_noise:
        nugget = at.nugget()[0]
        diagonal = at.diag()[0] + nugget

        def times(B):
            parts = row_blocks(points.n, 16 * points.n, points.device)
            return torch.cat([at.cross(points[rows])[0] @ B for rows in parts])
    else:  # noise that stands in k(X) alone
        K, nugget = covariance.full(theta=theta), 0.0
        diagonal, times = K.diagonal(), K.__matmul__
    own = (nugget + observations.jitter * diagonal)[:, None]
    noise = noise + own + added
    if observations.weight is not None:
        noise = noise / double(observations.weight)[:, None]
    return times, noise


def _correction(solution, r, gap):
    """What takes the residuals away, as the factors know it; float64 in and out."""
    steps = []
    for j, one in enumerate(solution.factors()):
        mine = slice(None) if solution.L.ndim == 2 else slice(j, j + 1)
        scale = r[:, mine].abs().max().clamp(min=torch.finfo(r.dtype).tiny)
        z = (r[:, mine] / scale).to(one.L)
        some = None if gap is None else (gap[:, mine] / scale).to(one.L)
        step = _one_correction(one, z, some)
        steps.append([s if s is None else double(s) * scale for s in step])
    alpha, beta = zip(*steps, strict=True)
    return torch.cat(alpha, dim=1), None if gap is None else torch.cat(beta, dim=1)


def _one_correction(solution, r, gap):
    """K a + H b = r and H' a = gap, of one factor: a and b (None without a trend)."""
    L, trend = solution.L, solution.trend
    if trend is None:
        return solve(L, r), None
    z = solve_lower(L, r)
    inside = torch.linalg.solve_triangular(trend.R.mT, gap, upper=False)
    Rb = trend.Q.mT @ z - inside
    b = torch.linalg.solve_triangular(trend.R, Rb, upper=True)
    return torch.linalg.solve_triangular(L.mT, z - trend.Q @ Rb, upper=True), b
