"""Two classes at few rows, in NumPy: their terms, and their probabilities.

What `bernoulli` says, without torch, whose calls take longer than their arithmetic here
(``benchmarks/bench_calls.py``, "predict_proba 1 row").
"""

import numpy as np
from scipy.special import expit, log_expit, log_ndtr

from .links import LINKS
from .quadrature import LOG_ROOT_2PI, NODES, REACH, SMALLEST_SD

_X, _WEIGHTS = np.polynomial.legendre.leggauss(NODES)
_BENDS = np.array(LINKS["logit"].bends)[:, None]


class LogitTerms:
    """The terms of `Bernoulli` with a logit link.

    Parameters
    ----------
    y : ndarray (n,)
        -1 or 1.
    weight : ndarray (n,) or None
    """

    def __init__(self, y, weight):
        self.y, self.weight = y, weight
        self.odd = y if weight is None else weight * y

    def log_p(self, f):
        log_p = log_expit(self.y * f)
        return log_p if self.weight is None else self.weight * log_p

    def derivatives(self, f):
        """First three derivatives of `log_p` (GPML 3.15)."""
        z = self.y * f
        p, q = expit(z), expit(-z)
        W = p * q
        d3 = W * (p - q) * self.odd
        if self.weight is not None:
            W *= self.weight
        return self.odd * q, -W, d3


def class_log_probabilities(link, m, v, most):
    """log p(y = -1) and log p(y = 1) for latent values N(m, v): ndarray (n, 2).

    `most` is the largest value for the rarer class.
    """
    v = np.maximum(v, 0.0)
    average = log_average_probit if link.closed_form else log_average_logit
    rare = np.minimum(average(-np.abs(m), v), most)
    common = np.log1p(-np.exp(rare))
    positive = m > 0
    log_p = np.empty((len(m), 2))
    log_p[:, 0] = np.where(positive, rare, common)
    log_p[:, 1] = np.where(positive, common, rare)
    return log_p


def log_average_probit(m, v):
    """log of the average of Phi over N(m, v) (GPML 3.82)."""
    return log_ndtr(m / np.sqrt(1 + v))


def log_average_logit(m, v):
    """log of the average of the logistic function over N(m, v), by quadrature.

    The pieces, and why, are those of `links.Logit` and `quadrature`; t is f in standard
    units.
    """
    sd = np.maximum(np.sqrt(v), SMALLEST_SD)
    centre = m / sd
    low = sd - np.sqrt(np.square(np.maximum(centre + sd, 0.0)) + REACH**2)
    high = np.sqrt(np.square(np.minimum(centre, 0.0)) + REACH**2)
    low, high = np.maximum(low, -REACH), np.minimum(high, sd + REACH)
    edges = np.empty((5, len(m)))
    edges[0], edges[4] = low, high
    edges[1:4] = np.minimum(np.maximum((_BENDS - m) / sd, low), high)
    half = (edges[1:] - edges[:-1]) / 2
    used = half.any(axis=1)
    half, middle = half[used, :, None], (edges[:-1] + half)[used, :, None]
    t = middle + half * _X
    log_h = -np.logaddexp(0.0, -(m[:, None] + sd[:, None] * t)) - 0.5 * np.square(t)
    top = log_h.max(axis=(0, 2))
    total = (half * _WEIGHTS * np.exp(log_h - top[:, None])).sum(axis=(0, 2))
    return top + np.log(total) - LOG_ROOT_2PI
