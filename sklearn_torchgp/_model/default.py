"""kernel="auto": a model that is a good start for a table of numbers.

Amplitude times an anisotropic Matern kernel (nu = 5/2), in regression with a second,
shorter part and with noise, and weak priors. All of it is said in units of the data: a
length scale in those of its feature, amplitudes and noise in those of y, which is
standardised.

The shorter part has one length scale, in units of all features. It says what near rows
have in common beyond the smooth function. Without it rows that are copies of each other
with the same y (or with nearly the same rows as neighbours) leave a model two ways:
noise, which denies what they have in common, or short length scales everywhere. It is
rough (nu = 1/2): a few copies among rows that differ lead to next to no noise, and
were the part smooth, too, rows that are near and no copies would be said to be known.

Functions without noise are often smoother than Matern-5/2, and known far better to a
kernel that says so: where a few steps on few rows lead to a higher posterior with RBF
as the anisotropic part, RBF it is, under the name of Matern with nu = inf.

A distance in d features grows like the root of d. Length scales that are to say as much
in many dimensions as in one grow with it, and so does their prior (Hvarfner, Hellsten
and Nardi 2024, "Vanilla Bayesian optimization performs great in high dimensions"). The
priors, log-normal but for those of the noise and of the shorter part's variance, are
stated by their modes, and by their deviation in logarithms. How they were chosen, and
on what, says benchmarks/bench_default.py.
"""

from dataclasses import dataclass
from functools import partial
from math import inf, log

import numpy as np
from sklearn.gaussian_process.kernels import (
    ConstantKernel,
    Kernel,
    Matern,
    WhiteKernel,
)

from ..kernels import TiedMatern
from ..priors import Gamma, LogNormal
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
# Variances of what in y is no smooth function, the noise and the shorter part: of
# density x exp(-x) and x**0.25 exp(-x), chosen on simulated and other data, as told in
# benchmarks/bench_default.py. Rows copied with their y say that there is no noise,
# functions without noise that there is neither. The tail of a log-normal prior gives
# way to a few such rows or, where it is narrow, resists many that are right to say so;
# a power takes one nat, or a quarter, for every e by which a variance is less. Were it
# one nat for both, a quarter of pure noise would be taken for the shorter part.
NOISE, NOISE_BOUNDS = Gamma(2.0, 1.0), (1e-8, 1e1)
SHORT_VARIANCE, SHORT_VARIANCE_BOUNDS = Gamma(1.25, 1.0), (1e-8, 1e3)
# Over what distance the shorter part varies.
SHORT_LENGTH_SCALE = Belief(0.5, 1.2, (1e-3, 1e3))
LATENT = Belief(0.5, 1.5, (1e-2, 1e4))

# (length scale, noise) of the starts. The posterior has several modes: rough functions
# that are nearly all signal, smooth ones under noise, smooth ones without.
STARTS = ((0.7, 0.05), (0.25, 0.01), (4.0, 0.3), (1.0, 1e-5), (10.0, 0.1))
# (amplitude, length scale) of the shorter part in all of them.
SHORT_START = (0.1, 0.1)
# Length scales of those of a classifier, whose evaluations take longer.
LATENT_STARTS = (0.7, 0.25, 4.0)

# Each start is tried on so many rows, drawn at random, in so many steps; the best goes
# on. In 15 steps they miss optima that 50 find; eight starts find a higher one on one
# data set of eleven (3.6 nats), more steps on none; and the last two are for functions
# without noise, which the data sets of benchmarks/bench_default.py, part "starts", are
# not: there three find as much.
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
    smoother : str or None
        Name of the parameter that is tried as infinity where the best of them leads.
    """

    kernel: Kernel
    priors: dict
    starts: list
    steps: int
    smoother: str | None = None

    def become_as_smooth_as(self, kernel):
        """Change the kernel into what a kernel is that a fit ended with."""
        found = self.smoother and kernel.get_params().get(self.smoother)
        if found is not None:
            self.kernel.set_params(**{self.smoother: found})


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
    length_scale = [LENGTH_SCALE.prior(unit) for unit in units]
    priors = {
        "k1__constant_value": (AMPLITUDE if noise else LATENT).prior(),
        "k2__length_scale": length_scale if len(units) > 1 else length_scale[0],
    }
    if not noise:
        starts = [_start(units, length) for length in LATENT_STARTS]
        kernel = _matern(units, LATENT).clone_with_theta(starts[0])
        starts[0] = kernel.theta  # to the last digit
        return Default(kernel, priors, starts, LATENT_STEPS)
    priors = {f"k1__{name}": prior for name, prior in priors.items()} | {
        "k2__k1__k1__constant_value": SHORT_VARIANCE,
        "k2__k1__k2__length_scale": SHORT_LENGTH_SCALE.prior(_mean(units)),
        "k2__k2__noise_level": NOISE,
    }
    short = [SHORT_START[0], SHORT_START[1] * _mean(units)]
    starts = [_start(units, length, *short, level) for length, level in STARTS]
    rest = _short(units) + WhiteKernel(1.0, NOISE_BOUNDS)
    kernel = (_matern(units, AMPLITUDE) + rest).clone_with_theta(starts[0])
    starts[0] = kernel.theta
    return Default(kernel, priors, starts, STEPS, smoother="k1__k2__nu")


def _start(units, length, *others):
    """theta: amplitude, length scales, and what else there is."""
    return np.log(np.r_[1.0, _length_scales(units, length), others])


def _matern(units, amplitude):
    """The smooth part."""
    lower, upper = LENGTH_SCALE.bounds
    bounds = np.c_[units * lower, units * upper]
    bounds = bounds if len(units) > 1 else tuple(map(float, bounds[0]))
    scales = _length_scales(units, 1.0)
    return ConstantKernel(1.0, amplitude.bounds) * Matern(scales, bounds, nu=2.5)


def _short(units):
    """The shorter part."""
    bounds = tuple(float(_mean(units) * bound) for bound in SHORT_LENGTH_SCALE.bounds)
    matern = TiedMatern(_length_scales(units, 1.0), bounds, nu=0.5)
    return ConstantKernel(1.0, SHORT_VARIANCE_BOUNDS) * matern


def _mean(units):
    """The geometric mean, which is what tied length scales have in theta."""
    return float(np.exp(np.log(units).mean()))


def _length_scales(units, length):
    return units * length if len(units) > 1 else float(units[0] * length)


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

    All starts, where it is not the model that says what is maximised. Where the
    default may be smoother, and is better so, `kernel_` is smoother from then on.

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

    def tried(starts):
        objective = Objective(estimator._model_of_rows(rows))
        objective = LogPosterior(objective, estimator._log_prior)
        stage = Stage(len(rows), objective, default.steps, len(rows))
        minimise = partial(lbfgsb, eps=np.finfo(np.float64).eps)
        return best(run_starts(lambda: [stage], minimise, starts, bounds))

    found = tried(default.starts)
    if default.smoother is not None:
        kernel = estimator.kernel_
        usual = kernel.get_params()[default.smoother]
        kernel.set_params(**{default.smoother: inf})
        smoother = tried([found.theta, *default.starts[3:]])
        if smoother.value > found.value:
            found = smoother
        else:
            kernel.set_params(**{default.smoother: usual})
    return [found.theta]
