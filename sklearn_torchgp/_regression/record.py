"""What a regressor keeps between calls beside its fitted attributes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .target_transform import IDENTITY


@dataclass(frozen=True, eq=False)
class FitRecord:
    """Private state, replaced as a whole; that of its class before any `fit`.

    Attributes
    ----------
    kept, given, scatter, y_given : as in `Rows`
    columns : TrendColumns or None
        Of a trend whose coefficients are integrated out.
    transform : TargetMap or Identity
    kernel_given : kernel or None
        The parameter `kernel` of the last `fit`; None where it was "auto".
    factor_key : object
        What L_, or the terms of the evidence, were made from beyond the rows; None
        where they are not to be extended.
    seed : int
        Of the order of the rows.
    shards : object
        Of rows that are elsewhere, too: see `Model`.
    """

    kept: np.ndarray | None = None
    given: tuple[np.ndarray, np.ndarray] | None = None
    columns: Any = None
    transform: Any = IDENTITY
    kernel_given: Any = None
    factor_key: Any = None
    scatter: np.ndarray | None = None
    y_given: np.ndarray | None = None
    seed: int = 0
    shards: Any = None

    def changed(self, **values):
        """A copy with other values: `dataclasses.replace` takes three times as long."""
        copy = object.__new__(type(self))
        vars(copy).update(vars(self), **values)
        return copy

    def without_shards(self):
        """After a fit, which leaves them where they are."""
        return self if self.shards is None else self.changed(shards=self.shards.left)
