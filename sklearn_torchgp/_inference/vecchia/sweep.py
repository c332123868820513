"""Blocks of few rows each: many in a batch, and batches in threads where that pays."""

from concurrent.futures import ThreadPoolExecutor

import torch

from ..._linalg.memory import row_blocks


def batches(n_blocks, k, points):
    """Slices of blocks whose matrices (k, k) stay within the memory budget."""
    return row_blocks(n_blocks, k * k * points.itemsize, points.device, at_least=1)


def sweep(function, slices, at):
    """function(i, slice) for every slice; each writes to a place of its own.

    On a CPU torch's batched factorisations use one core, so there threads take a slice
    each, with one core each. A NumPy kernel holds Python's lock, and need not bear it.
    """
    threads = min(torch.get_num_threads(), len(slices))
    if threads <= 1 or at.points.device.type != "cpu" or not at.tree.blockwise:
        for i, some in enumerate(slices):
            function(i, some)
        return
    own = torch.get_num_threads()
    one_core = {"initializer": torch.set_num_threads, "initargs": (1,)}
    try:
        with ThreadPoolExecutor(threads, **one_core) as pool:
            list(pool.map(function, range(len(slices)), slices))
    finally:  # what a thread says of itself new threads would take over
        torch.set_num_threads(own)
