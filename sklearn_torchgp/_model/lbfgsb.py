"""L-BFGS-B on an objective that may have no value, and that knows its round-off."""

import math

import numpy as np
import scipy.optimize

from .._linalg.threads import one_blas_thread

# SciPy's status after a StopIteration.
STOPPED = 99

# How often a search may begin where decreases have become small and the slope not.
MOST_SEARCHES = 4

# Steps by the slope alone where values say nothing, and the first one's length.
SLOPE_STEPS, SHORT_STEP = 6, 1e-4


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


def lbfgsb(obj_func, initial_theta, bounds, *, eps, must_be_flat=False):
    """Minimise obj_func(theta) -> (value, gradient) within bounds by L-BFGS-B.

    `eps` is the relative round-off of the objective: below 10 eps no decrease can be
    told (SciPy's own default is 1e7 eps of float64, which only float32 exceeds). With
    `must_be_flat` that alone is no convergence: the slope has to be small, too. Where
    it is not, then and after a line search without a decrease, a search begins anew
    there, without what was learned of the curvature, `MOST_SEARCHES` in all. Where the
    last one ends it has converged, too, if a Newton step would gain nothing. (To stop
    the first one for that left a valley 2.8 nats early.) Where the first line search
    fails the slope alone leads on for a few steps. An `obj_func` may have a limit of
    its own, `max_iterations`, a `unit`, and an `eps`, and one with a method
    `iteration_ended` hears of each iteration.
    """
    most = getattr(obj_func, "max_iterations", None) or 15000
    nat = 1 / getattr(obj_func, "unit", 1.0)
    theta, n_iterations, curvature = initial_theta, 0, None
    with one_blas_thread():
        for _ in range(MOST_SEARCHES):
            result = _search(obj_func, theta, bounds, eps, most - n_iterations)
            if not result.nit and "ABNORMAL" in result.message:
                result = _by_slope(obj_func, result, bounds, eps, nat)
            theta, n_iterations = result.x, n_iterations + int(result.nit)
            if result.nit >= len(theta):  # as many steps as there are directions
                curvature = result.get("hess_inv")
            flat = _is_flat(result, bounds, eps, nat)
            at_rest = flat or (result.success and not must_be_flat)
            stopped = result.get("status") == STOPPED
            if at_rest or stopped or n_iterations >= most or not result.nit:
                break
    if curvature is not None:
        at_rest = at_rest or _newton_gain(result, curvature, bounds) < 0.01 * nat
    return Optimum(
        result.x,
        result.fun,
        n_iterations=n_iterations,
        converged=None if stopped else bool(at_rest and np.isfinite(result.fun)),
        message=str(result.message),
    )


def _search(obj_func, theta, bounds, eps, most):
    retreating = _Retreating(obj_func)
    return scipy.optimize.minimize(
        retreating.value,
        theta,
        method="L-BFGS-B",
        jac=retreating.slope,
        bounds=bounds,
        callback=getattr(obj_func, "iteration_ended", None),
        options={"ftol": max(2.220446049250313e-09, 10 * eps), "maxiter": most},
    )


def _by_slope(obj_func, start, bounds, eps, nat):
    """A search that ends where it starts, moved on to where the slope is flat.

    Down the sides of a narrow valley round-off hides any decrease, and the slope that
    is seen is theirs: along it a step may gain 1e-8 nat. The curvature between two
    points is that of their slopes, without values (Barzilai and Borwein 1988). Where
    none is flat without a loss of 0.01 nat, the start is returned.
    """
    lower, upper = np.asarray(bounds, dtype=float).reshape(-1, 2).T
    result, length = start, None
    for _ in range(SLOPE_STEPS):
        down = _descent(result, bounds)
        if _is_flat(result, bounds, eps, nat) or not down.any():
            return result
        length = length or SHORT_STEP / np.linalg.norm(down)
        theta = np.clip(result.x + length * down, lower, upper)
        value, gradient = obj_func(theta)
        if not value <= start.fun + 0.01 * nat:
            return start
        step = theta - result.x
        curvature = step @ (gradient - result.jac)
        if curvature <= 0:
            return start
        length = step @ step / curvature
        result = scipy.optimize.OptimizeResult(
            start, x=theta, fun=value, jac=np.asarray(gradient)
        )
    return result if _is_flat(result, bounds, eps, nat) else start


class _Retreating:
    """An objective whose missing values lead the line search back.

    L-BFGS-B interpolates between the values of a line; infinity with no slope, the
    answer where there is none, makes it give up. So such a point has the value and
    slope of a parabola around the lowest point seen, high enough never to be accepted.
    SciPy asks for value and slope in turn (of one function for both it compares every
    theta twice: 7 microseconds).
    """

    def __init__(self, obj_func):
        self.obj_func = obj_func
        self.lowest, self.least = None, np.inf
        self.at = self.gradient = None

    def value(self, theta):
        value, self.gradient = self.obj_func(theta)
        self.at = theta.tobytes()
        if math.isfinite(value):
            if value < self.least:
                self.lowest, self.least = np.copy(theta), value
        elif self.lowest is not None:
            step = theta - self.lowest
            height = 10 * (1 + abs(self.least))
            self.gradient = 2 * height / max(step @ step, 1e-300) * step
            value = self.least + height
        return value

    def slope(self, theta):
        if self.at != theta.tobytes():
            self.value(theta)
        return self.gradient


def _is_flat(result, bounds, eps, nat):
    """Whether the gradient, less what the bounds hold back, is of no account.

    L-BFGS-B reports an abnormal line search when round-off leaves it no measurable
    decrease; that is convergence, not failure, where a hyperparameter times e would
    gain less than 0.01 nat (in float32 0.1, or more where round-off hides more), or
    a step to the minimum of the quadratic model would: g'H^-1 g / 2.
    """
    if not np.isfinite(result.fun):
        return False
    step = _descent(result, bounds)
    least = 0.01 if eps < 1e-10 else 0.1
    small = max(least * nat, max(1e-5, eps**0.5) * abs(result.fun))
    if np.all(np.abs(step) <= small):
        return True
    if result.success or not result.nit or "hess_inv" not in result:
        return False
    return _newton_gain(result, result.hess_inv, bounds) < 0.01 * nat


def _newton_gain(result, hess_inv, bounds):
    """What the step to the minimum of the quadratic model gains: g'H^-1 g / 2."""
    step = _descent(result, bounds)
    return float(step @ hess_inv.matvec(step) / 2)


def _descent(result, bounds):
    """Down the gradient, less what the bounds hold back."""
    lower, upper = np.asarray(bounds, dtype=float).reshape(-1, 2).T
    return np.clip(result.x - result.jac, lower, upper) - result.x
