"""Every start of a fit, through its stages, and the record of each."""

import math
import time
from functools import partial

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils.parallel import Parallel, delayed

from .lbfgsb import Optimum
from .stages import Stage
from .together import run_together


def starting_points(theta, bounds, n_restarts, rng):
    """A kernel's own theta, then log-uniform draws within its bounds."""
    if n_restarts > 0 and not np.isfinite(bounds).all():
        raise ValueError(
            "Multiple optimizer restarts (n_restarts_optimizer>0) requires that all "
            "bounds are finite. Give the kernel finite bounds or set "
            "n_restarts_optimizer=0."
        )
    draws = [rng.uniform(bounds[:, 0], bounds[:, 1]) for _ in range(n_restarts)]
    return [theta, *draws]


def run_starts(
    make_stages,
    minimise,
    starts,
    bounds,
    n_jobs=None,
    together=None,
    watch=None,
    n_common=None,
):
    """Run `minimise` from every start, stage after stage.

    Parameters
    ----------
    make_stages : callable () -> list of Stage, or of tuples like it
        What is maximised, on few rows first and on all of them last; with buffers of
        its own at every call, so that starts may run side by side.
    minimise : callable ``(obj_func, theta, bounds)`` -> (theta, value)
    starts : list of ndarray (n_dims,)
    n_jobs : int, default=None
        Of joblib, whose backend it leaves to `joblib.parallel_config`.
    together : (n_rows, callable), default=None
        Instead of `make_stages`, thetas -> list of (value, gradient): all starts run
        side by side and are evaluated as one batch.
    watch : Watch, default=None
        Hears of every start and of its iterations.
    n_common : int, default=None
        Stages that every start runs; only the best goes on. None: all of them.

    Returns
    -------
    list of Bunch
        `theta_start`, `theta`, `value` (of the maximised objective), `n_iterations`,
        `n_evaluations` (on all rows), `n_coarse_evaluations` (a dict from a number of
        rows to evaluations), `n_failed_evaluations`, `converged`, `message`, `path`
        (list of (theta, value) of the evaluations on all rows), `seconds`. An optimiser
        that does not report leaves None in `n_iterations` and `converged`, and an empty
        `path`.
    """
    watched = [(start, None) for start in starts]
    if watch is not None:
        watched = [
            (start, watch.task("start", k, f"start {k + 1} of {len(starts)}"))
            for k, start in enumerate(starts)
        ]
    if together is not None:
        n_rows, evaluate = together

        def run(objective, start):
            return _run_start(lambda: [(n_rows, objective)], minimise, *start, bounds)

        return run_together(evaluate, run, watched)
    if len(starts) == 1:
        return [_run_start(make_stages, minimise, *watched[0], bounds)]
    records = Parallel(n_jobs=n_jobs)(
        delayed(_run_start)(make_stages, minimise, *start, bounds, n_common)
        for start in watched
    )
    if n_common is not None:
        _climb(best(records), make_stages(), slice(n_common, None), minimise, bounds)
    return records


def _run_start(make_stages, minimise, start, watch, bounds, n_common=None):
    record = Bunch(
        theta_start=np.array(start, dtype=float),
        theta=start,
        value=-np.inf,
        n_iterations=None,
        n_evaluations=0,
        n_coarse_evaluations={},
        converged=None,
        message="",
        path=[],
        n_failed_evaluations=0,
        seconds=0.0,
    )
    if watch is not None:
        watch.begin()
    stages = make_stages()
    _climb(record, stages, slice(0, n_common), minimise, bounds, watch)
    if watch is not None:
        watch.end()
    return record


def _climb(record, stages, which, minimise, bounds, watch=None):
    """Take some of the stages from where the record stands, and enter that there."""
    began = time.perf_counter()
    evaluations = record.n_coarse_evaluations
    stages = [Stage(*one) for one in stages]
    for stage in stages[which]:
        kind = _Negative if watch is None else partial(_Watched, watch)
        negative = kind(stage.objective, stage.max_iterations, stage.unit, stage.eps)
        vector = record.theta if stage.begin is None else stage.begin(record)
        free = np.tile([-np.inf, np.inf], (len(vector) - len(record.theta), 1))
        limits = np.vstack([bounds, free]) if len(free) else bounds
        optimum = minimise(negative, vector, limits)
        vector, value = optimum
        vector = np.array(vector, dtype=float)
        record.theta = vector if stage.end is None else stage.end(record, vector)
        n_before = evaluations.get(stage.n_rows, 0)
        evaluations[stage.n_rows] = n_before + len(negative.path)
        record.n_failed_evaluations += negative.failures
        steps = getattr(optimum, "n_iterations", None)
        record.n_iterations = steps
        limit, last = stage.max_iterations, stage is stages[-1]
        if limit is None or steps != limit:
            record.converged = getattr(optimum, "converged", None)
            record.message = getattr(optimum, "message", "")
        elif not last:  # the last one, meant to be short, leaves the verdict as it was
            record.converged = None
            record.message = f"as planned, {steps} iterations on {stage.n_rows} rows"
        if last and isinstance(optimum, Optimum):
            # Whoever else minimises may write on the theta that it hands out.
            record.path = negative.path
    record.value = -float(value) * stage.unit
    record.n_evaluations += evaluations.pop(stages[-1].n_rows, 0)
    record.seconds += time.perf_counter() - began


class _Negative:
    """theta, eval_gradient=True -> -value [, -gradient]; notes values and failures."""

    def __init__(self, objective, max_iterations=None, unit=1.0, eps=None):
        self.objective, self.max_iterations = objective, max_iterations
        self.path, self.failures = [], 0
        self.unit, self.eps = unit, eps

    def __call__(self, theta, eval_gradient=True):
        result = self.objective(theta, eval_gradient)
        value = result[0] if eval_gradient else result
        self.path.append((theta, value))
        self.failures += not math.isfinite(value)
        value = -value / self.unit
        return (value, -result[1] / self.unit) if eval_gradient else value


class _Watched(_Negative):
    """The same, and a Watch hears of every iteration that ends.

    L-BFGS-B ends one as soon as it has evaluated a point that it accepts.
    """

    def __init__(self, watch, *stage):
        super().__init__(*stage)
        self.watch, self.gradient = watch, None

    def __call__(self, theta, eval_gradient=True):
        result = super().__call__(theta, eval_gradient)
        self.gradient = result[1] if eval_gradient else None
        return result

    def iteration_ended(self, theta):
        """Called by SciPy; StopIteration ends the minimisation."""
        value = self.path[-1][1]
        if self.watch.iteration(len(self.path), theta, value, self.gradient):
            raise StopIteration


def best(records):
    """The record of the largest value, the first of equals as in scikit-learn.

    One that is no number is none.
    """
    values = np.array([record.value for record in records])
    return records[int(np.argmax(np.where(np.isnan(values), -np.inf, values)))]
