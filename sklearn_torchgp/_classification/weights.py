"""Class weights, checked before work begins."""

import numpy as np

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
    # A fold may lack a rare class: labels that y does not contain are no error.
    labels = classes.tolist()
    if class_weight and not any(label in labels for label in class_weight):
        raise ValueError(
            f"The 'class_weight' parameter names {list(class_weight)}, of which y "
            f"contains none. The classes are {labels}."
        )
    factors = np.array([class_weight.get(label, 1.0) for label in labels], dtype=float)
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise ValueError(
            "The 'class_weight' parameter must give each class a positive, finite "
            f"weight. Got {class_weight!r}."
        )
    return factors
