"""Where numbers live: devices, precisions, array kinds."""

import warnings

import numpy as np
import torch
from sklearn import get_config

from .._linalg.precision import has_float64
from ..exceptions import callers_level

# Of all tensors but one: in "mixed" the optimisation's factor is float32.
DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "mixed": torch.float64,
}

# Rows above which device="auto" takes the accelerator. Not measured yet (none at hand
# when this was written): below about a thousand rows the launch of a kernel costs more
# than its arithmetic on every machine reported in public threads.
ACCELERATOR_FROM_ROWS = 1000


def resolve_dtype(dtype):
    """The torch dtype that the `dtype` parameter names."""
    if dtype not in DTYPES:
        raise ValueError(
            f"The 'dtype' parameter must be one of {sorted(DTYPES)}. Got {dtype!r} "
            "instead."
        )
    return DTYPES[dtype]


def resolve_device(device, n_rows, *, dtype="float64", fitted=False):
    """The torch device that the `device` parameter means for n_rows rows.

    A fitted model that names an accelerator and is opened on a machine without it
    predicts on the CPU, with a warning.
    """
    if isinstance(device, str) and device == "auto":
        return _automatic(n_rows, dtype)
    wanted = _parsed(device)
    if wanted.type == "cpu":
        return wanted
    kind, count = accelerators()
    if wanted.type != kind or (wanted.index or 0) >= count:
        if fitted:
            warnings.warn(
                f"The model names device={device!r}, which this machine does not "
                "have; predicting on the CPU. Set device='auto' to choose by machine.",
                UserWarning,
                stacklevel=callers_level(),
            )
            return torch.device("cpu")
        has = f"{count} usable device(s) of type {kind!r}" if count else "none"
        raise ValueError(
            f"The 'device' parameter is {device!r}, but of accelerators that torch can "
            f"use this machine has {has}. Use device='auto' (the accelerator where "
            "there is one) or device='cpu'."
        )
    if not _serves(kind, dtype):
        raise ValueError(
            f"The 'dtype' parameter is {dtype!r}, but numbers on device={device!r} are "
            "float32 at most. Use dtype='float32' there, or device='cpu'."
        )
    return _numbered(wanted)


def accelerators():
    """Type and number of the accelerators that torch can use: ("cuda", 2), (None, 0).

    ROCm's are of type "cuda", too.
    """
    if not hasattr(torch, "accelerator"):  # before torch 2.6
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return ("cuda", count) if count else (None, 0)
    if not torch.accelerator.is_available():
        return None, 0
    kind = torch.accelerator.current_accelerator().type
    return kind, torch.accelerator.device_count()


def _automatic(n_rows, dtype):
    if n_rows >= ACCELERATOR_FROM_ROWS:
        kind, count = accelerators()
        if count and _serves(kind, dtype):
            return _numbered(torch.device(kind))
    return torch.device("cpu")


def _parsed(device):
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            "The 'device' parameter must be 'auto', 'cpu', the type of an accelerator "
            "that torch knows ('cuda', 'xpu', 'mps'), also with its number "
            f"('cuda:1'), or a torch.device. Got {device!r} instead."
        ) from error


def _serves(kind, dtype):
    return dtype == "float32" or has_float64(kind)


def _numbered(device):
    """With its index: tensors name it, and other threads have another current GPU."""
    return torch.empty(0, device=device).device


def is_foreign(array):
    """Whether array is a tensor or another array-API array, but not NumPy's."""
    return isinstance(array, torch.Tensor) or (
        hasattr(array, "__array_namespace__")
        and not isinstance(array, (np.ndarray, np.generic))
    )


def as_numpy(array):
    """A foreign array as NumPy on the CPU; anything else as it is."""
    if type(array) in (np.ndarray, float):  # most are
        return array
    if isinstance(array, torch.Tensor):
        return array.detach().cpu().resolve_conj().resolve_neg().numpy()
    if not is_foreign(array):
        return array
    try:
        return np.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError, ValueError):
        # The standard asks from_dlpack to copy off other devices when told to.
        return np.from_dlpack(array, device="cpu", copy=True)


def own_or_copy(array):
    """A NumPy array, copied where torch cannot take its memory as it is.

    That is foreign byte order (FITS and netCDF files), long doubles, negative strides,
    and read-only memory, which torch warns of.
    """
    known = array.dtype.isnative and array.dtype.itemsize <= 8
    if known and array.flags.writeable and all(step >= 0 for step in array.strides):
        return array
    long = array.dtype.kind == "f" and array.dtype.itemsize > 8
    return np.array(array, np.float64 if long else array.dtype.newbyteorder("="))


class ArrayKind:
    """The kind of array a caller uses, so that answers come back as the same.

    NumPy arrays, frames and lists are answered in NumPy; tensors as tensors on
    their own device; other array-API arrays in their namespace.
    """

    def __init__(self, array):
        self.foreign = is_foreign(array)
        self.device = getattr(array, "device", None) if self.foreign else None
        self.namespace = (
            array.__array_namespace__()
            if self.foreign and not isinstance(array, torch.Tensor)
            else None
        )

    @property
    def name(self):
        if not self.foreign:
            return "numpy"
        return "torch" if self.namespace is None else self.namespace.__name__

    def __call__(self, value):
        """A tensor or NumPy array as this kind of array; scalars pass through."""
        if not self.foreign:
            return as_numpy(value) if isinstance(value, torch.Tensor) else value
        if not isinstance(value, (torch.Tensor, np.ndarray)):
            return value
        if self.namespace is None:
            return torch.as_tensor(value, device=self.device)
        return self.namespace.asarray(as_numpy(value), device=self.device)


NUMPY = ArrayKind(None)

# Entries up to which a look at all of them is quicker than scikit-learn's checks.
FEW_ENTRIES = 2**15


def is_valid_table(X):
    """Whether `validate_data` would answer X itself: few rows of finite float64."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and X.dtype == np.float64
        and 0 < X.size <= FEW_ENTRIES
        and bool(np.isfinite(X).all())
    )


def is_valid_column(y, n):
    """Whether it would answer y itself: n values of finite float64."""
    return (
        type(y) is np.ndarray
        and y.dtype == np.float64
        and y.shape == (n,)
        and bool(np.isfinite(y).all())
    )


def check_same_kind(X, reference, method):
    """With array-API dispatch on, X must be of the namespace of the training rows."""
    if not get_config()["array_api_dispatch"]:
        return
    ours, theirs = ArrayKind(reference), ArrayKind(X)
    if (ours.name, ours.device) != (theirs.name, theirs.device):
        raise ValueError(
            f"Inputs passed to {method} must use the same namespace and the same "
            f"device as those passed to fit(): {ours.name} on {ours.device or 'cpu'}. "
            f"Got {theirs.name} on {theirs.device or 'cpu'}. Convert the input, or "
            "refit on this kind of array."
        )


def check_no_dates(X):
    """Raise TypeError for dates and durations, whose numbers depend on their unit."""
    if getattr(X, "dtype", None) is not None and X.dtype.kind in "mM":
        raise TypeError(
            f"X is of dtype {X.dtype}, which is no number: its values would depend on "
            "the unit. Convert it, for instance to days since the first: "
            "(X - X.min()) / numpy.timedelta64(1, 'D')."
        )
