"""Rows of data in the forms that kernels ask for."""

from functools import cached_property

import numpy as np
import torch


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
    raw : tensor of shape (n, d)
    centred : tensor of shape (n, d)
        X less the centre, subtracted *before* the cast to `dtype`: float32 keeps
        the digits of data far from zero. For kernels that depend on x - z only.
    """

    def __init__(self, X, *, dtype, device, origin=None):
        self.objects = X
        self.n = len(X)
        self.dtype, self.device = dtype, device
        self._origin = origin

    @cached_property
    def centre(self):
        if self._origin is not None:
            return self._origin.centre
        return np.asarray(self.objects, dtype=np.float64).mean(axis=0)

    @cached_property
    def raw(self):
        return self._tensor(np.asarray(self.objects))

    @cached_property
    def centred(self):
        return self._tensor(np.asarray(self.objects, dtype=np.float64) - self.centre)

    @property
    def itemsize(self):
        """Bytes of one number."""
        return torch.finfo(self.dtype).bits // 8

    def zeros(self, *shape):
        """Zeros of the working dtype on the device."""
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def others(self, X):
        """Further rows on the same centre, dtype and device."""
        return Points(X, dtype=self.dtype, device=self.device, origin=self)

    def __getitem__(self, rows):
        """The same points restricted to a slice of rows; tensors are views."""
        if rows.start == 0 and rows.stop == self.n:
            return self
        view = self.others(self.objects[rows])
        for form in {"raw", "centred"} & vars(self).keys():
            vars(view)[form] = vars(self)[form][rows]
        return view

    def _tensor(self, array):
        array = np.ascontiguousarray(array)
        if not array.flags.writeable:  # torch.from_numpy warns of read-only memory
            array = array.copy()
        return torch.from_numpy(array).to(device=self.device, dtype=self.dtype)
