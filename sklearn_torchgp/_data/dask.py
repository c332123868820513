"""Dask arrays as rows whose chunks stay with the workers that have them.

The one file that imports Dask, itself imported only where a Dask array comes in.
"""

import dask
import dask.array as da
import numpy as np
from sklearn.utils import assert_all_finite, check_array, column_or_1d

from .rows import Rows
from .spread import Copies, Shards

__all__ = ["Replicas", "Table", "computed", "current_client"]


def current_client():
    """The Client in place, or None."""
    try:
        from distributed import Client

        return Client.current()
    except (ImportError, ValueError):
        return None


def computed(*arrays):
    """Dask arrays as ndarrays, other things as they are."""
    return dask.compute(*arrays)


class Replicas:
    """Workers that get all rows, which are here."""

    are_all_here = True

    def __init__(self, client):
        self.client = client

    def shards(self, model):
        """The rows of a Model as its method sees them; None on an accelerator."""
        points = model.covariance.points
        if points.device.type != "cpu":
            return None
        return Copies(self.client, points, model.likelihood)


class Table:
    """Rows, and what came with them, in parts: one for each chunk of X.

    Parameters
    ----------
    client : Client
    X : Dask array (n, d)
    y : array (n,) or (n, t)
    weight, noise : array, number or None
        As `fit` takes them; arrays of any kind.
    numbers : bool, default=True
        Whether y are numbers; else class labels.

    Attributes
    ----------
    n : int
        Number of rows, without those of weight zero.
    weights : ndarray (2,) or None
        The least and the largest of positive weights, where there are any.
    """

    are_all_here = False

    def __init__(self, client, X, y, weight=None, noise=None, *, numbers=True):
        self.client = client
        if X.ndim != 2:
            raise ValueError(
                f"X must be a table (n_samples, n_features). Got a Dask array of shape "
                f"{X.shape}."
            )
        X = _known(X).rechunk({1: -1})
        if not X.shape[0]:
            raise ValueError("X has no rows. At least one is needed to fit.")
        given = {"y": y, "sample_weight": weight, "noise_variance": noise}
        given = [_chunked(values, X, name) for name, values in given.items()]
        blocks = zip(X.to_delayed().ravel(), *given, strict=True)
        check = dask.delayed(_checked, pure=False)
        self.parts = client.compute([check(*one, numbers) for one in blocks])
        facts = zip(*self.each(_size_and_weights), strict=True)
        found = [one for one in zip(self.parts, *facts, strict=True) if one[1]]
        if not found:
            raise ValueError(
                "The 'sample_weight' parameter is zero in every entry, which leaves no "
                "row to fit. At least one weight must be positive."
            )
        self.parts, sizes, weights = map(list, zip(*found, strict=True))
        weights = [one for one in weights if one is not None]
        self.weights = np.concatenate(weights) if weights else None
        self.stops = np.cumsum(sizes)
        self.n = int(self.stops[-1])

    def each(self, function, *args):
        """``function(rows, *args)`` of the Rows of each part, in their order."""
        submit = self.client.submit
        options = {"pure": False}
        return self.client.gather(
            [submit(function, part, *args, **options) for part in self.parts]
        )

    def total(self, function, *args):
        """The sum of these."""
        return sum(self.each(function, *args))

    def drawn(self, size, seed):
        """So many rows drawn at random, or all there are: X, y, weight, noise."""
        index = np.sort(np.random.RandomState(seed).permutation(self.n)[:size])
        starts = np.r_[0, self.stops[:-1]]
        chosen = np.split(index, np.searchsorted(index, starts[1:]))
        futures = [
            self.client.submit(_taken, part, own - start, pure=False)
            for part, own, start in zip(self.parts, chosen, starts, strict=True)
            if len(own)
        ]
        columns = zip(*self.client.gather(futures), strict=True)
        return [None if one[0] is None else np.concatenate(one) for one in columns]

    def shards(self, bind):
        """The rows as a method sees them: see `Shards`."""
        return Shards(self, bind)

    def by_worker(self):
        """Parts by where they are: list of (address, [part, ...]), for each thread."""
        has, threads = self.client.who_has(self.parts), self.client.nthreads()
        groups = {}
        for part in self.parts:
            address = min(has[part.key], default=None)
            groups.setdefault(address, []).append(part)
        for address, parts in sorted(groups.items(), key=str):
            n = min(threads.get(address, 1), len(parts))
            yield from ((address, parts[i::n]) for i in range(n))


# --- what workers do ----------------------------------------------------------------


def _checked(X, y, weight, noise, numbers):
    """The Rows of a chunk; ValueError for bad ones, None if there are none."""
    if not len(X):
        return None
    X = check_array(X, input_name="X")
    if numbers:
        y = check_array(y, ensure_2d=False, input_name="y")
    else:
        y = column_or_1d(y)
        assert_all_finite(y, input_name="y")
    if weight is not None and np.ndim(weight) and not np.any(weight):
        return None
    return Rows.checked(X, y, weight, noise)


def _size_and_weights(rows):
    """How many rows, and the extremes of their weights (None where all are 1)."""
    if rows is None:
        return 0, None
    weight = rows.weight
    return len(rows.y), None if weight is None else np.r_[weight.min(), weight.max()]


def _taken(rows, index):
    """X, y, weight and noise of the rows with these numbers."""
    columns = rows.X, rows.y, rows.weight, rows.noise_variance
    return [None if one is None else one[index] for one in columns]


# --- chunks -------------------------------------------------------------------------


def _known(array):
    """The array with chunks of known sizes: a frame does not know how many rows.

    Its chunks are computed twice: a copy kept in between is lost with its worker.
    """
    if np.isnan(array.shape[0]):
        array = array.copy()
        array.compute_chunk_sizes()
    return array


def _chunked(values, X, name):
    """What came with the rows as a list, for each chunk of X its part."""
    n = X.numblocks[0]
    if values is None or np.ndim(values) == 0:
        return [values] * n
    if not isinstance(values, da.Array):
        values = da.from_array(np.asarray(values), chunks=-1)
    values = _known(values)
    if values.shape[0] != X.shape[0]:
        raise ValueError(
            f"The {name!r} parameter has {values.shape[0]} rows and X has "
            f"{X.shape[0]}. Give one for each row of X."
        )
    if name == "sample_weight" and values.ndim > 1:
        raise ValueError(
            f"The {name!r} parameter has shape {values.shape}; allowed are a number "
            f"and {(X.shape[0],)}."
        )
    whole = {axis: -1 for axis in range(1, values.ndim)}
    values = values.rechunk({0: X.chunks[0], **whole})
    return list(values.to_delayed().ravel())
