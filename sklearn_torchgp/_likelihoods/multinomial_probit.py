"""Several classes: the largest of f_c + e_c with independent e_c ~ N(0, 1) is seen.

    p(y | f) = int N(u | f_y, 1) prod_{c != y} Phi(u - f_c) du

(Girolami and Rogers 2006, "Variational Bayesian multinomial probit regression with
Gaussian process priors"). As a race (see `Softmax`) the winner's term is Gaussian in
x_c = f_c - u, and the others' are Phi(-x_c). With two classes it is the binary probit
of (f_1 - f_0) / sqrt(2), whose prior covariance is K again.
"""

import math

import torch

from .links import LINKS
from .race import RaceMoments
from .softmax import Softmax
from .softmax_average import probit_average
from .tilted import tilted


class MultinomialProbit:
    """The likelihood of n labels of C classes.

    Parameters
    ----------
    y : tensor (C, n)
        1 in the row of a column's class, 0 elsewhere.
    """

    log_constant = 0.0
    spread = "latent"  # of f, that `log_proba` needs

    def __init__(self, y):
        self.y = y
        self.weight = torch.ones_like(y[0])

    def log_proba(self, mean, cov):
        """Log probabilities (m, C), for moments (m, C) and (m, C, C) of f."""
        return probit_average(mean, cov).log()

    @property
    def softmax(self):
        """The softmax whose mode is a start for `multiclass_ep`."""
        return Softmax(self.y)

    def race_moments(self, m, v):
        """Moments of N(x | m, v) times a class's term of the race, for all (C, n)."""
        won = self.y > 0
        lost = tilted(LINKS["probit"], -m, v)
        spread = 1 + v
        log_normal = -0.5 * (m.square() / spread + (2 * math.pi * spread).log())
        return RaceMoments(
            torch.where(won, log_normal, lost.log_z),
            torch.where(won, m / spread, m - v * lost.slope),
            torch.where(won, v / spread, v * lost.shrinkage),
        )
