"""float64 for answers, also from devices that have none; float32 at its full speed."""

import math

import torch

# Types of accelerators whose numbers are float32 at most.
WITHOUT_FLOAT64 = {"mps"}


def has_float64(device_type):
    """Whether devices of a type have float64."""
    return device_type not in WITHOUT_FLOAT64


def double(tensor):
    """The tensor in float64; on the CPU where its device has none."""
    if not has_float64(tensor.device.type):
        tensor = tensor.cpu()
    return tensor.double()


# Entries of a matrix below this part of its least diagonal entry are nothing to a
# float32 factor, whose round-off is 1e5 times as large.
FAINT = 1e-12


def without_faint_(K):
    """Overwrite entries of the lower triangle of a float32 K on a CPU that are nothing.

    Sums of products of them are denormal numbers, which a CPU takes many times as long
    for: an evaluation of 1000 rows in 16 dimensions took 0.7 s with them and 0.045 s
    without.
    """
    if K.dtype != torch.float32 or K.device.type != "cpu":
        return K
    least = FAINT * K.diagonal().min().item()
    if 0 < least < math.inf:
        for i in range(0, K.shape[0], 128):
            rows = K[i : i + 128, : i + 128]
            rows.copy_(torch.nn.functional.hardshrink(rows, least))
    return K
