"""Exact inference with a float32 factor and float64 weights (iterative refinement).

The factor and the inverse, n^3 flop, are float32; K, its products with the weights and
the derivative's elementwise part stay float64. So are alpha, to 1e-10, and with it the
quadratic term of the evidence; log det K and K^-1 keep float32's error, which grows
with the condition number (``benchmarks/bench_dtype.py`` measures it). Where the
refinement contracts by less than `CONTRACTION` a step float32 does not know K^-1, and
there is no value. So this is for the way to an optimum, whose end is float64's.
"""

import math

import torch

from ..._linalg.cholesky import cholesky_, half_log_det, inverse_, panels, solve
from ..._linalg.precision import without_faint_
from ...exceptions import NotPositiveDefiniteError

# Residual of the weights relative to y, and steps that may be taken to reach it.
TOLERANCE = 1e-10
STEPS = 12

# Largest quotient of successive residuals: about the condition number times 6e-8.
CONTRACTION = 0.1


def evidence(K, observations, nugget=0.0):
    """The criterion `evidence.evidence`, for K in float64 and plain observations.

    Raises
    ------
    NotPositiveDefiniteError
        Also if float32 cannot factor K or the refinement does not converge.
    ValueError
        For weights, a trend, or noise of each target.
    """
    if not observations.plain:
        raise ValueError(
            "The 'dtype' parameter is 'mixed', which knows neither sample_weight nor "
            "mean='constant' or 'linear' nor noise_variance of each target. Use "
            "dtype='float64' with these."
        )
    y = observations.y
    n, t = y.shape
    observations.cover_(K)
    L = cholesky_(without_faint_(K.float()))
    alpha = refine(K, L, y)
    fit = 0.5 * torch.dot(y.reshape(-1), alpha.reshape(-1)).item()
    log_det = 2 * half_log_det(L).item()
    value = -fit - 0.5 * t * log_det - 0.5 * n * t * math.log(2 * math.pi)

    def derivative():
        inverse = inverse_(L)
        for rows in panels(n):  # (alpha alpha' - t K^-1) / 2 (GPML 5.9)
            block = K[rows, : rows.stop].copy_(inverse[rows, : rows.stop])
            block.addmm_(alpha[rows], alpha[: rows.stop].mT, beta=-0.5 * t, alpha=0.5)
        return K, observations.noise_slopes_(K.diagonal(), None)

    return value, derivative, None


def refine(K, L, y):
    """K^-1 y by solves with the float32 factor and residuals in float64."""
    alpha = torch.zeros_like(y)
    residual, size = y, y.norm().item()
    goal, before = TOLERANCE * size, size
    for _ in range(STEPS):
        # Scaled to one: residuals may be smaller than float32 can tell from zero.
        scale = max(before, torch.finfo(y.dtype).tiny)
        alpha = alpha + solve(L, (residual / scale).float()).double() * scale
        residual = y - symmetric_product(K, alpha)
        after = residual.norm().item()
        if after <= goal:
            return alpha
        if not after <= CONTRACTION * before:
            break
        before = after
    raise NotPositiveDefiniteError(
        "a float32 factor does not know the inverse: a step of the refinement left "
        f"{after / before:.1g} of the residual (allowed: {CONTRACTION})"
    )


def symmetric_product(K, B):
    """K B for a symmetric K of which the lower triangle is valid."""
    out = torch.zeros_like(B)
    for rows in panels(K.shape[0]):
        square, left = K[rows, rows], K[rows, : rows.start]
        out[rows] += (square.tril() + square.tril(-1).mT) @ B[rows] + left @ B[
            : rows.start
        ]
        out[: rows.start] += left.mT @ B[rows]
    return out
