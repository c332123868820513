"""Blocks of few rows each: many in a batch, and batches in threads where that pays."""

from concurrent.futures import ThreadPoolExecutor

import torch

from ..._linalg.memory import row_blocks, size_on

# Bytes of the matrices of one batch. CPU: a dozen temporaries of this size come from
# the allocator's pool, larger ones are fresh pages each time (value and gradient, 5000
# terms, 32 neighbours: 0.20 s with 512 KiB, 0.26 with 256, 0.31 with 1 MiB or more).
# Accelerators: not measured.
BATCH_BYTES = {"cpu": 2**19, "accelerator": 256 * 2**20}


def batches(n_blocks, k, points):
    """Slices of blocks of k rows each."""
    size = k * k * points.itemsize
    most = max(1, size_on(points.device, BATCH_BYTES) // size)
    return row_blocks(n_blocks, size, points.device, at_least=1, at_most=most)


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
