"""From the flat parameters of an estimator to its method: only here."""

from .._inference import (
    MULTICLASS_ALGORITHMS,
    SITE_ALGORITHMS,
    Exact,
    MulticlassMethod,
    SiteMethod,
    loo_log_density,
    mixed_evidence,
)
from .optimize import OPTIMIZERS

# How the covariance is treated: values of the parameter `method`.
METHODS = ("exact",)

# What `fit` may maximise by name: values of the parameter `objective`.
OBJECTIVES = {"lml": Exact(), "loo": Exact(loo_log_density)}


def check_method(method):
    """Raise ValueError unless `method` is one of METHODS."""
    if method not in METHODS:
        raise ValueError(
            f"The 'method' parameter must be one of {list(METHODS)}. Got {method!r} "
            "instead."
        )


def check_regression(method, objective, optimizer, dtype):
    """Raise ValueError unless a regressor's parameters name a method that there is."""
    check_method(method)
    if not callable(objective) and objective not in OBJECTIVES:
        raise ValueError(
            f"The 'objective' parameter must be one of {sorted(OBJECTIVES)} or a "
            f"callable. Got {objective!r} instead."
        )
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        raise ValueError(
            f"The 'optimizer' parameter must be one of {list(OPTIMIZERS)}, a "
            f"callable or None. Got {optimizer!r} instead."
        )
    if dtype == "mixed" and objective == "loo":
        raise ValueError(
            "The 'dtype' parameter is 'mixed', which goes with objective='lml' "
            "only. Use dtype='float64' for objective='loo'."
        )


# Of the final factor, which may need more on its diagonal.
CONDITIONING = Exact(ladder=True)

# With a float32 factor, for the way to an optimum.
MIXED = Exact(mixed_evidence)


def classification_method(inference, softmax, max_iter):
    """The method of a binary problem, or of the joint one of all classes."""
    if softmax:
        return MulticlassMethod(MULTICLASS_ALGORITHMS[inference], max_iter)
    return SiteMethod(SITE_ALGORITHMS[inference], max_iter)
