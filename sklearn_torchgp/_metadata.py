"""What comes with the rows: known noise and weights, checked before any work."""

import numpy as np

from ._tensors import as_numpy


def check_noise_variance(value, n_samples, n_targets):
    """Known noise as float64 of shape (n_samples,) or (n_samples, n_targets), or None.

    A single number stands for all rows. Raises ValueError for another shape, for
    anything that is not a number, and for negative, infinite or NaN entries.
    """
    if value is None:
        return None
    name, what = "noise_variance", "a variance in units of y squared"
    array = _as_floats(value, name, what)
    allowed = [(n_samples,), (n_samples, n_targets)]
    if array.ndim == 0:
        array = np.full(n_samples, array)
    if array.shape not in allowed:
        raise ValueError(
            f"The {name!r} parameter has shape {array.shape}; allowed are a number, "
            f"{allowed[0]} and {allowed[1]}, one value for each row (and target)."
        )
    _check_not_negative(array, name, what)
    return array[:, 0] if array.shape == (n_samples, 1) else array


def check_weights(value, n_samples):
    """Weights as float64 of shape (n_samples,), or None.

    A single number stands for all rows. Raises ValueError as `check_noise_variance`,
    and where no weight is positive.
    """
    if value is None:
        return None
    name, what = "sample_weight", "how many copies of the row there are"
    array = _as_floats(value, name, what)
    if array.ndim == 0:
        array = np.full(n_samples, array)
    if array.shape != (n_samples,):
        raise ValueError(
            f"The {name!r} parameter has shape {array.shape}; allowed are a number and "
            f"({n_samples},), one weight for each row."
        )
    _check_not_negative(array, name, what)
    if not array.any():
        raise ValueError(
            f"The {name!r} parameter is zero in every entry, which leaves no row to "
            "fit. At least one weight must be positive."
        )
    return array


def _as_floats(value, name, what):
    try:
        return np.array(as_numpy(value), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The {name!r} parameter must hold real numbers, each {what}. "
            f"Got {value!r} instead."
        ) from error


def _check_not_negative(array, name, what):
    good = np.isfinite(array) & (array >= 0)
    if not good.all():
        raise ValueError(
            f"The {name!r} parameter must be finite and not negative in every entry: "
            f"it is {what}. Got {array[~good][0]!r}, the first of {(~good).sum()} such "
            "entries."
        )


def distinct_rows(X, columns, weights=None):
    """Rows that differ in X or in one of the columns, and the weight of each.

    Parameters
    ----------
    X : ndarray (n_samples, n_features)
    columns : list of ndarray (n_samples,) or (n_samples, n)
    weights : ndarray (n_samples,), default=None

    Returns
    -------
    index : ndarray (n_distinct,)
        First occurrences, ascending.
    weights : ndarray (n_distinct,)
    """
    table = np.column_stack([np.asarray(X, dtype=np.float64), *columns])
    _, first, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
    total = np.bincount(group.ravel(), weights)
    order = np.argsort(first)
    return first[order], total[order].astype(np.float64)
