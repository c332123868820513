"""Find the hyperparameters: all starts, the winner, and what it warns of."""

import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._covariance import hyperparameters
from .._covariance.weights import set_weights
from ..exceptions import callers_level
from .default import first_starts
from .log_prior import batch_with, stages_with
from .starts import best, run_starts, starting_points

OPTIMIZERS = ("fmin_l_bfgs_b", "coarse-to-fine")


def optimise(
    estimator,
    make_stages,
    *,
    n_jobs=None,
    together=None,
    watch=None,
    n_common=None,
    default=None,
):
    """Optimise `kernel_`; returns the value reached, None if nothing was done.

    What is maximised is the objective plus the log prior of the hyperparameters, if
    there is one; the value is that of the objective alone.

    Parameters
    ----------
    estimator : GPEstimator
        Its `_constrained_optimization` minimises, its `optimizer_results_` records.
    make_stages, n_jobs, watch, n_common : as `run_starts` takes them
    together : callable () -> what `run_starts` takes, default=None
    default : Default, default=None
        What kernel="auto" stands for: its starts are tried first.
    """
    estimator.optimizer_results_ = []
    if estimator.optimizer is None:
        return None
    vector = estimator._vector()
    if not len(vector):
        return None
    kernel = estimator.kernel_
    p, bounds = hyperparameters.n_dims(kernel), hyperparameters.bounds(kernel)
    n_restarts, rng = estimator.n_restarts_optimizer, estimator._rng
    starts = starting_points(vector[:p], bounds, n_restarts, rng)
    if default is not None and np.array_equal(starts[0], default.starts[0]):
        starts[:1] = first_starts(estimator, default, bounds)
    if len(vector) > p:
        starts = [np.r_[start, vector[p:]] for start in starts]
        free = np.tile([-np.inf, np.inf], (len(vector) - p, 1))
        bounds = np.vstack([bounds.reshape(-1, 2), free])
    if watch is not None:
        watch.announce(estimator, len(starts))
    log_prior, evaluate = estimator._log_prior, together and together()
    if log_prior is not None:
        make_stages = partial(stages_with, log_prior, make_stages)
        evaluate = evaluate and batch_with(log_prior, *evaluate)
    records = run_starts(
        make_stages,
        estimator._constrained_optimization,
        starts,
        bounds,
        n_jobs,
        evaluate,
        watch,
        n_common,
    )
    winner = best(records)
    if len(vector) > p:
        set_weights(kernel, winner.theta[p:])
        for record in records:
            record.theta_start, record.theta = record.theta_start[:p], record.theta[:p]
            record.path = [(vector[:p], value) for vector, value in record.path]
    if p:
        hyperparameters.set_theta(kernel, winner.theta)
    estimator.optimizer_results_ = records
    warn_unless_converged(records)
    if default is None:  # whose bounds are there for the arithmetic only
        warn_at_bounds(kernel, winner.theta[:p], bounds[:p])
    value = winner.value
    if log_prior is not None:
        value -= log_prior(winner.theta[:p])
    return np.float64(value)


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
            stacklevel=callers_level(),
        )


def warn_at_bounds(kernel, theta, bounds):
    """Tell which hyperparameters ended at a bound, in scikit-learn's words."""
    theta = theta[:, None]  # numpy.isclose takes ten times as long
    near = np.abs(bounds.reshape(-1, 2) - theta) <= 1e-8 + 1e-5 * np.abs(theta)
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
                stacklevel=callers_level(),
            )
