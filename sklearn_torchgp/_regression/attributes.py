"""Fitted attributes of a regressor <-> its rows, its targets and its trend."""

import numpy as np

from .._data.arrays import as_numpy
from .._data.rows import Rows
from .observations import observations, training_noise
from .record import FitRecord
from .targets import Targets
from .trend import trend_columns

# What only some values of `mean`, `target_transform` and `multi_output` bring.
OF_TARGETS = (
    "trend_coef_", "trend_intercept_", "trend_estimator_", "target_transform_",
    "_trend_Q", "_trend_R", "_trend_beta", "_outputs", "estimators_",
)  # fmt: skip
# What the last fit's rows led to: a prediction on the way to new ones has none.
OF_FACTOR = (
    "alpha_", "L_", "_jitter", "order_", "neighbors_",
    "_vecchia_sums", "_vecchia_log_det", "_vecchia_added",
    "inducing_points_", "_inducing_L", "_inducing_L_B", "_inducing_b",
    "_inducing_squares", "_inducing_rest",
)  # fmt: skip


def learn_targets(estimator, rows, kind, targets=None):
    """Learn the map of the targets and begin a new record; rows of the process.

    `targets` is the map where it is known.
    """
    for name in (*OF_TARGETS, *OF_FACTOR):  # of an earlier fit
        vars(estimator).pop(name, None)
    if targets is not None:
        process = targets.of(rows)
    else:
        targets, process = Targets.fit(
            rows,
            mean=estimator.mean,
            target_transform=estimator.target_transform,
            normalize_y=estimator._normalizes_y,
            in_float32=estimator.dtype == "float32",
        )
    if targets.regressor is not None:
        estimator.trend_estimator_ = targets.regressor
    if estimator.target_transform is not None:
        estimator.target_transform_ = targets.transform.transformer
    estimator._y_train_mean = kind(targets.offset)
    estimator._y_train_std = kind(targets.scale)
    estimator._fit_record = FitRecord(
        columns=trend_columns(estimator.mean, rows.X),
        transform=targets.transform,
    )
    return process


def targets_of(estimator):
    """The map between y and the process; before any fit nothing but the noise."""
    noise = estimator.alpha
    if type(noise) is not float:
        alpha = np.asarray(as_numpy(noise), dtype=np.float64)
        noise = alpha.item() if alpha.size == 1 else 0.0
    if not hasattr(estimator, "X_train_"):
        return Targets(noise=noise)
    return Targets(
        as_numpy(estimator._y_train_mean),
        as_numpy(estimator._y_train_std),
        vars(estimator).get("trend_estimator_"),
        estimator._fit_record.transform,
        noise,
    )


def likelihood_of(estimator, y):
    """The Gaussian likelihood of the training rows, of which y is a tensor."""
    record, known = estimator._fit_record, estimator.noise_variance_train_
    scale = 1.0 if known is None else estimator._y_train_std
    return observations(
        y,
        training_noise(estimator.alpha, record.kept, known, scale),
        weight=estimator.sample_weight_train_,
        columns=record.columns,
        X=as_numpy(estimator.X_train_),
        given=record.given,
        scatter=record.scatter,
        y_given=record.y_given,
    )


def set_rows(estimator, rows, kind):
    """The training data in the caller's kind of array; y of the process."""
    for name, value in (
        ("X_train_", rows.X),
        ("y_train_", rows.y),
        ("sample_weight_train_", rows.weight),
        ("noise_variance_train_", rows.noise_variance),
    ):
        setattr(estimator, name, kind(value))


def rows_of(estimator):
    """The training data as Rows; which were `kept` is of no account to new ones."""
    record = estimator._fit_record
    return Rows(
        as_numpy(estimator.X_train_),
        as_numpy(estimator.y_train_),
        as_numpy(estimator.sample_weight_train_),
        as_numpy(estimator.noise_variance_train_),
        given=record.given,
        scatter=record.scatter,
        y_given=record.y_given,
    )


def set_trend(estimator, trend, kind):
    """trend_coef_ and trend_intercept_, in units of y, from a posterior's trend."""
    beta = trend.beta.cpu().double().numpy()
    in_features = estimator._fit_record.columns.in_features(beta)
    coef, intercept = targets_of(estimator).trend(*in_features)
    if not coef.size:
        n_features = getattr(estimator, "n_features_in_", 0)
        coef = np.zeros((len(intercept), n_features))
    single = estimator.y_train_.ndim == 1
    estimator.trend_coef_ = kind(coef[0] if single else coef)
    estimator.trend_intercept_ = kind(intercept[0] if single else intercept)
