"""Exact inference on few rows: algorithm 2.1 of GPML in six LAPACK calls.

What `evidence` says of plain observations, on the tensors' own memory through NumPy: at
n = 10 and 50 it takes 12 and 37 microseconds where torch's calls took 40 and 65.
"""

import math

import numpy as np
import torch

from ..._linalg import lapack
from ...exceptions import NotPositiveDefiniteError
from .solution import Solution


def evidence(K, observations):
    """As `evidence.evidence`, for plain observations and a K that `lapack.serves`."""
    A, Y = K.numpy(), observations.y.numpy()
    noise, jitter = observations.noise, observations.jitter
    n, t = Y.shape
    diagonal = A.reshape(-1)[:: n + 1]
    if jitter:
        diagonal *= 1 + jitter
    diagonal += noise.numpy() if isinstance(noise, torch.Tensor) else noise
    info = lapack.factor_(A)
    # NaN and inf in K pass LAPACK unnoticed and then show in a pivot.
    if info or not math.isfinite(np.add.reduce(diagonal)):
        raise NotPositiveDefiniteError("a pivot of the Cholesky factor is not positive")
    alpha = lapack.solve(A, Y)
    half_log_det = float(np.add.reduce(np.log(diagonal)))
    fit = 0.5 * float(np.vdot(Y, alpha))
    value = -fit - t * half_log_det - 0.5 * n * t * math.log(2 * math.pi)

    def derivative():
        lapack.inverse_(A)
        lapack.add_outer_(A, alpha, scale=0.5, keep=-0.5 * t)  # GPML 5.9
        if jitter:
            diagonal.__imul__(1 + jitter)
        return K, None

    return value, derivative, Solution(torch.from_numpy(alpha), K)
