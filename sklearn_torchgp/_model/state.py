"""Fitted attributes <-> named tensors: the one store and the one load.

Fitted attributes *are* the state: what a posterior keeps is stored under the names of
attributes, and read from them anew at every call, so that assigning one takes effect at
once. What is made of them serves again only under a key: the values that it was made
of, as they were and as they are now, in microseconds. Writing into an array of few rows
changes the key; of many rows nothing is kept.
"""

from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.exceptions import NotFittedError

from .._covariance import hyperparameters, registry_version
from .._covariance.hyperparameters import is_constant, reader
from .._data.arrays import own_or_copy, resolve_dtype
from .._linalg.memory import Workspace

# Bytes of an array that are compared at every call (8000 numbers), and of a workspace
# that is kept (the Gram matrix of a thousand rows).
MOST_COMPARED = 2**16
MOST_KEPT = 2**23

# Attributes that name rows: they stay whole numbers.
ROW_NUMBERS = {"order_", "neighbors_"}


class Kept:
    """What an estimator holds between calls for speed alone; `fit` begins a new one.

    It is no part of the state: not pickled, and no answer depends on it.

    Attributes
    ----------
    tensors : dict
        Name of an attribute -> (the object that it was, its tensor).
    binding : Binding or None
    """

    def __init__(self):
        self.tensors, self.binding = {}, None
        self._workspaces = []

    @contextmanager
    def workspace(self, points):
        """A Workspace for these Points, which no other thread has at the same time."""
        form = points.dtype, points.device
        try:
            kept_form, work = self._workspaces.pop()
        except IndexError:
            kept_form = None
        if kept_form != form:
            work = Workspace(*form)
        yield work
        if work.n_bytes <= MOST_KEPT:
            self._workspaces[:] = [(form, work)]


class Binding:
    """Something made of an estimator's attributes, and what they were then.

    Parameters
    ----------
    estimator : object
        With a kernel `kernel_`.
    names : tuple of str
        Of further attributes.
    *more : object
        Constants that it depends on, too.

    Attributes
    ----------
    made : object
        Set by whoever makes it, after this.
    """

    def __init__(self, estimator, names, *more):
        self.made, self._more = None, (registry_version(), *more)
        # Not the estimator's own dict, which this would outlive.
        self._own = [(name, getattr(estimator, name, None)) for name in names]
        self._own.append(("kernel_", estimator.kernel_))
        of_kernel = hyperparameters.sources(estimator.kernel_)
        self._of_kernel = of_kernel or ()
        values = [value for _, value in self._own[:-1]]
        self._notices = of_kernel is not None and all(map(_is_noticed, values))
        values += [value for *_, value in self._of_kernel]
        readers = filter(None, map(reader, values)) if self._notices else ()
        self._contents = [(read, read()) for read in readers]

    def holds(self, estimator, *more):
        """Whether everything is surely what it was."""
        attributes = vars(estimator)
        for name, value in self._own:
            if attributes.get(name) is not value:
                return False
        for attributes, name, value in self._of_kernel:
            if attributes.get(name) is not value:
                return False
        for read, content in self._contents:
            if read() != content:
                return False
        return self._notices and self._more == (registry_version(), *more)


def _is_noticed(value):
    """Whether a change of an attribute would be: in a small array, else by identity."""
    if is_constant(value):
        return getattr(value, "nbytes", 0) <= MOST_COMPARED
    return type(value).__eq__ is object.__eq__


class FittedArrays(Mapping):
    """Attributes of an estimator as tensors of its working dtype on a device, lazily.

    On a CPU an array is the attribute's own memory. That tensor, or a copy on an
    accelerator, serves again while the attribute is the very object it was made from.
    """

    def __init__(self, estimator, device):
        self._estimator, self._device = estimator, device
        self._dtype = resolve_dtype(estimator.dtype)
        self._kept = kept_by(estimator).tensors

    def source(self, name):
        """The attribute itself; NotFittedError where there is none."""
        source = getattr(self._estimator, name, None)
        if source is None:
            kind = type(self._estimator).__name__
            raise NotFittedError(
                f"This {kind} has no {name!r}. Before the end of 'fit', and so in an "
                "'objective' that it calls, nothing can be predicted: clone the "
                "estimator and fit the clone."
            )
        return source

    def __getitem__(self, name):
        source, tensors = self.source(name), self._kept
        kept_source, tensor = tensors.get(name, (None, None))
        same = kept_source is source and tensor.device == self._device
        if same and (name in ROW_NUMBERS or tensor.dtype == self._dtype):
            return tensor
        tensor = self._tensor(name, source)
        own = isinstance(source, np.ndarray) and tensor.data_ptr() == source.ctypes.data
        if own or self._device.type != "cpu":
            tensors[name] = source, tensor
        return tensor

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


def kept_by(estimator):
    """The `Kept` of an estimator; one that nobody keeps before any `fit`."""
    return vars(estimator).get("_kept") or Kept()


def without_kept(state):
    """What is pickled of an estimator's attributes: tensors as those of the CPU."""
    return {
        name: value.cpu() if isinstance(value, torch.Tensor) else value
        for name, value in state.items()
        if name != "_kept"
    }
