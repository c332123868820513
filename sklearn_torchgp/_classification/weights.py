"""Class weights, checked before work begins."""

import numpy as np
from sklearn.gaussian_process.kernels import Kernel, WhiteKernel
from sklearn.utils.class_weight import compute_class_weight

# With class weights, log probabilities are shifted by this times the log weight: where
# the data say nothing all classes are equally likely, and the heavier ones shall win.
TIE_BREAK = 1e-5


def class_factors(class_weight, classes, frequency):
    """The weight of each class: ndarray (C,), or None if all are 1.

    Parameters
    ----------
    class_weight : dict {label: weight}, "balanced" or None
        "balanced": inversely proportional to the weighted frequency of the class.
    classes : ndarray (C,)
    frequency : ndarray (C,)
        Sum of the weights of the rows of each class.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                "The 'class_weight' parameter must be a dict, 'balanced' or None. "
                f"Got {class_weight!r} instead."
            )
        return frequency.sum() / (len(classes) * frequency)
    # A fold may lack a rare class: labels that y does not contain are no error there.
    factors = compute_class_weight(class_weight, classes=classes, y=classes)
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise ValueError(
            "The 'class_weight' parameter must give each class a positive, finite "
            f"weight. Got {class_weight!r}."
        )
    return factors


def check_no_white(kernel, weight):
    """Raise ValueError for weights where copies of a row would have noise of their own.

    The likelihood raised to a power is that of copies with one latent value in common.
    """
    whole = isinstance(kernel, Kernel)
    parts = [kernel, *kernel.get_params().values()] if whole else []
    white = any(isinstance(part, WhiteKernel) for part in parts)
    if white and not (weight == 1).all():
        raise ValueError(
            "The 'sample_weight' parameter does not go with a WhiteKernel in a "
            "classifier: copies of a row would each have noise of their own in the "
            "latent function. Leave the WhiteKernel out (labels are noisy by the "
            "likelihood), or repeat the rows."
        )
