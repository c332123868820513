"""From the flat parameters of an estimator to its method: only here."""

from .._inference import METHODS as SITE_ALGORITHMS
from .._inference import (
    Exact,
    SiteMethod,
    SoftmaxLaplace,
    loo_log_density,
    mixed_evidence,
)

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


def conditioning_method():
    """The method of the final factor, which may need more on its diagonal."""
    return Exact(ladder=True)


# With a float32 factor, for the way to an optimum.
MIXED = Exact(mixed_evidence)


def classification_method(inference, softmax, max_iter):
    """The method of a binary problem, or of the joint one of all classes."""
    if softmax:
        return SoftmaxLaplace(max_iter)
    return SiteMethod(SITE_ALGORITHMS[inference], max_iter)
