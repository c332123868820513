"""Likelihoods whose terms depend on one latent value each: the generic side.

A likelihood is its `log_p`; what the methods of inference ask for follows, by automatic
differentiation and quadrature. Closed forms override these defaults, and are tested
against them.
"""

from abc import ABC, abstractmethod

import torch

from .quadrature import (
    LOG_ROOT_2PI,
    REACH,
    gaussian_nodes,
    piecewise_nodes,
    standard_deviation,
)
from .tilted import Tilted


class Likelihood(ABC):
    """prod_i p(y_i | f_i)^(w_i) for n observations.

    Attributes
    ----------
    bends : sequence of float, ascending
        Values of f between which log p is smooth.
    copies : tensor (n,) or None
        How many equal terms each row has for EP, where not one.
    spread : {"var", "latent"}
        Of f, that predicting needs; see `Posterior.moments`.
    """

    bends = ()
    copies = None
    spread = "var"

    @abstractmethod
    def log_p(self, f):
        """w log p(y | f) for every entry of f (..., n)."""

    def derivatives(self, f):
        """First, second and third derivative of `log_p` in f: three (..., n)."""
        with torch.enable_grad():
            f = f.detach().requires_grad_()
            found = [self.log_p(f)]
            for _ in range(3):
                (slope,) = torch.autograd.grad(found[-1].sum(), f, create_graph=True)
                # What does not depend on f any more has no graph.
                found.append(slope if slope.requires_grad else slope + 0 * f)
        return tuple(d.detach() for d in found[1:])

    def expectations(self, m, v):
        """E log p, E d log p / df, E d2 log p / df2 under N(f | m, v): three (n,)."""
        f, weights = gaussian_nodes(m, standard_deviation(v), self.bends)
        terms = self.log_p(f.mT), *self.derivatives(f.mT)[:2]
        return tuple((weights.mT * term).sum(0) for term in terms)

    def tilted(self, m, v):
        """Moments of N(f | m, v) p(y | f), with nodes around its mode."""
        sd = standard_deviation(v)
        mode, width = self._mode(m, v)
        around = [mode + k * width for k in (-REACH, -3, 0, 3, REACH)]
        bends = [torch.full_like(m, bend) for bend in self.bends]
        breaks = (torch.stack([*around, *bends]).sort(0).values - m) / sd
        t, weights = piecewise_nodes(
            *[torch.full_like(m, k) for k in (-12, 12)], breaks
        )
        f = m + sd * t.mT
        log_h = self.log_p(f) - 0.5 * t.mT.square() + weights.mT.log() - LOG_ROOT_2PI
        log_z = log_h.logsumexp(0)
        h = (log_h - log_z).exp()
        d1, d2, _ = self.derivatives(f)
        slope = (h * d1).sum(0)
        bend = -(h * d2).sum(0) - (h * (d1 - slope).square()).sum(0)
        mean = (h * f).sum(0)
        shrinkage = (h * (f - mean).square()).sum(0) / v
        return Tilted(log_z, slope, bend, shrinkage)

    def _mode(self, m, v, steps=30):
        """About where N(f | m, v) p(y | f) has its mode, and its width there."""
        f = m
        for _ in range(steps):
            d1, d2, _ = self.derivatives(f)
            precision = 1 / v + d2.neg().clamp(min=0)
            f = f + (d1 - (f - m) / v) / precision
        return f, precision.rsqrt()
