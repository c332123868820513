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

    def workspace(self, dtype, device):
        """There is none: ValueError."""
        raise ValueError(ROWS_LEFT)


GONE = Gone()
