"""Random frequencies that do not forget the tail of their law.

Given data of little noise, what a smooth function still may do is told by frequencies
of tiny probability, the variance of which a thousand plain draws meet now and then: one
path has ten times its variance and a hundred have none. Importance sampling draws half
of the frequencies log-uniformly in tail probability, as many between 1e-8 and 1e-9 as
between 0.1 and 1, and weighs them so that covariances stay what they are; strata make
the draws of a path cover both halves evenly.
"""

import math

import numpy as np
from scipy.interpolate import PchipInterpolator

# The range of the log-uniform half: tail probabilities from 1 down to here.
LEAST = 1e-16
EPS = np.finfo(np.float64).eps
NOTHING = 1e-14
LOGITS = np.linspace(2 * math.log(LEAST), -math.log(EPS), 1000)


def stratified(rng, shape):
    """Uniforms (paths, D), one in each D-th of (0, 1), in random order along a path."""
    places = rng.uniform(size=shape).argsort(axis=1)
    return (places + rng.uniform(size=shape)) / shape[1]


def tail_probabilities(rng, shape):
    """Tail probabilities u (paths, D) in (0, 1], and weights that make them uniform.

    E w(u) f(u) is the integral of f over (0, 1); w <= 2.
    """
    s, span = stratified(rng, shape), -math.log(LEAST)
    u = np.where(s < 0.5, 2 * s, np.exp(-span * (2 * s - 1)))
    u = np.clip(u, LEAST * LEAST, 1 - EPS)
    density = np.where(u >= LEAST, 0.5 + 0.5 / (span * u), 0.5)
    return u, 1 / density


def upper_quantiles(quantile, u):
    """quantile(u) for a positive function of tail probabilities, by interpolation.

    Inverses of incomplete gamma and beta functions take 5 microseconds each; log
    quantiles are smooth in logit u, and splines of them right to 1e-5. What is smaller
    than `NOTHING` counts as that.
    """
    knots = 1 / (1 + np.exp(-LOGITS))
    spline = PchipInterpolator(LOGITS, np.log(np.maximum(quantile(knots), NOTHING)))
    return np.exp(spline(np.log(u) - np.log1p(-u)))
