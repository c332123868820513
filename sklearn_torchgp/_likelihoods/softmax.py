"""Several classes: p(y = c | f) = exp(f_c) / sum_k exp(f_k) (GPML 3.33)."""

import torch


class Softmax:
    """The likelihood of n labels of C classes, each raised to its weight.

    Parameters
    ----------
    y : tensor (C, n)
        1 in the row of a column's class, 0 elsewhere.
    weight : tensor (n,), default=None
        Positive. None means 1.
    """

    def __init__(self, y, weight=None):
        self.y = y
        self.weight = torch.ones_like(y[0]) if weight is None else weight

    def log_p(self, f):
        """weight * log p(y | f): (n,) for f (C, n)."""
        return self.weight * ((self.y * f).sum(0) - f.logsumexp(0))

    def probabilities(self, f):
        """p(c | f): (C, n)."""
        return torch.softmax(f, dim=0)

    def gradient(self, pi):
        """d log p / df at the probabilities pi: (C, n)."""
        return self.weight * (self.y - pi)
