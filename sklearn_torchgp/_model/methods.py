"""From the flat parameters of an estimator to its plan and method: only here."""

from .._data.rows import is_table
from .._inference import (
    MULTICLASS_ALGORITHMS,
    SITE_ALGORITHMS,
    MulticlassMethod,
    SiteMethod,
)
from .optimize import OPTIMIZERS
from .plans import PLANS
from .plans.inducing import check_points

# How the covariance is treated: values of the parameter `method`.
METHODS = (*PLANS, "auto")
METHODS_OF_CLASSIFIERS = ("exact", "inducing", "auto")

# What `fit` may maximise by name: values of the parameter `objective`.
OBJECTIVES = ("lml", "loo")

# Rows up to which "auto" is exact. Vecchia's approximation is sooner from 2000 rows on
# (CPU seconds of a fit, 8 features, smooth function: 4.9 and 6.1 at 2000, 11 and 75 at
# 5000, 8 and 164 at 7000: benchmarks/bench_scale.py, part "crossover"), but its errors
# were larger by a fifth there: exact while it takes about a minute.
EXACT_ROWS = 5000

# The same of classifiers, which then see them through inducing points.
EXACT_LABELS = 3000


def check_method(method, allowed=METHODS):
    """Raise ValueError unless `method` is one of those allowed."""
    if method not in allowed:
        raise ValueError(
            f"The 'method' parameter must be one of {list(allowed)}. Got {method!r} "
            "instead."
        )


def check_regression(estimator):
    """Raise ValueError unless a regressor's parameters name a method that there is."""
    method, objective = estimator.method, estimator.objective
    check_method(method)
    if not callable(objective) and objective not in OBJECTIVES:
        raise ValueError(
            f"The 'objective' parameter must be one of {list(OBJECTIVES)} or a "
            f"callable. Got {objective!r} instead."
        )
    optimizer = estimator.optimizer
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        raise ValueError(
            f"The 'optimizer' parameter must be one of {list(OPTIMIZERS)}, a "
            f"callable or None. Got {optimizer!r} instead."
        )
    if estimator.dtype == "mixed" and objective == "loo":
        raise ValueError(
            "The 'dtype' parameter is 'mixed', which goes with objective='lml' "
            "only. Use dtype='float64' for objective='loo'."
        )
    for plan in PLANS.values():
        plan.check_options(estimator)
    if method in PLANS:
        PLANS[method].check(estimator)


def choose_method(estimator, X):
    """The method that the parameter `method` means for rows X, and a sentence why."""
    method = estimator.method
    if method in PLANS:
        PLANS[method].check_rows(estimator, X)
        return method, f"method={method!r} was asked for."
    n = len(X)
    if estimator.dtype == "mixed":
        why = "dtype='mixed' is for exact inference only"
    elif not is_table(X):
        why = "X is no table of numbers, in which neighbours could be found"
    elif n <= EXACT_ROWS:
        why = f"{n} rows are not more than {EXACT_ROWS}"
    else:
        PLANS["vecchia"].check(estimator)
        why = f"{n} rows are more than {EXACT_ROWS}"
        return "vecchia", f"method='auto' chose Vecchia's approximation: {why}."
    return "exact", f"method='auto' chose exact inference: {why}."


def choose_classification(estimator, X, softmax):
    """What `method` means for a classifier of rows X, and a sentence why.

    Raises
    ------
    ValueError
        If it does not go with the rest.
    """
    method, inference, n = estimator.method, estimator.inference, len(X)
    if method == "exact":
        return method, "method='exact' was asked for."
    if inference != "vi":
        why = f"inducing points go with inference='vi', and not with {inference!r}"
    elif softmax:
        why = "inducing points do not go with multi_class='softmax'"
    elif method == "inducing" or (is_table(X) and n > EXACT_LABELS):
        check_points(estimator, X)
        if method == "inducing":
            return method, "method='inducing' was asked for."
        why = f"{n} rows are more than {EXACT_LABELS}"
        return "inducing", f"method='auto' chose inducing points: {why}."
    elif not is_table(X):
        why = "X is no table of numbers"
    else:
        why = f"{n} rows are not more than {EXACT_LABELS}"
    if method == "inducing":
        raise ValueError(
            f"The 'method' parameter is 'inducing', but {why}. Use inference='vi' with "
            "multi_class='one_vs_rest' or 'one_vs_one', or method='exact'."
        )
    return "exact", f"method='auto' chose exact inference: {why}."


def classification_method(inference, softmax, max_iter):
    """The method of a binary problem, or of the joint one of all classes."""
    if softmax:
        return MulticlassMethod(MULTICLASS_ALGORITHMS[inference], max_iter)
    return SiteMethod(SITE_ALGORITHMS[inference], max_iter)
