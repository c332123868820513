"""The regressor of several outputs: what it checks, and its fitted attributes."""

import numpy as np

from .._data.arrays import as_numpy, check_same_kind
from .._data.rows import Rows
from .attributes import OF_FACTOR, OF_TARGETS, rows_of, set_rows
from .coregional import Coregional
from .independent import Independent
from .observations import check_alpha, check_n_targets
from .record import FitRecord

# What `multi_output` names, where it is not one kernel for all targets.
OUTPUTS = {"independent": Independent, "icm": Coregional}
MULTI_OUTPUT = ("shared", *OUTPUTS)
MISSING = ("error", "mask")


def check_multi_output(estimator):
    """Raise ValueError unless the parameters go together."""
    for name, allowed in (("multi_output", MULTI_OUTPUT), ("missing", MISSING)):
        value = getattr(estimator, name)
        if value not in allowed:
            raise ValueError(
                f"The {name!r} parameter must be one of {list(allowed)}. Got {value!r} "
                "instead."
            )
    if estimator.missing == "mask" and estimator.multi_output == "shared":
        raise ValueError(
            "The 'missing' parameter is 'mask', but multi_output='shared' has one "
            "factor for all targets, which are to be known at the same rows. Use "
            "multi_output='independent' or 'icm'."
        )
    rank = estimator.rank
    integer = isinstance(rank, (int, np.integer)) and not isinstance(rank, bool)
    if not integer or rank < 0:
        raise ValueError(
            "The 'rank' parameter must be an integer of at least 0. Got "
            f"{rank!r} instead."
        )
    if estimator.multi_output == "icm" and isinstance(estimator.kernel, str):
        raise ValueError(
            f"The 'kernel' parameter is {estimator.kernel!r}, which does not go with "
            "multi_output='icm'. Use a kernel, such as 1.0 * Matern(nu=2.5) + "
            "WhiteKernel(), or multi_output='independent'."
        )
    mean = estimator.mean
    if estimator.multi_output == "icm" and isinstance(mean, str) and mean != "zero":
        raise ValueError(
            f"The 'mean' parameter is {mean!r}, which does not go with "
            "multi_output='icm'. Use normalize_y=True, a regressor such as "
            "LinearRegression(), or multi_output='independent'."
        )


def without_missing(y, missing):
    """y with 0 where it is missing, and which those are: (n, t) of bool, or None."""
    if missing == "error" or y is None:
        return y, None
    try:
        values = np.array(as_numpy(y), dtype=np.float64)
    except (TypeError, ValueError):
        return y, None  # to be refused by who checks y
    if values.ndim not in (1, 2):
        return y, None
    absent = np.isnan(values)
    values[absent] = 0.0
    return values, absent if absent.ndim == 2 else absent[:, None]


def fit_outputs(estimator, X, y, sample_weight, noise_variance):
    """Fit an estimator whose `multi_output` is not "shared"."""
    rows, kind, single = _observed_rows(
        estimator, X, y, sample_weight, noise_variance, reset=True
    )
    check_n_targets(estimator.n_targets, rows.y)
    last = estimator._outputs
    same = isinstance(last, OUTPUTS[estimator.multi_output])
    names = getattr(estimator, "feature_names_in_", None)
    for name in (*OF_TARGETS, *OF_FACTOR, "kernel_", "_log_prior"):  # of an earlier fit
        vars(estimator).pop(name, None)
    estimator._fit_record = FitRecord(kept=rows.kept)
    make = OUTPUTS[estimator.multi_output].fit
    outputs = make(estimator, rows, names, last if same else None)
    first, parts = outputs.estimators[0], outputs.targets().parts
    estimator.method_, estimator.method_reason_ = first.method_, first.method_reason_
    estimator._y_train_mean, estimator._y_train_std = (
        kind(np.array([np.ravel(getattr(part, name))[0] for part in parts]))
        for name in ("offset", "scale")
    )
    _set(estimator, outputs, rows, kind, single)
    estimator.objective_value_ = outputs.objective_value
    estimator.optimizer_results_ = outputs.optimizer_results
    return estimator


def extend_outputs(estimator, X, y, sample_weight, noise_variance):
    """`partial_fit` of such an estimator."""
    check_same_kind(X, estimator.X_train_, f"{type(estimator).__name__}.partial_fit()")
    new, kind, single = _observed_rows(
        estimator, X, y, sample_weight, noise_variance, reset=False
    )
    outputs = estimator._outputs
    shape = (len(new.y), *estimator.y_train_.shape[1:])
    if (new.y[:, 0] if single else new.y).shape != shape:
        raise ValueError(
            f"y has {new.y.shape[1]} target(s); after a fit to y of shape "
            f"{tuple(estimator.y_train_.shape)} it must be of shape {shape}."
        )
    z = outputs.process(new)
    new_process = Rows(new.X, z[:, 0] if single else z, new.weight, new.noise_variance)
    set_rows(estimator, new_process.after(rows_of(estimator)), kind)
    _set_values(estimator, outputs.extended(new))
    return estimator


def _observed_rows(estimator, X, y, sample_weight, noise_variance, *, reset):
    """Validated Rows, y (n, t) with NaN where it is missing, the kind of array that X
    was, and whether y had no axis for targets.
    """
    filled, absent = without_missing(y, estimator.missing)
    rules = {"multi_output": True, "y_numeric": True, "reset": reset}
    X, y, kind = estimator._validate_training_data(X, filled, **rules)
    if reset:
        check_alpha(estimator.alpha, len(y))
    values = np.array(y, dtype=np.float64).reshape(len(y), -1)
    if absent is not None:
        values[absent] = np.nan
    rows = Rows.checked(X, values, sample_weight, noise_variance)
    return rows, kind, y.ndim == 1


def _set(estimator, outputs, rows, kind, single):
    z = outputs.process(rows)
    copy = np.copy if estimator.copy_X_train else np.asarray
    X = copy(rows.X) if isinstance(rows.X, np.ndarray) else rows.X
    z = z[:, 0] if single else z
    set_rows(estimator, Rows(X, z, rows.weight, rows.noise_variance), kind)
    _set_values(estimator, outputs)


def _set_values(estimator, outputs):
    estimator._outputs, estimator.estimators_ = outputs, outputs.estimators
    estimator.kernel_, estimator.jitter_ = outputs.kernel, outputs.jitter
    estimator.log_marginal_likelihood_value_ = outputs.log_evidence
