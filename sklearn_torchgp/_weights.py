"""Sample and class weights, checked before work begins."""

import numpy as np
from sklearn.utils import check_array

from ._tensors import as_numpy

# With class weights, log probabilities are shifted by this times the log weight: where
# the data say nothing all classes are equally likely, and the heavier ones shall win.
TIE_BREAK = 1e-5


def checked_weights(sample_weight, n_samples):
    """sample_weight as float64 (n_samples,), or None for weights of 1.

    Raises
    ------
    ValueError
        For a wrong shape, negative or non-finite weights, or weights that are all 0.
    """
    if sample_weight is None:
        return None
    weight = check_array(
        as_numpy(sample_weight),
        dtype=np.float64,
        ensure_2d=False,
        copy=True,
        input_name="sample_weight",
    )
    if weight.ndim == 0:
        weight = np.full(n_samples, weight)
    if weight.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weight.shape}, but X has {n_samples} rows; it "
            f"must be one number for each row, of shape ({n_samples},)."
        )
    if (weight < 0).any():
        raise ValueError(
            f"sample_weight must not be negative; got {weight.min()!r} in row "
            f"{weight.argmin()}. A weight of 0 leaves the row out."
        )
    if not weight.any():
        raise ValueError(
            "sample_weight is zero in all rows, which leaves nothing to fit; at least "
            "two classes need a positive weight."
        )
    return weight


def class_factors(class_weight, classes, codes, weight):
    """The weight of each class: ndarray (C,), or None if all are 1.

    Parameters
    ----------
    class_weight : dict {label: weight}, "balanced" or None
        "balanced": inversely proportional to the weighted frequency of the class.
    classes : ndarray (C,)
    codes : ndarray (n,), positions in classes
    weight : ndarray (n,) or None
        Of the rows.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                "The 'class_weight' parameter must be a dict, 'balanced' or None. "
                f"Got {class_weight!r} instead."
            )
        frequency = np.bincount(codes, weights=weight, minlength=len(classes))
        return frequency.sum() / (len(classes) * frequency)
    labels = classes.tolist()
    unknown = [label for label in class_weight if label not in labels]
    if unknown:
        raise ValueError(
            f"The 'class_weight' parameter names {unknown}, which y does not contain. "
            f"The classes are {labels}."
        )
    factors = np.array([class_weight.get(label, 1.0) for label in labels], dtype=float)
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise ValueError(
            "The 'class_weight' parameter must give each class a positive, finite "
            f"weight. Got {class_weight!r}."
        )
    return factors
