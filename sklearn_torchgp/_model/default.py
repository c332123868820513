"""kernel="auto": a model that is a good start for a table of numbers.

Amplitude times an anisotropic Matern kernel (nu = 5/2), with noise in regression, and
weak log-normal priors. All of it is said in units of the data: a length scale in those
of its feature, amplitude and noise in those of y, which is standardised.

A distance in d features grows like the root of d. Length scales that are to say as much
in many dimensions as in one grow with it, and so does their prior (Hvarfner, Hellsten
and Nardi 2024, "Vanilla Bayesian optimization performs great in high dimensions"). The
priors are stated by their modes, and by their deviation in logarithms; both were chosen
by coverage and held-out density on simulated functions and on pure noise, not on the
data sets that benchmarks/bench_default.py then judges them by.
"""

from dataclasses import dataclass
from functools import partial
from math import log

import numpy as np
from sklearn.gaussian_process.kernels import (
    ConstantKernel,
    Kernel,
    Matern,
    WhiteKernel,
)

from ..priors import LogNormal
from .lbfgsb import lbfgsb
from .log_prior import LogPosterior
from .objective import Objective
from .stages import Stage
from .starts import best, run_starts

AUTO = "auto"


@dataclass(frozen=True)
class Belief:
    """A log-normal prior by the mode of its density, and where to search."""

    mode: float
    scale: float  # of the logarithm
    bounds: tuple[float, float]

    def prior(self, unit=1.0):
        """The prior of a quantity with such a unit."""
        return LogNormal(log(unit * self.mode) + self.scale**2, self.scale)


# In deviations of the feature, times the root of the number of features.
LENGTH_SCALE = Belief(5.0, 1.2, (1e-2, 1e4))
# Variances, of y standardised and of the latent function of a classifier.
AMPLITUDE = Belief(0.2, 2.5, (1e-3, 1e4))
NOISE = Belief(0.5, 2.5, (1e-8, 1e1))
LATENT = Belief(0.5, 1.5, (1e-2, 1e4))

# (length scale, noise) of the starts. The posterior has several modes: rough functions
# that are nearly all signal, smooth ones under noise, smooth ones without.
STARTS = ((0.7, 0.05), (0.25, 0.01), (4.0, 0.3), (1.0, 1e-5), (10.0, 0.1))
# Length scales of those of a classifier, whose evaluations take longer.
LATENT_STARTS = (0.7, 0.25, 4.0)

# Each start is tried on so many rows, drawn at random, in so many steps; the best goes
# on. Three starts miss optima that five find; eight, and more steps, find no higher
# ones: benchmarks/bench_default.py, part "starts".
FEW_ROWS, STEPS, LATENT_STEPS = 300, 50, 15


@dataclass(frozen=True)
class Default:
    """What kernel="auto" stands for.

    Attributes
    ----------
    kernel : kernel
    priors : dict
        Of its hyperparameters.
    starts : list of ndarray (p,)
        theta where the optimiser may begin; the first one is the kernel's own.
    steps : int
        In which each of them is tried.
    """

    kernel: Kernel
    priors: dict
    starts: list
    steps: int


def is_auto(kernel):
    """Whether a value of the parameter `kernel` is "auto"."""
    return isinstance(kernel, str) and kernel == AUTO


def default_model(units, *, noise):
    """The Default of features that vary by so much.

    Parameters
    ----------
    units : ndarray (d,)
        As `feature_units` gives them.
    noise : bool
        Whether y has some: in regression.
    """
    units = np.asarray(units, dtype=float)
    units = units * len(units) ** 0.5
    points = STARTS if noise else [(length, None) for length in LATENT_STARTS]
    matern = Matern(_length_scales(units, points[0][0]), _bounds(units), nu=2.5)
    length_scale = [LENGTH_SCALE.prior(unit) for unit in units]
    length_scale = length_scale if len(units) > 1 else length_scale[0]
    amplitude = AMPLITUDE if noise else LATENT
    kernel = ConstantKernel(1.0, amplitude.bounds) * matern
    priors = {
        "k1__constant_value": amplitude.prior(),
        "k2__length_scale": length_scale,
    }
    if noise:
        kernel += WhiteKernel(points[0][1], NOISE.bounds)
        priors = {f"k1__{name}": prior for name, prior in priors.items()}
        priors["k2__noise_level"] = NOISE.prior()
    others = [
        np.log(np.r_[1.0, _length_scales(units, length), [level] * noise])
        for length, level in points[1:]
    ]
    steps = STEPS if noise else LATENT_STEPS
    return Default(kernel, priors, [kernel.theta, *others], steps)


def _length_scales(units, length):
    return units * length if len(units) > 1 else float(units[0] * length)


def _bounds(units):
    lower, upper = LENGTH_SCALE.bounds
    bounds = np.c_[units * lower, units * upper]
    return bounds if len(units) > 1 else tuple(map(float, bounds[0]))


def feature_units(X, weight=None):
    """By how much each feature varies: ndarray (d,), positive.

    The standard deviation. A feature of two values counts as balanced, half its range:
    the deviation of a rare one-hot column is so small that a row in it would have
    nothing in common with any other. A constant feature, whose length scale is of no
    account, has unit 1.

    Parameters
    ----------
    X : ndarray (n, d)
    weight : ndarray (n,), default=None
        Numbers of copies of the rows.
    """
    X = np.asarray(X, dtype=np.float64)
    lower, upper = X.min(axis=0), X.max(axis=0)
    binary = ((lower == X) | (upper == X)).all(axis=0)
    # Halves are subtracted, and units divided by: neither overflows nor vanishes.
    half = upper / 2 - lower / 2
    safe = np.where(half > 0, half, 1.0)
    z = (X - lower) / safe
    variance = np.average((z - np.average(z, 0, weight)) ** 2, 0, weight)
    units = np.where(binary, safe, safe * np.sqrt(variance))
    return np.where((units > 0) & np.isfinite(units), units, 1.0)


def first_starts(estimator, default, bounds):
    """Where a few steps on few rows lead from the start they lead highest from.

    All starts, where it is not the model that says what is maximised.

    Parameters
    ----------
    estimator : GPEstimator
    default : Default
    bounds : ndarray (p, 2)
    """
    if estimator._has_own_objective():
        return default.starts
    rows = np.random.RandomState(0).permutation(len(estimator.X_train_))
    rows = np.sort(rows[:FEW_ROWS])
    objective = Objective(estimator._model_of_rows(rows))
    objective = LogPosterior(objective, estimator._log_prior)
    stage = Stage(len(rows), objective, default.steps, len(rows))
    minimise = partial(lbfgsb, eps=np.finfo(np.float64).eps)
    return [best(run_starts(lambda: [stage], minimise, default.starts, bounds)).theta]
