"""Conditioning a regressor on its training rows: what a fit leaves as attributes."""

import numpy as np

from .._data.arrays import as_numpy
from ..exceptions import NotPositiveDefiniteError, warn_of_jitter
from .attributes import set_rows


def condition(estimator, kind):
    """The posterior and jitter_ at the hyperparameters of kernel_; the evidence."""
    record, key = estimator._fit_record, _factor_key(estimator)
    # Before: what the model is bound to serves predictions, too, while that stays.
    estimator._fit_record = record.changed(factor_key=key)
    try:
        found = estimator._model().infer()
    except NotPositiveDefiniteError as error:
        raise NotPositiveDefiniteError(
            f"The kernel, {estimator.kernel_}, is not returning a positive definite "
            "matrix. Try gradually increasing the 'alpha' parameter of your "
            "GaussianProcessRegressor estimator. Duplicated rows without noise, "
            "length scales far above the spread of X, and dtype='float32' are the "
            "usual causes."
        ) from error
    estimator.jitter_ = found.jitter
    if found.needed_help:
        warn_of_jitter(estimator.jitter_, estimator.alpha)
        # A factor with jitter is not one to extend.
        estimator._fit_record = record.changed(factor_key=None)
    estimator._keep(found.posterior(), kind)
    return found.value


def extend(estimator, rows, kind):
    """The posterior of all rows, the first of which are those it has."""
    before = estimator._posterior()
    estimator._fit_record = estimator._fit_record.changed(**rows.merging)
    set_rows(estimator, rows, kind)
    try:
        if estimator._fit_record.factor_key != _factor_key(estimator):
            raise NotPositiveDefiniteError("the old factor does not serve")
        found = estimator._model().extend(before)
        estimator._keep(found.posterior(), kind)
        value = found.value
    except NotPositiveDefiniteError:
        value = condition(estimator, kind)
    estimator.log_marginal_likelihood_value_ = np.float64(value)


def set_values(estimator, reached, evidence):
    """objective_value_ and the evidence, from what optimisation reached, if any."""
    is_lml, plan = estimator.objective == "lml", estimator._plan
    if reached is None:
        reached = evidence
        if not is_lml:
            objective = plan.stages(estimator)[-1].objective
            reached = objective(estimator._vector(), False)
    elif is_lml:
        reached = plan.final_value(reached, evidence)
    estimator.objective_value_ = np.float64(reached)
    # Where it was maximised the value is the optimiser's, as in scikit-learn.
    estimator.log_marginal_likelihood_value_ = np.float64(
        reached if is_lml else evidence
    )


def _factor_key(estimator):
    """What L_ depends on beyond the rows: equal keys, the same factor."""
    alpha = tuple(np.ravel(as_numpy(estimator.alpha)))
    return estimator._key_of_kernel(), alpha, estimator.dtype
