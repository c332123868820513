"""Fitting to Dask arrays: which rows come here, and which options let others stay."""

from copy import deepcopy

import numpy as np
from sklearn.base import is_regressor
from sklearn.utils import check_random_state

from .._data.arrays import as_numpy
from .._data.shards import is_dask
from .plans import PLANS


def brought(estimator, X, y, weight=None, noise=None):
    """Of Dask arrays the rows that a fit wants in memory, and where all others are.

    Without a Client in place Dask's threads compute the arrays, and all rows come. They
    are drawn as the fit would draw them.

    Returns
    -------
    arrays : X, y, weight, noise
        As they are where X is no Dask array; else ndarrays, perhaps of some rows.
    others : Table, Replicas or None
        All rows, of which those are a draw; or the workers that get all of them; None
        where neither is.

    Raises
    ------
    ValueError
        For options that want all rows of Dask arrays in one place.
    """
    if not is_dask(X):
        return (X, y, weight, noise), None
    numbers = is_regressor(estimator)
    _check_options(estimator, ["inducing", "vecchia"] if numbers else ["inducing"])
    from .._data.dask import Replicas, Table, computed, current_client

    client, plan = current_client(), PLANS[estimator.method]
    most = plan.n_drawn(estimator)
    if client is None or most is None:
        copied = client is not None and plan.shares_terms
        return computed(X, y, weight, noise), Replicas(client) if copied else None
    table = Table(client, X, y, weight, noise, numbers=numbers)
    seed = plan.seed(deepcopy(check_random_state(estimator.random_state)))
    arrays = table.drawn(most, seed)
    return arrays, table if table.n > most else None


def _check_options(estimator, allowed):
    """Raise ValueError for options that want all rows of Dask arrays in one place.

    Parameters
    ----------
    estimator : GPEstimator
    allowed : list of str
        Values of `method` that do not.
    """
    for name, bad, why, cure in _options(estimator, allowed):
        if bad and (name == "method" or estimator.method == "inducing"):
            value = getattr(estimator, name)
            shown = f"of {np.size(value)} values" if np.ndim(value) else repr(value)
            raise ValueError(
                f"The {name!r} parameter is {shown}, and X is a Dask array: {why}. "
                f"{cure}, or give arrays in memory (X.compute(), y.compute())."
            )


def _options(estimator, allowed):
    """Name, whether its value is bad, why, and the cure, of each parameter."""
    say = vars(estimator).get
    # A classifier's own evidence is that of its problems.
    own = is_regressor(estimator) and estimator._has_own_objective()
    named = " or ".join(f"method={one!r}" for one in allowed)
    whole = "it is learnt from all rows in one place"
    mean, alpha = say("mean", "zero"), say("alpha", 0.0)
    yield (
        "method",
        estimator.method not in allowed,
        "it wants one matrix of all rows, and no sum over them",
        f"Use {named}",
    )
    yield (
        "inference",
        say("inference", "vi") != "vi",
        "its sites are not found by sums over rows",
        "Use inference='vi'",
    )
    yield (
        "multi_class",
        say("multi_class", "one_vs_rest") != "one_vs_rest",
        "all problems are of all rows",
        "Use multi_class='one_vs_rest'",
    )
    yield (
        "multi_output",
        say("multi_output", "shared") != "shared",
        "rows of several models would have to meet",
        "Use multi_output='shared', or fit each target by itself",
    )
    yield (
        "mean",
        not isinstance(mean, str),
        whole,
        "Fit it to the arrays first and give y less its predictions",
    )
    yield (
        "target_transform",
        say("target_transform") is not None,
        whole,
        "Transform y first",
    )
    yield (
        "alpha",
        np.size(as_numpy(alpha)) > 1,
        "its values have no chunks",
        "Give them as noise_variance",
    )
    yield (
        "objective",
        own or estimator.objective != "lml",
        "what is maximised must be a sum over rows",
        "Use objective='lml'",
    )
