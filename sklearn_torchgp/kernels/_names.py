"""Kernels that ask for columns of the rows, by position or by name."""

import numpy as np
from sklearn.base import clone

from ._base import Kernel


class Named(Kernel):
    """A kernel that remembers the names of all columns, where it was told them.

    Copies know them, too: an estimator tells the kernel that it fits, and that one is
    cloned again and again.
    """

    _names = None

    def __sklearn_clone__(self):
        params = self.get_params(deep=False)
        copy = type(self)(**{k: clone(v, safe=False) for k, v in params.items()})
        copy._names = self._names
        return copy

    def acquaint(self, names, X, y):
        if names is not None:
            self._names = tuple(names)
        super().acquaint(names, X, y)

    def positions(self, parameter, d):
        """The positions, among d columns, that a parameter asks for: tuple of int.

        It holds one position or name, or several, or a slice or a mask.
        """
        asked = getattr(self, parameter)
        if isinstance(asked, slice):
            found = np.arange(d)[asked]
        else:
            several = [asked] if isinstance(asked, (str, int, np.integer)) else asked
            try:
                by_name = len(several) and all(isinstance(c, str) for c in several)
            except TypeError:
                self._refuse(parameter, "positions, names, a slice or a mask")
            find = self._called if by_name else self._numbered
            found = find(parameter, several, d)
        if not len(found):
            self._refuse(parameter, f"at least one of the {d} columns of X")
        return tuple(int(i) for i in found)

    def _called(self, parameter, several, d):
        if self._names is None or len(self._names) != d:
            self._refuse(
                parameter,
                "positions, a slice or a mask: names are known only where one of our "
                "estimators is fitted to a data frame, or the kernel called with one",
            )
        if not set(several) <= set(self._names):
            self._refuse(parameter, f"names among {list(self._names)}")
        return [self._names.index(name) for name in several]

    def _numbered(self, parameter, several, d):
        array = np.asarray(several)
        if array.dtype == bool:
            if array.shape != (d,):
                self._refuse(parameter, f"a mask of {d} entries, the columns of X")
            return np.flatnonzero(array)
        good = array.ndim == 1 and (array.dtype.kind in "iu" or not array.size)
        if not good or (array < -d).any() or (array >= d).any():
            self._refuse(parameter, f"positions below {d}, the number of columns of X")
        return array % d

    def _refuse(self, parameter, allowed):
        raise ValueError(
            f"The {parameter!r} parameter of {type(self).__name__} must be {allowed}. "
            f"Got {getattr(self, parameter)!r} instead."
        )
