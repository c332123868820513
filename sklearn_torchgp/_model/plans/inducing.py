"""Inducing points: chosen and moved on some of the rows, then theta on all of them."""

import warnings
from dataclasses import replace

import numpy as np

from ..._data.arrays import ArrayKind, as_numpy
from ..._data.rows import is_table
from ..._inference import Inducing, InducingSites, Places
from ..._inference.inducing.points import MOST_ROWS
from ..._inference.inducing.statistics import jitter_of
from ...exceptions import JitterWarning, callers_level
from ..stages import Stage
from ..starts import best
from .plan import PlanWithoutMatrix

# Iterations of the stages of a fit: with points chosen among the rows; with points
# chosen anew, which move; and at last in theta alone, on all rows.
ON_POINTS_CHOSEN, ON_POINTS_MOVING = 12, 48
ON_ALL_ROWS = 6

# Rows that points are learnt on, in units of `optimizer_rows`.
ROWS = 2

# Noise, in parts of the diagonal, below which the bound may be far off: the jitter of
# points that are nearly one, and round-off, count by one over it (two features, 600
# rows, 100 points: 1e-4 nats a row at 1e-4, 0.04 at 1e-6, 0.6 at 1e-8, 8 at 1e-10).
LITTLE_NOISE = 1e-8

# Matrices (m, m) that are held for m points at one theta, at least; and with sites.
MATRICES, MATRICES_WITH_SITES = 9, 27
FEWER_POINTS = "Use fewer inducing_points."

_NO_FACTOR = (
    "method='inducing' has no matrix of all rows. 'inducing_points_' is what it sees "
    "them through; use method='exact' for their factor."
)


class InducingPlan(PlanWithoutMatrix):
    """See :class:`~sklearn_torchgp._inference.Inducing`."""

    name, keeps = "inducing", "inducing_points_"
    absent = {"L_": _NO_FACTOR, "alpha_": _NO_FACTOR}

    def check_options(self, estimator):
        points_given(estimator.inducing_points)

    def check(self, estimator):
        if estimator.objective == "loo":
            raise ValueError(
                "The 'objective' parameter is 'loo', which method='inducing' does not "
                "maximise: its points would go where single rows are. Use "
                "objective='lml', and loo_predict after the fit."
            )
        super().check(estimator)

    def check_rows(self, estimator, X):
        check_points(estimator, X)

    def method(self, estimator, objective="lml", *, ladder=False):
        return Inducing(points_of(estimator), seed=estimator._fit_record.seed)

    def n_drawn(self, estimator):
        return n_learnt_on(estimator) or max(MOST_ROWS, _size(estimator))

    def memory(self, estimator, n):
        return MATRICES * _n_points(estimator, n) ** 2, FEWER_POINTS

    def own_stages(self, estimator):
        return courses(estimator, estimator._model(self.method(estimator)))

    def settle(self, estimator):
        keep_points(estimator)
        _warn_of_little_noise(estimator._model())


def _warn_of_little_noise(model):
    """Tell that some rows have less noise than the points bear."""
    at, points = model.covariance.at(), model.method.points
    m = len(points) if np.ndim(points) else min(points, model.n)
    nugget = at.nugget()[0]
    most = max(LITTLE_NOISE, jitter_of(m, nugget.dtype)) * at.diag()[0].mean().item()
    noise = [one.noise + nugget for one in model.likelihood.factors()]
    least = min(one.min().item() for one in noise)
    if 0 < least < most:  # none at all is an error of the method
        warnings.warn(
            f"method='inducing' sees rows through noise, and the least of it is "
            f"{least:.3g}: where it is less than {most:.3g} the bound may be far below "
            "the evidence, and hyperparameters suffer. Add a WhiteKernel "
            "(or noise_variance, or raise 'alpha'), or use another method.",
            JitterWarning,
            stacklevel=callers_level(),
        )


def courses(estimator, every):
    """The stages of a fit to the rows of a model, whose method is through points."""
    method, n = every.method, every.n
    few = _learnt_on(estimator, every)
    if not estimator._optimises_itself():
        return [Course(estimator, few).stage(), Course(estimator, every).stage()]
    on_all = Course(estimator, every, kept=True).stage(ON_ALL_ROWS, n)
    if np.ndim(method.points):
        if few is every:
            return [Course(estimator, every).stage()]
        most = ON_POINTS_CHOSEN + ON_POINTS_MOVING
        return [Course(estimator, few).stage(most, n), on_all]
    # A NumPy kernel is not told how it changes with the points.
    moving = few.with_method(replace(method, moves=every.covariance.tells_noise))
    return [
        Course(estimator, few).stage(ON_POINTS_CHOSEN, n),
        Course(estimator, moving).stage(ON_POINTS_MOVING, n),
        on_all,
    ]


