"""Minimisers over theta, and the record of each start."""

import time
import warnings
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils import Bunch
from sklearn.utils.parallel import Parallel, delayed

from .._covariance import hyperparameters
from .._linalg.threads import one_blas_thread
from .together import run_together

# Rows of the smallest subset that "coarse-to-fine" begins with.
FEWEST_COARSE = 300

OPTIMIZERS = ("fmin_l_bfgs_b", "coarse-to-fine")

# SciPy's status after a StopIteration.
STOPPED = 99


class Stage(NamedTuple):
    """A part of the way to an optimum.

    Attributes
    ----------
    n_rows : int or str
        On how many rows, or terms, it is; for the record.
    objective : callable (theta, eval_gradient) -> value [, gradient]
    max_iterations : int, default=None
        Of our own optimiser; others have rules of their own.
    unit : float, default=1.0
        In which the optimiser is told the objective. Within finite bounds the first
        step of L-BFGS-B is the gradient itself: in nats a row it stays near, in nats it
        ends in a corner of the bounds, and the way back costs evaluations (4000 rows of
        elevators: 59 in place of 104, the last stage 6 in place of 8 to 11).
    """

    n_rows: Any
    objective: Any
    max_iterations: int | None = None
    unit: float = 1.0


class Optimum(tuple):
    """``(theta, value)`` as scikit-learn's optimisers return, with a report attached.

    Attributes
    ----------
    n_iterations : int
    converged : bool
    message : str
    """

    def __new__(cls, theta, value, *, n_iterations, converged, message):
        self = super().__new__(cls, (theta, value))
        self.n_iterations = n_iterations
        self.converged = converged
        self.message = message
        return self


def lbfgsb(obj_func, initial_theta, bounds, *, eps):
    """Minimise obj_func(theta) -> (value, gradient) within bounds by L-BFGS-B.

    `eps` is the relative round-off of the objective: below 10 eps no decrease can be
    told (SciPy's own default is 1e7 eps of float64, which only float32 exceeds). An
    `obj_func` may have a limit of its own, `max_iterations`, and a `unit`, and one with
    a method `iteration_ended` hears of each iteration.
    """
    most = getattr(obj_func, "max_iterations", None)
    nat = 1 / getattr(obj_func, "unit", 1.0)
    with one_blas_thread():
        result = scipy.optimize.minimize(
            _Retreating(obj_func),
            initial_theta,
            method="L-BFGS-B",
            jac=True,
            bounds=bounds,
            callback=getattr(obj_func, "iteration_ended", None),
            options={
                "ftol": max(2.220446049250313e-09, 10 * eps),
                "maxiter": most or 15000,
            },
        )
    ended = bool(result.success) or _is_flat(result, bounds, eps, nat)
    stopped = result.get("status") == STOPPED
    return Optimum(
        result.x,
        result.fun,
        n_iterations=int(result.nit),
        converged=None if stopped else ended and bool(np.isfinite(result.fun)),
        message=str(result.message),
    )


class _Retreating:
    """An objective whose missing values lead the line search back.

    L-BFGS-B interpolates between the values of a line; infinity with no slope, the
    answer where there is none, makes it give up. So such a point has the value and
    slope of a parabola around the lowest point seen, high enough never to be accepted.
    """

    def __init__(self, obj_func):
        self.obj_func = obj_func
        self.lowest, self.value = None, np.inf

    def __call__(self, theta):
        value, gradient = self.obj_func(theta)
        if np.isfinite(value):
            if value < self.value:
                self.lowest, self.value = np.copy(theta), value
        elif self.lowest is not None:
            step = theta - self.lowest
            height = 10 * (1 + abs(self.value))
            gradient = 2 * height / max(step @ step, 1e-300) * step
            value = self.value + height
        return value, gradient


def _is_flat(result, bounds, eps, nat):
    """Whether the gradient, less what the bounds hold back, is of no account.

    L-BFGS-B reports an abnormal line search when round-off leaves it no measurable
    decrease; that is convergence, not failure, where a hyperparameter times e would
    gain less than 0.01 nat (or 1e-5 of the objective).
    """
    lower, upper = np.asarray(bounds, dtype=float).reshape(-1, 2).T
    step = np.clip(result.x - result.jac, lower, upper) - result.x
    small = max(0.01 * nat, max(1e-5, eps**0.5) * abs(result.fun))
    return bool(np.isfinite(result.fun) and np.all(np.abs(step) <= small))


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
    evaluations, theta = record.n_coarse_evaluations, record.theta
    stages = [Stage(*one) for one in stages]
    for stage in stages[which]:
        kind = _Negative if watch is None else partial(_Watched, watch)
        negative = kind(*stage[1:])
        optimum = minimise(negative, theta, bounds)
        theta, value = optimum
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
    record.theta = np.array(theta, dtype=float)
    record.value = -float(value) * stage.unit
    record.n_evaluations += evaluations.pop(stages[-1].n_rows, 0)
    record.seconds += time.perf_counter() - began


