"""Models of several outputs: sums over them, and what was observed of each output."""

import numpy as np

from .._data.arrays import as_numpy
from .._data.rows import Rows
from .each_target import taken


class Several:
    """What a regressor of several outputs holds of the models inside it.

    Attributes
    ----------
    estimators : list of regressor
        The models.
    observed : list of ndarray of int
        Training rows at which each target was observed.
    n : int
        Number of training rows.
    """

    absent = dict.fromkeys(
        ("L_", "alpha_"), "the models in 'estimators_' have one each, of their rows."
    )

    @property
    def log_evidence(self):
        return sum(e.log_marginal_likelihood_value_ for e in self.estimators)

    @property
    def objective_value(self):
        return sum(e.objective_value_ for e in self.estimators)

    @property
    def optimizer_results(self):
        return [record for e in self.estimators for record in e.optimizer_results_]

    @property
    def jitter(self):
        return np.mean([e.jitter_ for e in self.estimators])

    def process(self, rows):
        """y of rows as the models see it: ndarray (n, t), NaN where it is missing."""
        z = np.full((len(rows.y), len(self.observed)), np.nan)
        for j, part in enumerate(self.targets().parts):
            one = of_target(rows, j)
            at = np.flatnonzero(~np.isnan(one.y))
            if len(at):
                z[at, j] = np.reshape(part.of(some(one, at)).y, -1)
        return z


def parts_of(rows):
    """What was observed of each target, and where: Rows, and numbers of rows."""
    parts, observed = [], []
    for j in range(rows.y.shape[1]):
        one = of_target(rows, j)
        at = np.flatnonzero(~np.isnan(one.y))
        if not len(at):
            raise ValueError(
                f"y is missing in every row of target {j}, which leaves nothing to "
                "fit it to. Each target needs one value at least: drop its column."
            )
        parts.append(some(one, at))
        observed.append(at)
    return parts, observed


def of_target(rows, j):
    noise = rows.noise_variance
    noise = noise if noise is None or noise.ndim == 1 else noise[:, j]
    return Rows(rows.X, rows.y[:, j], rows.weight, noise)


def some(rows, at):
    weight, noise = (
        None if one is None else one[at] for one in (rows.weight, rows.noise_variance)
    )
    return Rows(taken(rows.X, at), rows.y[at], weight, noise)


def inner_params(**changed):
    """Parameters of a model inside, beside those of the estimator itself."""
    plain = {"multi_output": "shared", "missing": "error", "n_targets": None}
    return {**plain, "n_jobs": None, **changed}


def hears(one, watch):
    """The model `one`, whose fit is part of one that `watch` watches (None: nobody)."""
    vars(one).pop("_skl_callbacks", None)  # they hear of it through the Watch
    one._watch = watch
    return one


def alpha_of(estimator, rows, at):
    """The parameter `alpha` of some of the rows."""
    if np.size(as_numpy(estimator.alpha)) == 1:
        return estimator.alpha
    alpha = np.asarray(as_numpy(estimator.alpha))
    return (alpha if rows.kept is None else alpha[rows.kept])[at]
