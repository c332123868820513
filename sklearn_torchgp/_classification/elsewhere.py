"""Labels of rows that stay on a cluster: their classes, and how rows are bound."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets

from .._covariance import Points
from .._data.arrays import resolve_device, resolve_dtype
from .._likelihoods import Bernoulli


def coded(y, weight, others):
    """Classes (C,) of all rows, the code of each y, and frequencies (C,) by weight.

    Of `others`, a Table, y are but some.
    """
    if others is None:
        classes, codes = np.unique(y, return_inverse=True)
        return classes, codes, np.bincount(codes, weights=weight)
    classes = np.unique(np.concatenate(others.each(_classes)))
    check_classification_targets(classes)
    return classes, np.searchsorted(classes, y), others.total(_frequency, classes)


def shards_elsewhere(estimator, others, classes, factors):
    """None, or a function from the code of a class to the Shards of its problem."""
    if others is None:
        return None
    where = estimator.dtype, estimator.device, others.n
    bind = partial(Bind, classes, factors, estimator.link, *where)
    return lambda code: others.shards(bind(code))


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
    positive : int
        Code of the class that is 1 in this problem.
    """

    classes: np.ndarray
    factors: Any
    link: str
    dtype: str
    device: Any
    n: int
    positive: int

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
