"""Fitted attributes <-> named tensors: the one store and the one load.

Fitted attributes *are* the state: what a posterior keeps is stored under the names of
attributes, and read from them anew at every call, so that assigning one takes effect at
once.
"""

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.exceptions import NotFittedError

from .._data.arrays import own_or_copy, resolve_dtype

# Attributes that name rows: they stay whole numbers.
ROW_NUMBERS = {"order_", "neighbors_"}


class FittedArrays(Mapping):
    """Attributes of an estimator as tensors of its working dtype on a device, lazily.

    On a CPU an array is the attribute's own memory. A copy on an accelerator is kept,
    and used again only while the attribute is the very object it was made from.
    """

    def __init__(self, estimator, device):
        self._estimator, self._device = estimator, device
        self._dtype = resolve_dtype(estimator.dtype)

    def __getitem__(self, name):
        source = getattr(self._estimator, name, None)
        if source is None:
            kind = type(self._estimator).__name__
            raise NotFittedError(
                f"This {kind} has no {name!r}. Before the end of 'fit', and so in an "
                "'objective' that it calls, nothing can be predicted: clone the "
                "estimator and fit the clone."
            )
        if self._device.type == "cpu":
            return self._tensor(name, source)
        copies = vars(self._estimator).setdefault("_device_copies", {})
        kept_source, kept = copies.get(name, (None, None))
        here = kept is not None and kept.device == self._device
        if not (here and kept_source is source and kept.dtype == self._dtype):
            kept = self._tensor(name, source)
            copies[name] = (source, kept)
        return kept

    def get(self, name, default=None):
        """The tensor, or the default where there is no such attribute."""
        missing = getattr(self._estimator, name, None) is None
        return default if missing else self[name]

    def __iter__(self):
        return iter(vars(self._estimator))

    def __len__(self):
        return len(vars(self._estimator))

    def _tensor(self, name, source):
        if isinstance(source, np.ndarray):
            source = own_or_copy(source)
        tensor = torch.as_tensor(source)
        dtype = tensor.dtype if name in ROW_NUMBERS else self._dtype
        return tensor.to(device=self._device, dtype=dtype)


def store(estimator, arrays, kind):
    """Set what a posterior keeps as attributes, in the caller's kind of array."""
    for name, value in arrays.items():
        setattr(estimator, name, kind(value))


def without_device_copies(state):
    """What is pickled of an estimator's attributes: CPU tensors, no device copies."""
    return {
        name: value.cpu() if isinstance(value, torch.Tensor) else value
        for name, value in state.items()
        if name != "_device_copies"
    }
