"""From the flat parameters of an estimator to its method: only here."""

from dataclasses import replace

import numpy as np

from .._data.rows import is_table
from .._inference import (
    MULTICLASS_ALGORITHMS,
    SITE_ALGORITHMS,
    Exact,
    MulticlassMethod,
    SiteMethod,
    Vecchia,
    loo_log_density,
    mixed_evidence,
)
from .optimize import OPTIMIZERS

# How the covariance is treated: values of the parameter `method`.
METHODS = ("exact", "vecchia", "auto")
METHODS_OF_CLASSIFIERS = ("exact",)

# Rows up to which "auto" is exact. The crossover has not been measured: that is
# benchmarks/bench_scale.py, part "crossover".
EXACT_ROWS = 5000

# What `fit` may maximise by name: values of the parameter `objective`.
OBJECTIVES = {"lml": Exact(), "loo": Exact(loo_log_density)}
_CONDITIONING = {
    name: replace(method, ladder=True) for name, method in OBJECTIVES.items()
}

# Iterations of the stages of a fit by Vecchia's approximation: on terms drawn at
# random, with neighbours searched anew at each stage, and at last on all of them.
ON_TERMS_DRAWN = (5, 10, 60)
ON_ALL_TERMS = 5


def check_method(method, allowed=METHODS):
    """Raise ValueError unless `method` is one of those allowed."""
    if method not in allowed:
        raise ValueError(
            f"The 'method' parameter must be one of {list(allowed)}. Got {method!r} "
            "instead."
        )


def check_numbers(estimator):
    """Raise ValueError unless the options of Vecchia's approximation are numbers."""
    for name in ("n_neighbors", "n_neighbors_predict", "optimizer_rows"):
        value = getattr(estimator, name)
        if value is None and name == "optimizer_rows":
            continue
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < 1:
            none = ", or None for all rows" if name == "optimizer_rows" else ""
            raise ValueError(
                f"The {name!r} parameter must be a positive integer{none}. Got "
                f"{value!r} instead; a number above that of the rows means all of them."
            )


def check_objective_of_trend(method, objective, mean):
    """Raise ValueError for a trend whose coefficients no row can be left out of."""
    trend = isinstance(mean, str) and mean != "zero"
    if method == "vecchia" and objective == "loo" and trend:
        raise ValueError(
            f"The 'objective' parameter is 'loo' and 'mean' is {mean!r}, which "
            "method='vecchia' does not know together: all rows share the coefficients "
            "of the trend. Use objective='lml', a regressor such as LinearRegression() "
            "as 'mean', or method='exact'."
        )


def choose_method(method, X, dtype):
    """The method that the parameter `method` means for rows X, and a sentence why."""
    n, table = len(X), is_table(X)
    if method == "vecchia" and not table:
        raise ValueError(
            "The 'method' parameter is 'vecchia', which finds neighbours in a table of "
            f"numbers; X of type {type(X).__name__} is none. Use method='exact'."
        )
    if method != "auto":
        return method, f"method={method!r} was asked for."
    if dtype == "mixed":
        why = "dtype='mixed' is for exact inference only"
    elif not table:
        why = "X is no table of numbers, in which neighbours could be found"
    elif n <= EXACT_ROWS:
        why = f"{n} rows are not more than {EXACT_ROWS}"
    else:
        why = f"{n} rows are more than {EXACT_ROWS}"
        return "vecchia", f"method='auto' chose Vecchia's approximation: {why}."
    return "exact", f"method='auto' chose exact inference: {why}."


def regression_method(options, name, objective="lml", *, n_terms=None, ladder=False):
    """The method of a regressor.

    Parameters
    ----------
    options : TorchGPRegressor
        Whose parameters say how, and `_fit_record` the seed.
    name : {"exact", "vecchia"}
    objective : {"lml", "loo"}
    n_terms : int, default=None
        Terms that stand for all of them; of no account in exact inference.
    ladder : bool, default=False
        Whether a matrix without a factor gets more on its diagonal.
    """
    if name == "exact":
        return _CONDITIONING[objective] if ladder else OBJECTIVES[objective]
    return Vecchia(
        int(options.n_neighbors),
        int(options.n_neighbors_predict),
        n_terms=n_terms,
        leaving_out=objective == "loo",
        ladder=ladder,
        seed=options._fit_record.seed,
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
    if dtype == "mixed" and method == "vecchia":
        raise ValueError(
            "The 'dtype' parameter is 'mixed', which refines one large factor: "
            "method='vecchia' has none. Use dtype='float64' or 'float32'."
        )


# With a float32 factor, for the way to an optimum.
MIXED = Exact(mixed_evidence)


def classification_method(inference, softmax, max_iter):
    """The method of a binary problem, or of the joint one of all classes."""
    if softmax:
        return MulticlassMethod(MULTICLASS_ALGORITHMS[inference], max_iter)
    return SiteMethod(SITE_ALGORITHMS[inference], max_iter)