def _learnt_on(estimator, every):
    """The model of some rows, drawn at random and in their order, or that of all."""
    most = n_learnt_on(estimator)
    if most is None or most >= every.n:
        return every
    if every.shards is not None:  # of which these were drawn
        return every.here()
    order = np.random.RandomState(every.method.seed).permutation(every.n)
    return every.rows(np.sort(order[:most]))


def n_learnt_on(estimator):
    """Most rows that points are learnt on, no fewer than points; None for all."""
    if estimator.optimizer_rows is None:
        return None
    return max(ROWS * estimator.optimizer_rows, _size(estimator))


def _size(estimator):
    """How many points are asked for."""
    points = points_given(estimator.inducing_points)
    return len(points) if np.ndim(points) else points


class Course:
    """A stage, and how points come to it and go on from it in the record of a start.

    Parameters
    ----------
    estimator : GPEstimator
    model : Model
    kept : bool, default=False
        Whether the points are those of the stage before, and not chosen anew.
    """

    def __init__(self, estimator, model, *, kept=False):
        self.model, self.kept = model, kept
        self.objective = estimator._objective(model)

    def stage(self, max_iterations=None, unit=1.0):
        """The Stage."""
        hooks = {"begin": self.begin, "end": self.end}
        return Stage(self.model.n, self.objective, max_iterations, unit, **hooks)

    def begin(self, record):
        """Place the points; the vector that this stage optimises."""
        if self.kept:
            Z = record.inducing_points
            self.objective.start = Places(Z, np.ones(Z.shape[1]))
            record.converged = None  # of what came before, with points on their way
        else:
            at = self.model.covariance.at(record.theta)
            self.objective.start = self.model.method.places(at)
        n_further = self.objective.parameters.size - len(record.theta)
        return np.r_[record.theta, np.zeros(n_further)]

    def end(self, record, vector):
        """Write the points down; theta."""
        steps = self.objective.parameters.split(vector).get("inducing")
        record.inducing_points = self.objective.start.moved(steps)
        return vector[: len(record.theta)]


def keep_points(estimator):
    """The points of the best start as `inducing_points_`."""
    records = estimator.optimizer_results_
    found = best(records).get("inducing_points") if records else None
    for record in records:
        record.pop("inducing_points", None)
    if found is not None:
        estimator.inducing_points_ = ArrayKind(estimator.X_train_)(found)


def points_of(estimator):
    """The points that were found; before that, those given or how many there are."""
    points = as_numpy(vars(estimator).get("inducing_points_"))
    if points is None:
        return points_given(estimator.inducing_points)
    return np.asarray(points, dtype=np.float64)


def _n_points(estimator, n):
    """How many points n rows are seen through, at most."""
    m = np.shape(estimator.inducing_points) or (estimator.inducing_points,)
    return min(m[0], n)


def memory_with_sites(estimator, n):
    """Bytes that a classifier's problem must hold for n rows, and what helps."""
    return 8 * MATRICES_WITH_SITES * _n_points(estimator, n) ** 2, FEWER_POINTS


def sites_method(estimator):
    """The method of a classifier's problem."""
    points, most = points_of(estimator), estimator.max_iter_predict
    return InducingSites(points, seed=estimator._seed, max_iter=most)


def coarse(model):
    """The model with inference that ends early, as on the way to an optimum."""
    return model.with_method(replace(model.method, coarse=True))


def points_given(value):
    """The parameter `inducing_points` as an int or an ndarray (m, d).

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if value >= 1:
            return int(value)
    elif np.ndim(as_numpy(value)):
        try:
            points = np.asarray(as_numpy(value), dtype=np.float64)
        except (TypeError, ValueError):
            points = np.empty(0)
        if points.ndim == 2 and points.size and np.isfinite(points).all():
            return points
    shown = f"{type(value).__name__} of shape {np.shape(value)}"
    raise ValueError(
        "The 'inducing_points' parameter must be a positive integer, so many are "
        "chosen and moved, or an array (m, n_features) of finite numbers, which are "
        f"used as given. Got {shown if np.ndim(value) else repr(value)} instead."
    )


def check_points(estimator, X):
    """Raise ValueError for rows that cannot be seen through the points."""
    if not is_table(X):
        raise ValueError(
            "The 'method' parameter is 'inducing', whose points are rows of a table of "
            f"numbers; X of type {type(X).__name__} is none. Use method='exact'."
        )
    points = points_given(estimator.inducing_points)
    if np.ndim(points) and points.shape[1] != X.shape[1]:
        raise ValueError(
            f"The 'inducing_points' parameter has rows of {points.shape[1]} features, "
            f"and those of X have {X.shape[1]}. Give points with the columns of X, or "
            "how many are to be chosen."
        )
