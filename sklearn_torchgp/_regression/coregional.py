"""Several outputs in one model: the intrinsic coregionalisation model on long rows.

A long row (x, j) stands for target j observed at x, and

    cov(y_i(x), y_j(z)) = k(x, z) B_ij + [x is z, i = j] noise_j,

with B = W W' + diag(kappa), is a kernel like any other:
Columns(k, features) * Columns(Coregion, output) + noise of each output. What was not
observed is no row.
"""

import copy
from dataclasses import replace

import numpy as np
from sklearn.base import clone

from .._data.arrays import as_numpy
from .._data.rows import Rows, is_table
from .._linalg.memory import memory_for
from .each_target import EachPosterior, EachTarget
from .long_kernel import long_kernel
from .several import Several, alpha_of, hears, inner_params, of_target, parts_of, some
from .targets import Targets


class Coregional(Several):
    """One model of all targets, on long rows: the intrinsic coregionalisation model."""

    def __init__(self, estimator, parts, observed, n, output):
        self.estimators, self._parts = [estimator], parts
        self.observed, self.n, self._output = observed, n, output

    @classmethod
    def fit(cls, estimator, rows, names, last):
        """The model of all targets of rows, of what was observed of them."""
        if not is_table(rows.X):
            raise ValueError(
                "The 'multi_output' parameter is 'icm', which needs numeric features "
                "of shape (n_samples, n_features). Use 'independent' for rows that "
                "are objects."
            )
        given, observed = parts_of(rows)
        fitted = [
            Targets.fit(
                one,
                mean=estimator.mean,
                target_transform=estimator.target_transform,
                normalize_y=estimator.normalize_y,
            )
            for one in given
        ]
        parts = tuple(targets for targets, _ in fitted)
        z = np.full((len(rows.y), len(parts)), np.nan)
        for j, (at, (_, process)) in enumerate(zip(observed, fitted, strict=True)):
            z[at, j] = process.y
        long, output = _long([process for _, process in fitted], parts)
        kernel = long_kernel(estimator, rows.X, z, names, rows.weight)
        if estimator.warm_start and last is not None:
            kernel = _warmed(kernel, last.kernel)
        params = inner_params(
            kernel=kernel,
            alpha=alpha_of(estimator, rows, np.concatenate(observed)),
            mean="zero",
            target_transform=None,
            normalize_y=False,
            n_jobs=estimator.n_jobs,
        )
        model = hears(clone(estimator).set_params(**params), estimator._watch)
        model.fit(long.X, long.y, long.weight, long.noise_variance)
        del model._watch
        return cls(model, parts, observed, len(rows.y), output)

    @property
    def kernel(self):
        return self.estimators[0].kernel_

    def posterior(self):
        whole = self.estimators[0]._posterior()
        told = _Once(lambda: [as_numpy(one) for one in whole.leave_one_out()])
        views = [
            OfOutput(whole, j, self._output, told) for j in range(len(self._parts))
        ]

        def joint(X, noise):
            t = len(self._parts)
            size, what = len(X) * t, f"A covariance of {len(X)} rows of {t} targets"
            cure = "Predict fewer rows at a time, or each target by itself."
            with memory_for(what, 8 * size * size, "its device", cure):
                mean, cov = whole.moments(every_output(X, t), "cov", noise=noise)
            mean, cov = as_numpy(mean), as_numpy(cov)
            return mean.reshape(-1, t), cov.reshape(len(X), t, len(X), t)

        return EachPosterior(views, self.observed, self.n, joint)

    def targets(self):
        noise = self.estimators[0]._targets().noise
        return EachTarget(tuple(replace(part, noise=noise) for part in self._parts))

    def summed(self, name, theta, eval_gradient, *options):
        return getattr(self.estimators[0], name)(theta, eval_gradient, *options)

    def extended(self, rows):
        """The same with more rows, at the hyperparameters found."""
        new, observed = [], list(self.observed)
        for j, part in enumerate(self._parts):
            one = of_target(rows, j)
            at = np.flatnonzero(~np.isnan(one.y))
            one = some(one, at)
            new.append(part.of(one) if len(at) else one)
            observed[j] = np.r_[observed[j], self.n + at]
        long, output = _long(new, self._parts)
        model = copy.copy(self.estimators[0])
        if len(output):
            model.partial_fit(long.X, long.y, long.weight, long.noise_variance)
        output = np.r_[self._output, output]
        return Coregional(model, self._parts, observed, self.n + len(rows.y), output)


class OfOutput:
    """The posterior of one output, as that of a single target: a view of the whole.

    Parameters
    ----------
    whole : Posterior
        On long rows.
    j : int
    output : ndarray of int
        Of each long row.
    told : callable () -> moments of each long row, given all others
    """

    is_prior, n_functions = False, 1

    def __init__(self, whole, j, output, told):
        self.whole, self.j, self._told = whole, j, told
        self._own = np.flatnonzero(output == j)

    @property
    def rows(self):
        X = np.asarray(self.whole.rows)
        return X[X[:, -1] == self.j, :-1]

    def moments(self, X, spread=None, *, noise=True):
        return self.whole.moments(long_rows(X, self.j), spread, noise=noise)

    def few_moments(self, X, spread=None, *, noise=True):
        return self.whole.few_moments(long_rows(X, self.j), spread, noise=noise)

    def slopes(self, X, *, variance=False):
        found = self.whole.slopes(long_rows(X, self.j), variance=variance)
        return tuple(None if one is None else one[:, :-1] for one in found)

    def leave_one_out(self):
        return tuple(moment[self._own] for moment in self._told())


class _Once:
    """A function without arguments, called at most once."""

    def __init__(self, function):
        self._function = function

    def __call__(self):
        if not hasattr(self, "_value"):
            self._value = self._function()
        return self._value


def long_rows(X, j):
    """Rows (x, j): ndarray (m, d + 1)."""
    return np.column_stack([X, np.full(len(X), float(j))])


def every_output(X, t):
    """Rows (x, 0), ..., (x, t - 1) of each x, one x after the other."""
    numbers = np.tile(np.arange(float(t)), len(X))
    return np.column_stack([np.repeat(X, t, axis=0), numbers])


def _long(each, parts):
    """The long Rows of the processes of all targets, and the output of each.

    Known noise becomes that of the process.
    """
    weight, noise = None, None
    if each[0].weight is not None:
        weight = np.concatenate([one.weight for one in each])
    if each[0].noise_variance is not None:
        pairs = zip(each, parts, strict=True)
        scaled = [one.noise_variance / np.square(part.scale) for one, part in pairs]
        noise = np.concatenate(scaled)
    X = np.concatenate([long_rows(one.X, j) for j, one in enumerate(each)])
    y = np.concatenate([one.y for one in each])
    return Rows(X, y, weight, noise), X[:, -1].astype(int)


def _warmed(kernel, last):
    """The kernel with the values of the last one, where it has the same parameters."""
    free = [(h.name, h.n_elements) for h in kernel.hyperparameters if not h.fixed]
    if free != [(h.name, h.n_elements) for h in last.hyperparameters if not h.fixed]:
        return kernel
    values = last.get_params()
    kernel.set_params(**{name: values[name] for name, _ in free})
    kernel.theta = np.clip(kernel.theta, *kernel.bounds.T)
    return kernel
