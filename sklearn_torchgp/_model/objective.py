"""What an optimiser climbs: a vector of parameters -> value [, gradient]."""

import math

import numpy as np

from .._linalg.threads import one_blas_thread
from ..exceptions import NotPositiveDefiniteError


class Objective:
    """vector, eval_gradient -> what the model's method says [, its gradient].

    Every evaluation uses the same memory and starts from the solution of the one
    before. A vector at which there is no value has the value -inf: a matrix has no
    Cholesky factor or, if `strict`, inference did not converge. This is the one place
    that decides so.

    Parameters
    ----------
    model : Model
    start : object, default=None
        `Inference.start` of an earlier evaluation of such a model.
    strict : bool, default=True
    work : Workspace, default=None
        None: one of its own.

    Attributes
    ----------
    last : Inference or None
        Of the last evaluation with a value.
    """

    def __init__(self, model, start=None, *, strict=True, work=None):
        self.model, self.parameters = model, model.parameters
        here = model.shards is None
        self.work = work if work is not None and here else model.workspace()
        self.start, self.strict, self.last = start, strict, None

    def __call__(self, vector, eval_gradient=True):
        with one_blas_thread():
            try:
                found = self._infer(self.parameters.split(vector))
            except NotPositiveDefiniteError:
                value = np.float64(-np.inf)
                return (value, np.zeros_like(vector)) if eval_gradient else value
            self.last = found
            value = np.float64(found.value)
            if not eval_gradient:
                return value
            return value, self.parameters.join(found.gradient())

    def _infer(self, theta):
        found = self.model.infer(theta, start=self.start, work=self.work)
        if not math.isfinite(found.value):
            raise NotPositiveDefiniteError("the evidence is not finite")
        if found.converged:
            self.start = found.start
        elif self.strict:
            raise NotPositiveDefiniteError("inference did not converge")
        return found


class UserObjective:
    """The same for a callable ``(estimator, theta, eval_gradient)`` from outside."""

    def __init__(self, function, estimator):
        self.function, self.estimator = function, estimator

    def __call__(self, theta, eval_gradient=True):
        result = self.function(self.estimator, theta, eval_gradient)
        if not eval_gradient:
            return float(result[0] if isinstance(result, tuple) else result)
        good = isinstance(result, tuple) and len(result) == 2
        if not good or np.shape(result[1]) != np.shape(theta):
            raise ValueError(
                "The 'objective' callable must return (value, gradient) with a "
                f"gradient of shape {np.shape(theta)} when eval_gradient is True. Got "
                f"{result!r} instead."
            )
        return float(result[0]), np.asarray(result[1], dtype=np.float64)