class _Negative:
    """theta, eval_gradient=True -> -value [, -gradient]; notes values and failures."""

    def __init__(self, objective, max_iterations=None, unit=1.0):
        self.objective, self.max_iterations = objective, max_iterations
        self.path, self.failures, self.unit = [], 0, unit

    def __call__(self, theta, eval_gradient=True):
        result = self.objective(theta, eval_gradient)
        value = result[0] if eval_gradient else result
        self.path.append((theta, value))
        self.failures += not np.isfinite(value)
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


def growing_subsets(n_rows):
    """Rows to optimise on before all of them: an eighth and a half of them.

    Random, but the same in every fit. An evaluation on half of the rows costs an
    eighth of one on all. Fewer than 300 rows say too little about the length scales,
    and the optimum found from there is often a worse one. Counts and optima on real
    data: benchmarks/bench_evaluations.py. Scaling theta by the curvature found on the
    subsets saved no further evaluations.
    """
    order = np.random.RandomState(0).permutation(n_rows)
    sizes = (n_rows // 8, n_rows // 2)
    return [np.sort(order[:size]) for size in sizes if size >= FEWEST_COARSE]


def best(records):
    """The record of the largest value, the first of equals as in scikit-learn.

    One that is no number is none.
    """
    values = np.array([record.value for record in records])
    return records[int(np.argmax(np.where(np.isnan(values), -np.inf, values)))]


def warn_unless_converged(records):
    """One warning, and only if the start that won did not converge.

    A winner without a value leads to where the final factor, or inference, has more to
    say.
    """
    winner = best(records)
    if winner.converged is False and np.isfinite(winner.value):
        warnings.warn(
            f"lbfgs failed to converge in the best of {len(records)} start(s) after "
            f"{winner.n_iterations} iterations: {winner.message}. The hyperparameters "
            "may not be optimal. Scale the features and y (normalize_y=True), add a "
            "WhiteKernel, tighten the bounds or raise n_restarts_optimizer; "
            "optimizer_results_ has the record of every start.",
            ConvergenceWarning,
            stacklevel=4,
        )


def starting_points(kernel, n_restarts, rng):
    """The kernel's own theta, then log-uniform draws within its bounds."""
    bounds = hyperparameters.bounds(kernel)
    if n_restarts > 0 and not np.isfinite(bounds).all():
        raise ValueError(
            "Multiple optimizer restarts (n_restarts_optimizer>0) requires that all "
            "bounds are finite. Give the kernel finite bounds or set "
            "n_restarts_optimizer=0."
        )
    draws = [rng.uniform(bounds[:, 0], bounds[:, 1]) for _ in range(n_restarts)]
    return [hyperparameters.theta(kernel), *draws]


def warn_at_bounds(kernel):
    """Tell which hyperparameters ended at a bound, in scikit-learn's words."""
    bounds, theta = hyperparameters.bounds(kernel), hyperparameters.theta(kernel)
    near = np.isclose(bounds, theta[:, None])
    if not near.any():
        return
    row = 0
    for hyper in kernel.hyperparameters:
        if hyper.fixed:
            continue
        for dimension in range(hyper.n_elements):
            at_lower, at_upper = near[row]
            row += 1
            if not (at_lower or at_upper):
                continue
            side, change = ("lower", "De") if at_lower else ("upper", "In")
            warnings.warn(
                f"The optimal value found for dimension {dimension} of parameter "
                f"{hyper.name} is close to the specified {side} bound "
                f"{hyper.bounds[dimension][0 if at_lower else 1]}. {change}creasing "
                "the bound and calling fit again may find a better value.",
                ConvergenceWarning,
                stacklevel=5,
            )


def _form(kernel):
    """What two kernels share whose theta mean the same: all but its free values."""
    params = kernel.get_params()
    free = [(h.name, h.n_elements) for h in kernel.hyperparameters if not h.fixed]
    values = {name for name, _ in free}
    fixed = {
        name: _kind(value) if isinstance(value, Kernel) else np.array(value).tolist()
        for name, value in params.items()
        if name not in values and not name.endswith("_bounds")
    }
    return _kind(kernel), fixed, free


def _kind(kernel):
    """The class, and the units of hyperparameters that are no logarithms in theta."""
    forms = kernel.forms().values() if hasattr(kernel, "forms") else ()
    return type(kernel), [form.unit.tolist() for form in forms if form.linear]


def same_form(kernel, other):
    """Whether the theta of one kernel means the same in the other."""
    return _form(kernel) == _form(other)
