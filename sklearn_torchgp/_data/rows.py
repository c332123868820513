"""What comes with the rows: known noise and weights, checked before any work."""

from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from .arrays import as_numpy


@dataclass
class Rows:
    """Validated rows and what came with them, in the units of the caller.

    Attributes
    ----------
    X : ndarray (n, d) or list of n objects
    y : ndarray (n,) or (n, t)
    weight : ndarray (n,) or None
    noise_variance : ndarray (n,) or (n, t) or None
    kept : ndarray of bool or int, or None
        Which of the rows given these are, where not all of them in their order.
    given : (ndarray of int, ndarray) or None
        Where these are merged: for every row that was given with a weight, the row that
        it is now and its weight.
    scatter, y_given : ndarray (n, t) and (m, t), or None
        Where rows of different y are merged into their mean: their weighted squares
        about it, and y of every row that was given.
    """

    X: object
    y: np.ndarray
    weight: np.ndarray | None = None
    noise_variance: np.ndarray | None = None
    kept: np.ndarray | None = None
    given: tuple[np.ndarray, np.ndarray] | None = None
    scatter: np.ndarray | None = None
    y_given: np.ndarray | None = None

    @classmethod
    def checked(cls, X, y, sample_weight, noise_variance):
        """Rows without those of weight zero; ValueError for bad weights or noise."""
        weight = check_weights(sample_weight, len(y))
        n_targets = y.shape[1] if y.ndim == 2 else 1
        known = check_noise_variance(noise_variance, len(y), n_targets)
        if weight is None or weight.all():
            return cls(X, y, weight, known)
        kept = weight > 0
        X = X[kept] if isinstance(X, np.ndarray) else list(compress(X, kept))
        known = None if known is None else known[kept]
        return cls(X, y[kept], weight[kept], known, kept)

    @property
    def merging(self):
        """What says how the rows given became these, beside `kept`."""
        return {name: getattr(self, name) for name in ("given", "scatter", "y_given")}

    def merged(self, alpha):
        """Equal rows once, with their number as weight, in an order of their own.

        Weights and repeated rows then are one computation, to the last bit: float32
        has none to spare. Without weights or equal rows nothing changes.

        Parameters
        ----------
        alpha : ndarray (n_given,) or a number
            Of the rows that were given to `checked`; equal rows agree in it.
        """
        given, noises = self._noises(alpha)
        columns = [self.y, *noises]
        index, weight, group = distinct_rows(self.X, columns, self.weight)
        if (weight == 1).all():
            return replace(self, weight=None)
        table = np.column_stack([self.X[index], *(c[index] for c in columns)])
        order = np.lexsort(table.T)
        index, weight, group = index[order], weight[order], np.argsort(order)[group]
        noise = self.noise_variance
        noise = None if noise is None else noise[index]
        own = np.ones(len(group)) if self.weight is None else self.weight
        return Rows(
            self.X[index], self.y[index], weight, noise, given[index], (group, own)
        )

    def averaged(self, alpha):
        """Rows equal in X and noise as their mean, with their number as weight.

        Exact where each copy has noise: `scatter` holds the rest of what they say.

        Parameters
        ----------
        alpha : as in `merged`
        """
        given, noises = self._noises(alpha)
        index, weight, group = distinct_rows(self.X, noises, self.weight)
        if len(index) == len(self.y):
            return self
        own = np.ones(len(group)) if self.weight is None else self.weight
        y = self.y.reshape(len(group), -1).astype(np.float64)
        mean = _grouped(own[:, None] * y, group) / weight[:, None]
        scatter = _grouped(own[:, None] * (y - mean[group]) ** 2, group)
        known = None if self.noise_variance is None else self.noise_variance[index]
        return Rows(
            self.X[index],
            mean.reshape(len(index), *self.y.shape[1:]),
            weight,
            known,
            given[index],
            (group, own),
            scatter,
            y,
        )

    def _noises(self, alpha):
        """Which of the rows given these are, and what their noise differs in."""
        given = (
            np.arange(len(self.y)) if self.kept is None else np.flatnonzero(self.kept)
        )
        noises = [] if self.noise_variance is None else [self.noise_variance]
        if np.size(alpha) > 1:
            noises.append(alpha[given])
        return given, noises

    def after(self, old):
        """These rows after the old ones; what only one side has is filled in."""
        n_old, n_new = len(old.y), len(self.y)
        join = isinstance(self.X, np.ndarray)
        X = np.concatenate([old.X, self.X]) if join else [*old.X, *self.X]
        y = np.concatenate([old.y, self.y])
        weight = _joined(old.weight, self.weight, np.ones(n_old), np.ones(n_new))
        noise = _joined(
            old.noise_variance, self.noise_variance, np.zeros(n_old), np.zeros(n_new)
        )
        given = old.given
        if given is not None:
            group, own = given
            more = np.ones(n_new) if self.weight is None else self.weight
            given = np.r_[group, n_old + np.arange(n_new)], np.r_[own, more]
        scatter, y_given = old.scatter, old.y_given
        if scatter is not None:
            new = self.y.reshape(n_new, -1)
            scatter = np.concatenate([scatter, np.zeros(new.shape)])
            y_given = np.concatenate([y_given, new])
        return Rows(X, y, weight, noise, given=given, scatter=scatter, y_given=y_given)


