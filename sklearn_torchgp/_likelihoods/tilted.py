"""Tilted distributions N(f | m, v) p(1 | f)^power: normaliser and moments."""

from typing import NamedTuple

import torch

from .links import inverse_mills
from .quadrature import LOG_ROOT_2PI, piecewise_nodes, standard_deviation


class Tilted(NamedTuple):
    """Moments of a tilted distribution, in the forms that lose no digits.

    Attributes
    ----------
    log_z : tensor (n,)
        Log of the normaliser Z.
    slope, bend : tensors (n,)
        d log Z / dm and -d^2 log Z / dm^2.
    shrinkage : tensor (n,)
        Tilted variance / v, in (0, 1); the tilted mean is m + v slope.
    """

    log_z: torch.Tensor
    slope: torch.Tensor
    bend: torch.Tensor
    shrinkage: torch.Tensor


def tilted(link, m, v, power=None):
    """The tilted moments for the positive class.

    Parameters
    ----------
    link : Logit or Probit
    m, v : tensors (n,)
        Mean and variance of the Gaussian.
    power : tensor (n,), default=None
        Exponent of p in (0, 1]; None for 1.
    """
    if link.closed_form and power is None:
        return _probit(m, v)
    power = torch.ones_like(m) if power is None else power
    return _by_quadrature(link, m, v, power)


def _probit(m, v):
    """GPML 3.58 and 3.82 to 3.85."""
    root = (1 + v).sqrt()
    z = m / root
    r = inverse_mills(z)
    curvature = (r * (z + r)).clamp(0, 1)
    shrinkage = (1 + v * (1 - curvature)) / (1 + v)
    log_z = torch.special.log_ndtr(z)
    return Tilted(log_z, r / root, curvature / (1 + v), shrinkage)


def _by_quadrature(link, m, v, power):
    sd = standard_deviation(v)
    low, high = link.support(m, sd, power)
    t, weights = piecewise_nodes(low, high, [(b - m) / sd for b in link.bends])
    f = m[:, None] + sd[:, None] * t
    log_h = power[:, None] * link.log_p(f) - 0.5 * t.square()
    top = log_h.amax(dim=1)
    h = weights * (log_h - top[:, None]).exp_()
    total = h.sum(dim=1)
    h = h / total[:, None]
    d1, d2, _ = link.derivatives(f)
    d1, d2 = power[:, None] * d1, power[:, None] * d2
    slope = (h * d1).sum(dim=1)
    shift = (h * t).sum(dim=1, keepdim=True)
    shrinkage = (h * (t - shift).square_()).sum(dim=1)
    # Two expressions for the same number: moments of the derivatives are exact where
    # the Gaussian is narrow, the change of the variance where it is wide.
    bend = -(h * d2).sum(dim=1) - (h * (d1 - slope[:, None]).square_()).sum(dim=1)
    bend = torch.where(shrinkage < 0.5, (1 - shrinkage) / sd.square(), bend)
    log_z = top + total.log() - LOG_ROOT_2PI
    return Tilted(log_z, slope, bend.clamp(min=0), shrinkage)


def log_average(link, m, v):
    """log of the average of p(1 | f) over N(f | m, v), for every entry (n,)."""
    if link.closed_form:
        return torch.special.log_ndtr(m / (1 + v).sqrt())
    return _by_quadrature(link, m, v, torch.ones_like(m)).log_z
