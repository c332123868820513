"""Integrals over a Gaussian on the line, by Gauss-Legendre between break points.

Sigmoids bend at a scale of their own (about 1), which may be far wider or far narrower
than the Gaussian: Gauss-Hermite nodes then miss the bend. So the line is cut to the
support of the integrand, and there where the sigmoid begins and ends to bend; in
between the integrand is a smooth log-concave function that 32 nodes integrate to about
1e-11 whatever the variance is.

All positions are in standard units t = (f - mean) / sd. Shapes: (n,) for n integrals.
"""

import functools
import math

import numpy as np
import torch

NODES = 32

# Half-width of a Gaussian's support: exp(-REACH^2 / 2) = 1e-14.
REACH = 8.0

# Standard deviations below this are treated as this (a Gaussian that is a point).
SMALLEST_SD = 1e-100


def standard_deviation(variance):
    """Root of the variance, never zero."""
    smallest = max(SMALLEST_SD, torch.finfo(variance.dtype).tiny ** 0.5)
    return variance.clamp(min=0).sqrt().clamp(min=smallest)


def piecewise_nodes(low, high, breaks):
    """Nodes and weights of integrals from low to high.

    Parameters
    ----------
    low, high : tensors (n,)
    breaks : list of tensors (n,), ascending
        Where to cut, if within.

    Returns
    -------
    t, weights : tensors (n, q)
    """
    inner = [torch.minimum(torch.maximum(b, low), high) for b in breaks]
    edges = torch.stack([low, *inner, high], dim=1)
    half = edges.diff(dim=1) / 2
    used = (half > 0).any(dim=0)
    used[-1] |= ~used.any()
    used = used.nonzero()[:, 0]
    half = half[:, used]
    middle = edges[:, :-1][:, used] + half
    x, w = _legendre(half.dtype, half.device)
    t = middle[:, :, None] + half[:, :, None] * x
    return t.flatten(1), (half[:, :, None] * w).flatten(1)


def gaussian_nodes(mean, sd, bends):
    """Nodes f and weights of expectations under N(mean, sd^2).

    Parameters
    ----------
    mean, sd : tensors (n,)
    bends : sequence of float, ascending
        Values of f between which the integrand is smooth.

    Returns
    -------
    f, weights : tensors (n, q); the weights of a row sum to 1.
    """
    reach = torch.full_like(mean, REACH)
    t, weights = piecewise_nodes(-reach, reach, [(b - mean) / sd for b in bends])
    weights = weights * (t.square() * -0.5).exp_()
    f = mean[:, None] + sd[:, None] * t
    return f, weights / weights.sum(dim=1, keepdim=True)


@functools.cache
def _legendre(dtype, device):
    x, w = np.polynomial.legendre.leggauss(NODES)
    return tuple(torch.as_tensor(v, dtype=dtype, device=device) for v in (x, w))


LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
