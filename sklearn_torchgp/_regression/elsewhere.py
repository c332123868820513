"""Rows that stay on a cluster: what targets say in sums, and how rows are bound."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .._covariance import Points
from .._data.arrays import as_numpy, resolve_device, resolve_dtype
from .attributes import targets_of
from .observations import observations, training_noise
from .targets import Targets, scale_of


def targets_elsewhere(estimator, others):
    """The Targets that `Targets.fit` learns, from sums over the rows of a Table.

    None where all rows are here.
    """
    if others is None or others.are_all_here:
        return None
    in_float32 = estimator.dtype == "float32" and estimator.mean != "zero"
    normalizes = estimator._normalizes_y
    if not normalizes and not in_float32:
        shape = others.each(_shape)[0] or 1
        return Targets(np.zeros(shape), np.ones(shape))
    total, *sums = others.total(_sums)
    shape = others.each(_shape)[0]
    offset = np.reshape(np.array(sums) / total, shape)
    if not normalizes:
        return Targets(offset, np.ones(shape or 1))
    squares = np.reshape(others.total(_squares, offset), shape)
    return Targets(offset, scale_of(offset, np.sqrt(squares / total)))


def shards_elsewhere(estimator, others, merges):
    """All rows as the method of a fit sees them, of which some or all are here."""
    if others.are_all_here:
        return others.shards(estimator._model())
    alpha = np.asarray(as_numpy(estimator.alpha)).item()
    columns, targets = estimator._fit_record.columns, targets_of(estimator)
    where = estimator.dtype, estimator.device, others.n
    return others.shards(Bind(targets, columns, alpha, merges, *where))


@dataclass(frozen=True)
class Bind:
    """Rows of a part -> Points and Observations, where they are.

    Attributes
    ----------
    targets : Targets
    columns : TrendColumns or None
    alpha : float
    merges : bool
        Whether equal rows may be kept once.
    dtype, device : as the estimator has them
    n : int
        Number of all rows, which decides on the device.
    """

    targets: Targets
    columns: Any
    alpha: float
    merges: bool
    dtype: str
    device: Any
    n: int

    def __call__(self, rows):
        rows = self.targets.of(rows)
        if self.merges:
            rows = rows.averaged(self.alpha)
        dtype = resolve_dtype(self.dtype)
        device = resolve_device(self.device, self.n, dtype=self.dtype)
        points = Points(rows.X, dtype=dtype, device=device)
        known, scale = rows.noise_variance, self.targets.scale
        likelihood = observations(
            torch.as_tensor(rows.y).to(device, dtype),
            training_noise(self.alpha, None, known, scale),
            weight=rows.weight,
            columns=self.columns,
            X=rows.X,
            **rows.merging,
        )
        return points, likelihood


def _shape(rows):
    return rows.y.shape[1:]


def _sums(rows):
    """Of the weights, and of each target: (1 + t,)."""
    weight, y = _columns(rows)
    return np.r_[weight.sum(), weight @ y]


def _squares(rows, offset):
    """Of each target about the offset: (t,)."""
    weight, y = _columns(rows)
    return weight @ (y - offset) ** 2


def _columns(rows):
    n = len(rows.y)
    weight = np.ones(n) if rows.weight is None else rows.weight
    return weight, rows.y.reshape(n, -1).astype(np.float64)
