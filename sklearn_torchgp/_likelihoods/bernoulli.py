"""Binary labels: p(y | f)^weight for y = -1 or 1, with a logit or probit link."""

import copy
import math
from functools import cached_property

import torch

from . import few
from .likelihood import Likelihood
from .links import LINKS
from .tilted import Tilted, log_average, tilted

BELOW_LOG_HALF = math.nextafter(math.log(0.5), -1.0)


class Bernoulli(Likelihood):
    """The likelihood of n labels, each raised to its weight.

    Parameters
    ----------
    link : {"logit", "probit"}
    y : tensor (n,)
        -1 or 1.
    weight : tensor (n,), default=None
        Positive. None means 1.

    Attributes
    ----------
    copies : tensor (n,) or None
        How many equal terms EP counts, one of which a cavity leaves out: the weight
        where it is at least 1. A smaller weight is one term p^weight. Both agree
        with repeated rows at integers and with each other at 1.
    """

    def __init__(self, link, y, weight=None):
        self.link, self.y, self.weight = LINKS[link], y, weight
        self.bends, self.power = self.link.bends, None
        if weight is not None:
            self.copies = weight.clamp(min=1)
            if (weight < 1).any():
                self.power = weight.clamp(max=1)

    def rows(self, index):
        """The likelihood of some of the labels: an index array, or a slice."""
        if not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.y.device)
        some = copy.copy(self)
        for name in ("y", "weight", "copies", "power"):
            value = getattr(self, name, None)
            if value is not None:
                setattr(some, name, value[index])
        return some

    def probability(self, f):
        """p(y = 1 | f), for every entry."""
        return self.link.p(f)

    def log_proba(self, mean, variance):
        """Log probabilities (m, 2) of both classes, for moments (m, 1) of f."""
        return class_log_probabilities(
            self.link, mean[:, 0], variance[:, 0].clamp(min=0)
        )

    @cached_property
    def few(self):
        """The terms for arrays of few rows, None where there are none such."""
        y, weight = self.y, self.weight
        if self.link is not LINKS["logit"] or y.device.type != "cpu":
            return None
        return few.LogitTerms(y.numpy(), None if weight is None else weight.numpy())

    def few_log_proba(self, mean, variance):
        """`log_proba` of few rows, from and to ndarrays."""
        return few.class_log_probabilities(
            self.link, mean[:, 0], variance[:, 0], BELOW_LOG_HALF
        )

    def log_p(self, f):
        """weight * log p(y | f), for every entry of f (..., n)."""
        return self._weighted(self.link.log_p(self.y * f))

    def derivatives(self, f):
        """First, second and third derivative of `log_p` in f: three tensors."""
        d1, d2, d3 = self.link.derivatives(self.y * f)
        odd = self._weighted(self.y)
        return odd * d1, self._weighted(d2), odd * d3

    def tilted(self, m, v):
        """Moments of N(f | m, v) p(y | f) for one of the copies."""
        log_z, slope, bend, shrinkage = tilted(self.link, self.y * m, v, self.power)
        return Tilted(log_z, self.y * slope, bend, shrinkage)

    def _weighted(self, x):
        return x if self.weight is None else self.weight * x


def class_log_probabilities(link, m, v):
    """log p(y = -1) and log p(y = 1) for latent values N(m, v): tensor (n, 2).

    The less likely class is integrated and the other is its complement, so the two
    sum to 1 and the order of the probabilities is the sign of m.
    """
    link = LINKS.get(link, link)
    rare = log_average(link, -m.abs(), v)
    # Never a tie, by round-off or at m = 0, where the first class wins: argmax, the
    # sign of m and comparison with 1/2 say the same.
    rare = rare.clamp(max=BELOW_LOG_HALF)
    common = torch.log1p(-rare.exp())
    positive = m > 0
    return torch.stack(
        [torch.where(positive, rare, common), torch.where(positive, common, rare)], 1
    )
