"""Several classes: p(y = c | f) = exp(f_c) / sum_k exp(f_k) (GPML 3.33).

The softmax is a *race*: with independent Gumbel noise e_c, class c has the largest of
f_k + e_k with this probability. Given the winner's value u = f_c + e_c the classes are
independent, so that the likelihood is an integral over u of terms of one variable each,

    p(y | f)^w = 1 / Gamma(w)  int prod_c exp(w y_c x_c - exp(x_c)) du,  x_c = f_c - u,

which is what expectation propagation needs (`multiclass_ep`).
"""

import torch

from .race import RaceMoments, gumbel_moments
from .softmax_average import mode_probabilities, softmax_average


class Softmax:
    """The likelihood of n labels of C classes, each raised to its weight.

    Parameters
    ----------
    y : tensor (C, n)
        1 in the row of a column's class, 0 elsewhere.
    weight : tensor (n,), default=None
        Positive. None means 1.
    average : callable, default=softmax_average
        Probabilities (m, C) from moments of f; see `softmax_average`.
    """

    def __init__(self, y, weight=None, average=softmax_average):
        self.y, self.average = y, average
        # Of f, that `log_proba` needs: the mode asks for no covariance.
        self.spread = None if average is mode_probabilities else "latent"
        self.weight = torch.ones_like(y[0]) if weight is None else weight

    def log_proba(self, mean, cov):
        """Log probabilities (m, C), for moments (m, C) and (m, C, C) of f."""
        return self.average(mean, cov).log()

    def log_p(self, f):
        """weight * log p(y | f): (n,) for f (C, n)."""
        return self.weight * ((self.y * f).sum(0) - f.logsumexp(0))

    def probabilities(self, f):
        """p(c | f): (C, n)."""
        return torch.softmax(f, dim=0)

    def gradient(self, pi):
        """d log p / df at the probabilities pi: (C, n)."""
        return self.weight * (self.y - pi)

    @property
    def softmax(self):
        """The softmax whose mode is a start for `multiclass_ep`."""
        return self

    @property
    def log_constant(self):
        """What the terms of the race leave out of log p(y | f), over all rows."""
        return -torch.lgamma(self.weight.double()).sum().item()

    def race_moments(self, m, v):
        """Moments of N(x | m, v) times a class's term of the race, for all (C, n)."""
        parts = (part.double() for part in (self.weight * self.y, m, v))
        return RaceMoments(*(part.to(m) for part in gumbel_moments(*parts)))
