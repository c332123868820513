"""Weights of networks within a kernel: what is trained beside theta."""

import numpy as np

from .hyperparameters import is_kernel


def networks(kernel):
    """The parts of a kernel that have weights, in the order of its nodes."""
    found = [kernel] if hasattr(kernel, "own_weights") else []
    for part in vars(kernel).values():  # get_params takes ten times as long
        if is_kernel(part):
            found += networks(part)
    return found


def weights_of(kernel):
    """All weights of a kernel: ndarray (w,)."""
    return np.concatenate([np.empty(0), *(k.own_weights() for k in networks(kernel))])


def set_weights(kernel, weights):
    """Give a kernel's networks their weights."""
    stop = 0
    for part in networks(kernel):
        start, stop = stop, stop + len(part.own_weights())
        part.set_own_weights(weights[start:stop])
