"""Fitting to Dask arrays: which rows come here, and which options let others stay."""

from copy import deepcopy

import numpy as np
from sklearn.base import is_regressor

from .._data.arrays import as_numpy


def brought(estimator, plan, rng, X, y, weight=None, noise=None, *, numbers=True):
    """Of Dask arrays the rows that a fit wants in memory, and the Table of all others.

    Without a Client in place Dask's threads compute the arrays, and all rows come. They
    are drawn by `rng` as the fit would draw them, which is left as it was.

    Returns
    -------
    arrays : X, y, weight, noise
        ndarrays; of rows that were drawn where there is a Table.
    table : Table or None
        None where these are all rows.
    """
    from .._data.dask import Table, computed, current_client

    client = current_client()
    if client is None or plan.n_drawn(estimator) is None:
        return computed(X, y, weight, noise), None
    table = Table(client, X, y, weight, noise, numbers=numbers)
    seed = plan.seed(deepcopy(rng))
    most = plan.n_drawn(estimator)
    arrays = table.drawn(most, seed)
    learns_on_all = estimator.optimizer_rows is None
    return arrays, table if learns_on_all or table.n > most else None


def copies(model):
    """The Shards of a model all of whose rows are here, with a Client in place."""
    from .._data.dask import Copies, current_client

    client, points = current_client(), model.covariance.points
    if client is None or points.device.type != "cpu":
        return None
    return Copies(client, points, model.likelihood)


def check_options(estimator, allowed):
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
