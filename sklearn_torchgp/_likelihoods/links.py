"""Logistic and probit sigmoids: log p(y = 1 | f), derivatives, Gaussian averages.

Everything is for the positive class; by symmetry p(y | f) = p(1 | y f), y = -1 or 1.
"""

import math

import torch

from .quadrature import REACH


class Logit:
    """p(1 | f) = 1 / (1 + exp(-f)) (GPML 3.5).

    Attributes
    ----------
    bends : sequence of float
        Where log p changes from linear to curved to flat (exp(-36) is 2e-16).
    """

    bends = (-36.0, 0.0, 36.0)
    closed_form = False

    # Not by `log_p`, which wakes all threads for ten rows.
    p = staticmethod(torch.sigmoid)

    @staticmethod
    def log_p(f):
        return torch.nn.functional.logsigmoid(f)

    @staticmethod
    def derivatives(f):
        """First three derivatives of log p (GPML 3.15)."""
        p, q = torch.sigmoid(f), torch.sigmoid(-f)
        W = p * q
        return q, -W, W * (p - q)

    @staticmethod
    def support(m, sd, power):
        """Where N(m, sd^2) p^power is not negligible, in standard units.

        From log p <= min(0, f): to the right the tilted density falls at least as
        fast as the Gaussian, to the left at least as fast as the Gaussian shifted by
        power * sd^2.
        """
        centre, shift = m / sd, power * sd
        wide = REACH * REACH
        low = shift - ((centre + shift).clamp(min=0).square() + wide).sqrt()
        high = (centre.clamp(max=0).square() + wide).sqrt()
        return low.clamp(min=-REACH), torch.minimum(high, shift + REACH)


class Probit:
    """p(1 | f) = Phi(f), the standard normal distribution function (GPML 3.6).

    `torch.special.log_ndtr` is accurate, its autograd is not; the derivatives come
    from r = phi / Phi through the scaled complementary error function.
    """

    bends = (-12.0, 0.0, 12.0)
    closed_form = True

    p = staticmethod(torch.special.ndtr)

    @staticmethod
    def log_p(f):
        return torch.special.log_ndtr(f)

    @staticmethod
    def derivatives(f):
        """First three derivatives of log Phi (GPML 3.16)."""
        r = inverse_mills(f)
        gap = f + r
        W = (r * gap).clamp(0, 1)
        d3 = r * (gap * (gap + r) - 1)
        # f + r cancels far out on the left, where the series in 1 / f^2 takes over.
        far = f < (-100.0 if f.dtype == torch.float64 else -10.0)
        x2 = 1 / f.square().clamp(min=1)
        W = torch.where(far, 1 - x2 * (1 - x2 * (6 - 50 * x2)), W)
        series = x2 * x2.sqrt() * (2 - x2 * (24 - 300 * x2))
        return r, -W, torch.where(far, series, d3)

    @staticmethod
    def support(m, sd, power):
        """Where N(m, sd^2) Phi^power is not negligible, in standard units.

        Phi / phi increases, so to the left the tilted density falls at least as fast
        as the product of the Gaussian and phi^power. To the right it falls at least
        as fast as the Gaussian does from a bound on the mode; r(f) < 0.8 - min(f, 0).
        """
        centre = m / sd
        squeeze = 1 / (1 + power * sd.square())
        low = (squeeze - 1) * centre - REACH * squeeze.sqrt()
        high = (centre.clamp(max=0).square() + REACH * REACH).sqrt()
        mode = 0.8 * power * sd
        mode = torch.maximum(mode, squeeze * (mode - power * sd * m))
        return low.clamp(min=-REACH), torch.minimum(high, mode + REACH)


def inverse_mills(z):
    """phi(z) / Phi(z)."""
    return math.sqrt(2 / math.pi) / torch.special.erfcx(z * -math.sqrt(0.5))


LINKS = {"logit": Logit(), "probit": Probit()}
