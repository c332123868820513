"""Columns: a kernel of some of the features."""

import numpy as np
import torch

from .._covariance.acquaint import acquaint
from .._covariance.operators import Operator
from .._covariance.registry import KernelRecord, register
from ._names import Named


class Columns(Named):
    """k(x, z) = k'(x_c, z_c): a kernel that sees some columns c of the rows only.

    Sums and products of them give each feature, or group of features, a kernel of its
    own.

    Parameters
    ----------
    kernel : kernel
        A length scale for each feature has as many entries as there are `columns`.
    columns : int, str, slice, or list of int, of str or of bool
        Positions, a mask, or the names of a data frame's columns. Names work in
        `TorchGPRegressor` and `TorchGPClassifier` fitted to a frame, and where the
        kernel is called with one; scikit-learn's own estimators hand arrays to kernels.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sklearn_torchgp.kernels import Columns, Periodic
    >>> kernel = Columns(Periodic(), "hour") + Columns(RBF([1.0, 1.0]), ["x", "y"])
    >>> Columns(RBF(), [1])([[0.0, 5.0], [1.0, 5.0]])
    array([[1., 1.],
           [1., 1.]])
    """

    stationary = True  # where its part is

    def __init__(self, kernel, columns):
        self.kernel = kernel
        self.columns = columns

    def index(self, d):
        """The positions of the columns, among d: a tuple of int; else ValueError."""
        return self.positions("columns", d)

    def acquaint(self, names, X, y):
        if names is not None:
            self._names = tuple(names)
        known = self._names is not None
        if X is None and not known:
            return
        index = self.index(len(self._names) if X is None else X.shape[1])
        names = [self._names[i] for i in index] if known else None
        X = None if X is None else X[:, list(index)]
        acquaint(self.kernel, names=names, X=X, y=y)


class OfColumns(Operator):
    """The node of a kernel that sees some columns."""

    pointwise = True

    def __init__(self, child, index):
        super().__init__(child)
        self.child, self.index, self.few = child, index, False
        self.columns = tuple(index)

    def dense(self, at, rows, cols):
        seen = rows.columns(self.index)
        other = seen if cols is rows else cols.columns(self.index)
        return self.child.dense(at, seen, other)

    def diag(self, at, points):
        return self.child.diag(at, points.columns(self.index))

    def nugget(self, at, points):
        return self.child.nugget(at, points.columns(self.index))

    def slope(self, at, rows, cols):
        seen, other = rows.columns(self.index), cols.columns(self.index)
        value, pull = self.child.slope(at, seen, other)
        slopes = rows.zeros(*rows.raw.shape)
        columns = torch.as_tensor(np.array(self.index), device=rows.device)

        def wide(G):
            inner = slopes[:, : len(columns)] + pull(G)  # a number, of constants
            return slopes.index_add(1, columns, inner)

        return value, wide


def _node(kernel, start, binding):
    if binding.n_features is None:
        raise ValueError(f"{kernel} needs rows of numbers: X must be a table.")
    index = kernel.index(binding.n_features)
    return OfColumns(binding.within(len(index)).node(kernel.kernel, start), index)


def _terms(kernel, d, terms):
    index = kernel.index(d)
    return [term.of_columns(list(index)) for term in terms(kernel.kernel, len(index))]


register(Columns, KernelRecord(node=_node, terms=_terms))
