"""Class weights, checked before work begins."""

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

# With class weights, log probabilities are shifted by this times the log weight: where
# the data say nothing all classes are equally likely, and the heavier ones shall win.
TIE_BREAK = 1e-5


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
    # A fold may lack a rare class: labels that y does not contain are no error there.
    factors = compute_class_weight(class_weight, classes=classes, y=classes[codes])
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise ValueError(
            "The 'class_weight' parameter must give each class a positive, finite "
            f"weight. Got {class_weight!r}."
        )
    return factors