def as_numbers(y):
    """y as an array of numbers; ValueError for one of strings, as for other objects."""
    return y if y.dtype.kind in "biuf" else y.astype(np.float64)


def check_noise_variance(value, n_samples, n_targets):
    """Known noise as float64 of shape (n_samples,) or (n_samples, n_targets), or None.

    A single number stands for all rows. Raises ValueError for another shape, for
    anything that is not a number, and for negative, infinite or NaN entries.
    """
    if value is None:
        return None
    name, what = "noise_variance", "a variance in units of y squared"
    array = _as_floats(value, name, what)
    allowed = [(n_samples,), (n_samples, n_targets)]
    if array.ndim == 0:
        array = np.full(n_samples, array)
    if array.shape not in allowed:
        raise ValueError(
            f"The {name!r} parameter has shape {array.shape}; allowed are a number, "
            f"{allowed[0]} and {allowed[1]}, one value for each row (and target)."
        )
    _check_not_negative(array, name, what)
    return array[:, 0] if array.shape == (n_samples, 1) else array


def check_weights(value, n_samples):
    """Weights as float64 of shape (n_samples,), or None.

    A single number stands for all rows. Raises ValueError as `check_noise_variance`,
    and where no weight is positive.
    """
    if value is None:
        return None
    name, what = "sample_weight", "how many copies of the row there are"
    array = _as_floats(value, name, what)
    if array.ndim == 0:
        array = np.full(n_samples, array)
    if array.shape != (n_samples,):
        raise ValueError(
            f"The {name!r} parameter has shape {array.shape}; allowed are a number and "
            f"({n_samples},), one weight for each row."
        )
    _check_not_negative(array, name, what)
    if not array.any():
        raise ValueError(
            f"The {name!r} parameter is zero in every entry, which leaves no row to "
            "fit. At least one weight must be positive."
        )
    return array


def _as_floats(value, name, what):
    try:
        return np.array(as_numpy(value), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The {name!r} parameter must hold real numbers, each {what}. "
            f"Got {value!r} instead."
        ) from error


def _check_not_negative(array, name, what):
    good = np.isfinite(array) & (array >= 0)
    if not good.all():
        raise ValueError(
            f"The {name!r} parameter must be finite and not negative in every entry: "
            f"it is {what}. Got {array[~good][0]!r}, the first of {(~good).sum()} such "
            "entries."
        )


def all_differ(X):
    """Whether no two rows of a table X are equal: without sorting them."""
    X = np.ascontiguousarray(X, dtype=np.float64) + 0.0  # there is one zero then
    rows = X.view(f"V{X.itemsize * X.shape[1]}") if X.size else X
    return len(set(rows.ravel().tolist())) == len(X)


def distinct_rows(X, columns, weights=None):
    """Rows that differ in X or in one of the columns, and the weight of each.

    Parameters
    ----------
    X : ndarray (n_samples, n_features)
    columns : list of ndarray (n_samples,) or (n_samples, n)
    weights : ndarray (n_samples,), default=None

    Returns
    -------
    index : ndarray (n_distinct,)
        First occurrences, ascending.
    weights : ndarray (n_distinct,)
    group : ndarray (n_samples,)
        Which of the distinct rows each row is.
    """
    table = np.column_stack([np.asarray(X, dtype=np.float64), *columns])
    _, first, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
    total = np.bincount(group.ravel(), weights)
    order = np.argsort(first)
    group = np.argsort(order)[group.ravel()]
    return first[order], total[order].astype(np.float64), group


def _grouped(values, group):
    """Sums (n_groups, t) of values (n, t) by group."""
    return np.stack([np.bincount(group, column) for column in values.T], axis=1)


def _joined(old, new, old_default, new_default):
    if old is None and new is None:
        return None
    parts = [old_default if old is None else old, new_default if new is None else new]
    if {part.ndim for part in parts} == {1, 2}:
        t = max(part.shape[-1] for part in parts if part.ndim == 2)
        parts = [p if p.ndim == 2 else np.tile(p[:, None], t) for p in parts]
    return np.concatenate(parts)


def is_table(X):
    """Whether X is a matrix of numbers."""
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fiub"
