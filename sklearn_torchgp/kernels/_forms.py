"""How a hyperparameter stands in theta: which of its elements, and by which map."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.gaussian_process.kernels import Hyperparameter

ALLOWED = (
    "a pair (lower, upper), 'fixed', or a list with one of these for each of its "
    "elements"
)


@dataclass(frozen=True)
class Form:
    """A hyperparameter, its values and bounds.

    Attributes
    ----------
    name : str
    value : ndarray
        All elements, in the shape that the kernel object has.
    free : ndarray of bool (value.size,)
        Elements that are part of theta; the others keep their value.
    bounds : ndarray (free.sum(), 2)
    linear : bool
        Whether elements stand in theta in units of a share of the width of their
        bounds, which an optimiser can take steps in; else by their logarithms.
    share : float
    """

    name: str
    value: np.ndarray
    free: np.ndarray
    bounds: np.ndarray
    linear: bool = False
    share: float = 1.0

    @property
    def plain(self):
        """Whether all elements stand in theta, in a row, by their logarithms."""
        return self.free.all() and not self.linear and self.value.ndim < 2

    @property
    def hyperparameter(self):
        """scikit-learn's description of the free elements."""
        if not self.free.any():
            return Hyperparameter(self.name, "numeric", "fixed", self.value.size)
        return Hyperparameter(self.name, "numeric", self.bounds, len(self.bounds))

    @property
    def unit(self):
        """Of each free element that is linear."""
        width = self.share * np.diff(self.bounds, axis=1)[:, 0]
        return np.where((width > 0) & np.isfinite(width), width, 1.0)

    @property
    def theta(self):
        values = self.value.reshape(-1)[self.free]
        return values / self.unit if self.linear else np.log(values)

    @property
    def theta_bounds(self):
        if self.linear:
            return self.bounds / self.unit[:, None]
        with np.errstate(divide="ignore"):  # a lower bound of 0 is none
            return np.log(self.bounds)

    @property
    def shown(self):
        """What a summary has a row for: values, and which of them are free."""
        return self.value.reshape(-1), self.free

    def value_at(self, part):
        """The value whose free elements stand in theta as `part`."""
        value = self.value.reshape(-1).copy()
        value[self.free] = part * self.unit if self.linear else np.exp(part)
        shape = self.value.shape
        return value.reshape(shape) if shape else float(value[0])

    def free_part(self, gradient):
        """The gradient in theta, from that in all elements (of their logarithms)."""
        found, index = gradient.reshape(-1), np.flatnonzero(self.free)
        if isinstance(found, torch.Tensor):
            index = torch.from_numpy(index).to(found.device)
        found = found if self.free.all() else found[index]
        if not self.linear:
            return found
        units = self.unit
        several = torch.from_numpy(units).to(found) if len(units) > 1 else units.item()
        return found * several


@dataclass(frozen=True)
class TiedForm(Form):
    """Elements that keep their ratios: in theta stands the mean of their logarithms.

    `free` and `bounds` are those of the one number, the geometric mean.
    """

    plain = False

    @property
    def theta(self):
        return np.full(self.free.sum(), np.log(self.value).mean())

    @property
    def shown(self):
        return np.exp(np.log(self.value).mean(keepdims=True)).reshape(-1), self.free

    def value_at(self, part):
        value = self.value * np.exp(part - self.theta)
        return value if self.value.shape else float(value[0])

    def free_part(self, gradient):
        return gradient.sum()


def form_of(
    kernel, name, value, bounds, *, linear=False, share=1.0, zero=False, tied=False
):
    """The Form of a kernel's hyperparameter; ValueError for values that are none.

    Parameters
    ----------
    kernel : Kernel
        For messages.
    name : str
    value : array-like
    bounds : pair, array (n, 2), "fixed", or list of pairs and "fixed"
    linear : bool
        Whether any number will do; else positive ones.
    share : float
        Of the width of the bounds, that is a unit of theta where linear.
    zero : bool
        Whether 0 will do, too, in elements that are fixed.
    tied : bool
        Whether the elements keep their ratios: one number with one pair of bounds.
    """
    array = _numbers(value)
    one = None if array is None else np.empty(1)
    free, limits = _bounds_of(kernel, name, one if tied else array, bounds, linear)
    kind = "finite numbers" if linear else "positive, finite numbers"
    good = array is not None and np.isfinite(array).all()
    if good and not linear:
        flat = array.reshape(-1)
        good = (flat >= 0 if zero else flat > 0).all()
        good = good and (tied or (flat[free] > 0).all())
    if not good:
        raise ValueError(
            f"The {name!r} parameter of {type(kernel).__name__} must hold {kind}. Got "
            f"{value!r} instead."
        )
    if tied:
        return TiedForm(name, array, free, limits)
    return Form(name, array, free, limits, linear, share)


def _numbers(value):
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _bounds_of(kernel, name, array, bounds, linear):
    """Which of the elements are free, and their bounds."""
    size = 1 if array is None else array.size

    def refuse():
        raise ValueError(
            f"The '{name}_bounds' parameter of {type(kernel).__name__} must be "
            f"{ALLOWED}, here {size}{'' if linear else '; bounds are not negative'}. "
            f"Got {bounds!r} instead."
        )

    if isinstance(bounds, str):
        pairs = [bounds]
    else:
        shape = np.shape(bounds) if not is_mixed(bounds) else None
        pairs = [bounds] if shape == (2,) else list(bounds) if shape != () else refuse()
    if len(pairs) == 1:
        pairs = pairs * size
    fixed = [isinstance(pair, str) for pair in pairs]
    if len(pairs) != size or {p for p in pairs if isinstance(p, str)} - {"fixed"}:
        refuse()
    limits = [_numbers(pair) for pair in pairs if not isinstance(pair, str)]
    for pair in limits:
        if pair is None or pair.shape != (2,) or not pair[0] <= pair[1]:
            refuse()
        if not linear and pair[0] < 0:
            refuse()
    return ~np.array(fixed, dtype=bool), np.array(limits).reshape(-1, 2)


def is_mixed(bounds):
    """Whether bounds are a list of which some elements are "fixed"."""
    return isinstance(bounds, (list, tuple)) and any(isinstance(b, str) for b in bounds)
