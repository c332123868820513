"""Memory that is used again, blocks of rows, and words for memory that was not had."""

from contextlib import contextmanager

import torch

# Bytes that one block of rows may take. CPU: blocks of 1 to 8 MiB (cache-sized) gave
# the fastest elementwise passes on 2 cores; half a dozen of them stand beside the one
# n x n matrix of a likelihood with its gradient. Accelerators: not measured.
BLOCK_BYTES = {"cpu": 2 * 2**20, "accelerator": 256 * 2**20}


def size_on(device, sizes):
    """Which of sizes, {"cpu": size, "accelerator": size}, is meant for a device."""
    return sizes["cpu" if device.type == "cpu" else "accelerator"]


class Workspace:
    """Where a method computes: with the same memory at every evaluation.

    Parameters
    ----------
    dtype : torch.dtype
    device : torch.device

    Attributes
    ----------
    kept : dict
        Whatever serves again within an evaluation; cleared at the end of it.
    """

    def __init__(self, dtype, device):
        self._options = {"dtype": dtype, "device": device}
        self._buffers, self.kept = {}, {}

    @property
    def n_bytes(self):
        """Of all buffers."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def buffer(self, name, *shape):
        """The tensor of this name, with what is in it; made anew for a new shape."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != shape:
            buffer = self._buffers[name] = torch.empty(shape, **self._options)
        return buffer

    def sum(self, function, covariance, likelihood, *args):
        """What ``function(covariance, likelihood, *args, work)`` says of all rows.

        The function answers with a list of things that add up over shards of rows. Here
        there is one shard, the rows of the covariance; where rows are on other machines
        these take the place of it, and none but the sums travel.
        """
        return function(covariance, likelihood, *args, self)

    def share(self, terms):
        """What stands for terms in a sum over them, whose every shard has all rows.

        Here all terms are the one shard's; ``terms.parts(n)`` are those of n shards.
        """
        return terms

    def each(self, function, covariance, likelihood, *args):
        """The same of a function that also has an answer for each shard.

        Its answer is ``own, sums``. What it has of its `own` stays where the rows are;
        here comes what stands for it, which may be an argument of further functions:
        they find their own there.
        """
        return function(covariance, likelihood, *args, self)


@contextmanager
def memory_for(what, n_bytes, device, cure):
    """Turn a failed allocation into a MemoryError that says what needed how much.

    `cure` is a sentence, or a function that makes one.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        words = "can't allocate memory", "out of memory"  # the CPU's, and MPS's
        if not (known or any(phrase in str(error) for phrase in words)):
            raise
        raise MemoryError(
            f"{what} needs at least {n_bytes / 2**30:.3g} GiB on {device}, which could "
            f"not be had. {cure() if callable(cure) else cure}"
        ) from error


def row_blocks(n_rows, bytes_per_row, device, at_least=64, at_most=None):
    """Slices of rows whose blocks stay within the memory budget of the device.

    Blocks of `at_least` rows may exceed it.
    """
    size = max(at_least, size_on(device, BLOCK_BYTES) // max(1, bytes_per_row))
    size = min(size, at_most or size)
    return [slice(i, min(i + size, n_rows)) for i in range(0, n_rows, size)]
