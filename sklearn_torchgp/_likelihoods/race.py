"""Terms of a race between classes: one-dimensional moments for `multiclass_ep`."""

import math
from typing import NamedTuple

import torch

from .quadrature import piecewise_nodes

# Nodes reach to where the integrand has fallen by exp(-DROP) from its mode.
DROP = 40.0

# Between these values of x the term exp(-e^x) falls from 1 - 1e-13 to 0; the integrand
# is nearly Gaussian, or zero, outside.
BENDS = (-30.0, -12.0, -4.0)

# Newton steps for the mode: the equation is that of Lambert's W, and its Newton
# iteration descends from the start to the last digit in at most 6 steps.
NEWTON_STEPS = 8


class RaceMoments(NamedTuple):
    """Of N(x | m, v) t(x): log of the normaliser, mean and variance, tensors (C, n)."""

    log_z: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor


def gumbel_moments(b, m, v):
    """Moments of N(x | m, v) exp(b x - e^x), a log-concave function.

    Parameters
    ----------
    b, m, v : tensors of one shape, float64
        b >= 0: the weight of a winner, 0 for the others.
    """
    shape = m.shape
    b, m, v = b.reshape(-1), m.reshape(-1), v.reshape(-1)
    mode = _gumbel_mode(b, m, v)
    lam = mode.exp()
    low, high = _support(mode, lam, v)
    breaks = [torch.full_like(m, bend) for bend in BENDS]
    breaks = torch.stack([*breaks, mode]).sort(dim=0).values.unbind()
    x, weights = piecewise_nodes(low, high, list(breaks))
    d, lam = x - mode[:, None], lam[:, None]
    rise = torch.where(lam > 1e-3, lam * (d.expm1() - d), x.exp() - lam * (1 + d))
    h = weights * (-rise - 0.5 * d.square() / v[:, None]).exp_()
    total = h.sum(dim=1)
    h = h / total[:, None]
    shift = (h * d).sum(dim=1)
    variance = (h * (d - shift[:, None]).square_()).sum(dim=1)
    top = b * mode - lam[:, 0] - 0.5 * (mode - m).square() / v
    log_z = top + total.log() - 0.5 * (2 * math.pi * v).log()
    return RaceMoments(*(r.view(shape) for r in (log_z, mode + shift, variance)))


def _support(mode, lam, v):
    """Where the integrand has fallen by DROP.

    Minus its log rises by at least d^2 / 2v and by lam (e^d - 1 - d) at mode + d, which
    is more than d^2 / 2 to the right and more than d^2 / 3 to the left as far as -1.
    """
    reach, near = (2 * DROP * v).sqrt(), 3 * DROP / lam
    left = torch.where(near < 1, near.sqrt(), 1 + DROP / lam)
    right = (math.log(2 * DROP) - mode).clamp(min=2)
    right = torch.minimum(right, (2 * DROP / lam).sqrt())
    return mode - torch.minimum(left, reach), mode + torch.minimum(right, reach)


def _gumbel_mode(b, m, v):
    """Where b - e^x = (x - m) / v: with r = x + log v, e^r + r = m + b v + log v."""
    log_v = v.log()
    z = m + b * v + log_v
    r = torch.where(z > 1, z.clamp(min=1).log(), z)
    for _ in range(NEWTON_STEPS):
        e = r.exp()
        r = r - (e + r - z) / (e + 1)
    return r - log_v
