"""Rows that are not here: how Dask arrays are known, and what is left of them."""

import sys
from dataclasses import dataclass

from ..exceptions import ROWS_LEFT


def is_dask(array):
    """Whether it is a Dask array; Dask is not imported to say so."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(array, module.Array)


@dataclass(frozen=True)
class Gone:
    """In the place of shards after a fit, which leaves them where they are."""

    @property
    def n(self):
        """Nobody knows: ValueError."""
        raise ValueError(ROWS_LEFT)

    def workspace(self, dtype, device):
        """There is none: ValueError."""
        raise ValueError(ROWS_LEFT)


GONE = Gone()


def weights_of_all(weight, others):
    """Of the rows here or, where they are a draw of others, the extremes of all."""
    return weight if others is None or others.are_all_here else others.weights
