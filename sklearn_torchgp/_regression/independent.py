"""Several outputs, each with a model of its own."""

import copy
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from .._covariance.acquaint import acquaint
from .._data.arrays import as_numpy
from ..exceptions import callers_level
from .each_target import EachPosterior, EachTarget
from .several import Several, alpha_of, hears, inner_params, of_target, parts_of, some


class Independent(Several):
    """Own hyperparameters for each target."""

    def __init__(self, estimators, observed, n):
        self.estimators, self.observed, self.n = estimators, observed, n

    @classmethod
    def fit(cls, estimator, rows, names, last):
        """The models of the targets of rows, each on what was observed of it."""
        parts, observed = parts_of(rows)
        inner = []
        for j, at in enumerate(observed):
            kernel, own = copy.deepcopy(estimator.kernel), alpha_of(estimator, rows, at)
            if kernel is not None and not isinstance(kernel, str):
                acquaint(kernel, names=names)
            one = clone(estimator).set_params(**inner_params(kernel=kernel, alpha=own))
            if estimator.warm_start and last is not None and len(last.estimators) > j:
                params = one.get_params(deep=False)
                one = copy.copy(last.estimators[j]).set_params(**params)
            watch = estimator._watch
            if watch is not None:
                name, apart = f"target {j}", {"sequential_subtasks": False}
                watch = watch.task("target", j, name, **apart)
            inner.append(hears(one, watch))
        fits = Parallel(n_jobs=estimator.n_jobs)(
            delayed(_fit)(one, part) for one, part in zip(inner, parts, strict=True)
        )
        for j, (_, caught) in enumerate(fits):
            for warning in caught:
                message = f"{warning.message} (So for target {j}.)"
                warnings.warn(message, warning.category, stacklevel=callers_level())
        return cls([one for one, _ in fits], observed, len(rows.y))

    @property
    def kernel(self):
        return [e.kernel_ for e in self.estimators]

    def posterior(self):
        parts = [e._posterior() for e in self.estimators]
        return EachPosterior(parts, self.observed, self.n)

    def targets(self):
        return EachTarget(tuple(e._targets() for e in self.estimators))

    def summed(self, name, theta, eval_gradient, *options):
        """The sum of what a method of each model says; theta is theirs in a row."""
        sizes = [e.kernel_.n_dims for e in self.estimators]
        if theta is None:
            parts = [None] * len(sizes)
        else:
            theta = np.asarray(as_numpy(theta), dtype=np.float64)
            if theta.shape != (sum(sizes),):
                raise ValueError(
                    "theta has not the correct number of entries. Should be "
                    f"{sum(sizes)}, those of all targets one after the other; given "
                    f"are {theta.size} (shape {theta.shape})."
                )
            parts = np.split(theta, np.cumsum(sizes)[:-1])
        found = [
            getattr(e, name)(part, eval_gradient, *options)
            for e, part in zip(self.estimators, parts, strict=True)
        ]
        if not eval_gradient:
            return sum(found)
        values, gradients = zip(*found, strict=True)
        return sum(values), np.concatenate(gradients)

    def extended(self, rows):
        """The same with more rows, at the hyperparameters found."""
        inner, observed = [], []
        for j, e in enumerate(self.estimators):
            one, e = of_target(rows, j), copy.copy(e)
            at = np.flatnonzero(~np.isnan(one.y))
            if len(at):
                one = some(one, at)
                e.partial_fit(one.X, one.y, one.weight, one.noise_variance)
            inner.append(e)
            observed.append(np.r_[self.observed[j], self.n + at])
        return Independent(inner, observed, self.n + len(rows.y))


def _fit(model, rows):
    """The fitted model, and its warnings: from a worker they would not arrive."""
    watch = model._watch
    if watch is not None:
        watch.begin()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(rows.X, rows.y, rows.weight, rows.noise_variance)
    if watch is not None:
        watch.end()
    del model._watch
    return model, caught
