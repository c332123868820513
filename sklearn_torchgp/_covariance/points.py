"""Rows of data in the forms that kernels ask for."""

import weakref
from functools import cached_property

import numpy as np
import torch

from .._data.arrays import own_or_copy
from .._linalg.precision import has_float64
from .distance import Separation


class Points:
    """n rows, as objects for NumPy kernels and as tensors for torch kernels.

    Parameters
    ----------
    X : ndarray of shape (n, d), or list of n objects
    dtype, device
        Of the tensors.
    origin : Points, default=itself
        Whose mean `centred` subtracts: new rows are centred as the training rows.

    Attributes
    ----------
    objects : X as given
    shape : tuple
        (n,), or (b, n) for batches.
    raw : tensor of shape (n, d)
    centred : tensor of shape (n, d)
        X less the centre, subtracted *before* the cast to `dtype`: float32 keeps
        the digits of data far from zero. For kernels that depend on x - z only.
    """

    def __init__(self, X, *, dtype, device, origin=None):
        if X is not None:  # else an index array has taken them: see `objects`
            self.objects, self.shape = X, (len(X),)
        self.dtype, self.device = dtype, device
        self.form = dtype, device
        self._origin = origin
        self._whole = self._rows = None
        self._pairs, self._partner, self._separation = {}, None, None
        self._selected = {}

    def __copy__(self):
        """The same rows, but others to whoever asks whether rows meet themselves."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), _selected={})
        return other

    @property
    def n(self):
        """Number of rows, in each batch."""
        return self.shape[-1]

    @cached_property
    def objects(self):
        """Of points that an index array took: copied where a NumPy kernel asks."""
        whole, rows = self._whole.objects, self._rows.cpu().numpy()
        return (
            whole[rows] if isinstance(whole, np.ndarray) else [whole[i] for i in rows]
        )

    @cached_property
    def centre(self):
        if self._origin is not None:
            return self._origin.centre
        return np.asarray(self.objects, dtype=np.float64).mean(axis=0)

    @cached_property
    def raw(self):
        if self._whole is not None:
            return self._whole.raw[self._rows]
        return self._tensor(np.asarray(self.objects))

    @cached_property
    def centred(self):
        if self._whole is not None:
            return self._whole.centred[self._rows]
        return self._tensor(np.asarray(self.objects, dtype=np.float64) - self.centre)

    @cached_property
    def squares(self):
        """(x_ik - x_jk)^2 for all pairs: ndarray (d, n n), or None out of range."""
        X = np.asarray(self.objects, dtype=np.float64)
        difference = np.abs(X[:, None] - X)
        positive = difference[difference > 0]
        # Beyond these the squares could leave the range of floats.
        if positive.size and (positive.min() < 1e-90 or not positive.max() < 1e90):
            return None
        return np.square(difference).transpose(2, 0, 1).reshape(X.shape[1], -1)

    def apart(self, other):
        """The differences between these rows and those of `other`."""
        if self._partner is not None and self._partner() is other:
            if self._separation is None:
                self._separation = Separation(self.centred, other.centred, kept=True)
            return self._separation
        return Separation(self.centred, other.centred)

    def lower_blocks(self, blocks, *, keep):
        """Rows and columns of blocks of the lower triangle: pairs of Points.

        With `keep` they are the same at every call, and remember their distances.
        """
        pairs = self._pairs.get(len(blocks))
        if pairs is None:
            pairs = [(self[rows], self[slice(0, rows.stop)]) for rows in blocks]
            if keep:
                for rows, columns in pairs:
                    rows._partner = weakref.ref(columns)
                    for view in {rows, columns} - {self}:  # a cycle would outlive us
                        view._whole = view._origin = weakref.proxy(self)
                self._pairs[len(blocks)] = pairs
        return pairs

    @property
    def itemsize(self):
        """Bytes of one number."""
        return torch.finfo(self.dtype).bits // 8

    def numbers(self, values):
        """An array of hyperparameters as a tensor without axes of length 1."""
        return torch.as_tensor(values).squeeze().to(self.device, self.dtype)

    def zeros(self, *shape):
        """Zeros of the working dtype on the device."""
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def others(self, X):
        """Further rows on the same centre, dtype and device."""
        return Points(X, dtype=self.dtype, device=self.device, origin=self)

    def alone(self):
        """The same rows about their own mean: that of many rows takes its time."""
        return Points(self.objects, dtype=self.dtype, device=self.device)

    def double(self):
        """The same rows in float64, on the CPU where their device has none."""
        if self.dtype == torch.float64:
            return self
        device = self.device if has_float64(self.device.type) else torch.device("cpu")
        return Points(self.objects, dtype=torch.float64, device=device, origin=self)

    def __getitem__(self, rows):
        """The same points restricted to a slice of rows (tensors are views), or to an
        index array; one of shape (b, k) makes b batches of k rows.
        """
        if isinstance(rows, slice):
            if rows.start == 0 and rows.stop == self.n:
                return self
            view = self.others(self.objects[rows])
        else:
            rows = torch.as_tensor(rows, device=self.device)
            view = self.others(None)
            view.shape = tuple(rows.shape)
        view._whole, view._rows = self, rows
        return view

    def columns(self, index):
        """The same rows, of which only some columns are seen: a tuple of ints."""
        view = self._selected.get(index)
        if view is not None:
            return view
        if self._whole is not None:
            view = self._whole.columns(index)[self._rows]
        else:
            chosen = list(index)
            view = Points(
                np.asarray(self.objects)[:, chosen],
                dtype=self.dtype,
                device=self.device,
            )
            view.centre = self.centre[chosen]
        self._selected[index] = view
        if self._partner is not None:
            view._partner = weakref.ref(self._partner().columns(index))
        return view

    def block(self, i):
        """Batch i of points that an index array took; unbatched points themselves."""
        return self._whole[self._rows[i]] if len(self.shape) > 1 else self

    def _tensor(self, array):
        array = own_or_copy(np.ascontiguousarray(array))
        return torch.from_numpy(array).to(device=self.device, dtype=self.dtype)
