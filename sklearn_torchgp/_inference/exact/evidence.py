"""log p(y | X) of any Gaussian observation model, and its derivative (GPML 2.3, 5.4.1).

A *criterion* is a function ``(K, observations, nugget)`` -> (value, derivative,
solution), for K (n, n) with its nugget, read and overwritten in its lower triangle; the
nugget (float or (n,)) is what of K's diagonal is noise of a single copy, and read only
under weights. ``derivative()``, to be called once, gives (d value / dK (n, n), lower
triangle; d value / d nugget beyond its place in K: (n,) or None). It may use K's
memory, where the solution's L is, too; the solution is None where nothing is left of it
that float64 prediction could use. A matrix without a Cholesky factor raises
NotPositiveDefiniteError.
"""

import math

import torch

from ..._linalg import lapack
from ..._linalg.cholesky import half_log_det
from ..._linalg.extend import extend_cholesky
from . import small
from .solution import Solution, add_outer_, condition_, precision_, solution_of


def evidence(K, observations, nugget=0.0):
    """The criterion log p(y | X), summed over targets."""
    if observations.plain and lapack.serves(K):
        return small.evidence(K, observations)
    return per_factor(_one_factor, K, observations, nugget)


def per_factor(criterion, K, observations, nugget):
    """Sum a criterion for observations of one factor over the factors needed."""
    parts = observations.factors()
    if len(parts) == 1:
        return criterion(K, parts[0], nugget)
    matrices = [*(K.clone() for _ in parts[1:]), K]
    values, derivatives, solutions = zip(
        *(criterion(M, part, nugget) for M, part in zip(matrices, parts, strict=True)),
        strict=True,
    )

    def derivative():
        G, slope = derivatives[-1]()
        for other in derivatives[:-1]:
            more, more_slope = other()
            G.add_(more)
            slope = None if slope is None else slope + more_slope
        return G, slope

    kept = None if solutions[0] is None else Solution.stack(solutions)
    return sum(values), derivative, kept


def _one_factor(K, observations, nugget):
    own = observations.own_noise(nugget, K.diagonal())
    solution = condition_(K, observations, nugget)
    value, own_slope = log_density(solution, observations, own)
    alpha, t = solution.alpha, observations.y.shape[1]

    def derivative():
        # (alpha alpha' - t P) / 2 (GPML 5.9, with P for K^-1)
        G = add_outer_(precision_(solution), alpha, alpha, beta=-0.5 * t, scale=0.5)
        return G, observations.noise_slopes_(G.diagonal(), own_slope)

    return value, derivative, solution


def log_density(solution, observations, own=0.0):
    """log p(y | X), and its slope in the copies' own noise, for one factor."""
    y, alpha = observations.y, solution.alpha
    n, t = y.shape
    fit = 0.5 * torch.dot(y.reshape(-1), alpha.reshape(-1))
    value = -(fit + t * half_log_det(solution.L)).item()
    if solution.trend is not None:
        # Both H and y lose p dimensions to the trend: (n - p) log 2 pi (GPML 2.45).
        n -= observations.basis.H.shape[1]
        half_log_A = solution.trend.R.diagonal().abs().log().sum().item()
        value -= t * (half_log_A - observations.basis.log_scale)
    value -= 0.5 * n * t * math.log(2 * math.pi)
    copies, copies_slope = observations.copies(own)
    return value + copies, copies_slope


def extended(solution, B, C, observations, nugget=0.0, own=0.0):
    """The evidence and solution with more rows, from the solution without them.

    Parameters
    ----------
    solution : Solution
        Of the first n rows.
    B : tensor (k, n)
        Covariance of the k new rows with the first n.
    C : tensor (k, k)
        Of the new rows, with its nugget; lower triangle.
    observations : Observations
        Of all n + k rows, with as many factors as the solution.
    nugget, own : float or tensor (n + k,)
        The nugget, and what `own_noise` makes of it. Read only under weights.

    Returns
    -------
    value, solution : float, Solution

    Raises
    ------
    NotPositiveDefiniteError
    """
    new = slice(B.shape[1], None)
    tail = nugget[new] if isinstance(nugget, torch.Tensor) else nugget
    total, grown = 0.0, []
    for part, of in zip(solution.factors(), observations.factors(), strict=True):
        corner = of[new].cover_(C.clone(), tail)
        one = solution_of(extend_cholesky(part.L, B, corner), of)
        total += log_density(one, of, own)[0]
        grown.append(one)
    return total, Solution.stack(grown)
