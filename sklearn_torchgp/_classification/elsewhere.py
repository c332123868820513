"""Labels of rows that stay on a cluster: their classes, and how rows are bound."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .._covariance import Points
from .._data.arrays import resolve_device, resolve_dtype
from .._likelihoods import Bernoulli


def classes_of_table(table):
    """The classes (C,) of all rows of a Table, and their weighted frequency (C,)."""
    classes = np.unique(np.concatenate(table.each(_classes)))
    return classes, table.total(_frequency, classes)


@dataclass(frozen=True)
class Bind:
    """Rows of a part -> Points and the labels of one problem, where they are.

    Attributes
    ----------
    classes : ndarray (C,)
    factors : ndarray (C,) or None
        Weights of the classes.
    link : str
    dtype, device : as the estimator has them
    n : int
        Number of all rows, which decides on the device.
    positive : int, default=1
        Code of the class that is 1 in this problem.
    """

    classes: np.ndarray
    factors: Any
    link: str
    dtype: str
    device: Any
    n: int
    positive: int = 1

    def __call__(self, rows):
        dtype = resolve_dtype(self.dtype)
        device = resolve_device(self.device, self.n, dtype=self.dtype)
        codes, weight = np.searchsorted(self.classes, rows.y), rows.weight
        if self.factors is not None:
            weight = self.factors[codes] * (1.0 if weight is None else weight)
        if weight is not None:
            weight = torch.from_numpy(weight).to(device, dtype)
        labels = torch.from_numpy(2.0 * (codes == self.positive) - 1.0)
        likelihood = Bernoulli(self.link, labels.to(device, dtype), weight)
        return Points(rows.X, dtype=dtype, device=device), likelihood


def _classes(rows):
    return np.unique(rows.y)


def _frequency(rows, classes):
    codes = np.searchsorted(classes, rows.y)
    return np.bincount(codes, weights=rows.weight, minlength=len(classes))
