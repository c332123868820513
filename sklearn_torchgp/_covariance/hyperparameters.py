"""What a kernel object says of itself, read from its attributes.

`theta`, `bounds` and `clone` of a scikit-learn kernel look through `dir` and the
constructor's signature at every call: 0.1 ms for a sum of three. scikit-learn's own
classes keep a rule that makes a few microseconds of it: a parameter is the attribute
of its name, and the bounds of a hyperparameter `p` are the attribute `p_bounds`. A
kernel of any other class, or with values of unusual types, is asked itself.
"""

from functools import cache, partial
from inspect import signature
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process import kernels

# Types whose values never change.
_PLAIN = {float, int, bool, str, type(None), np.float64}
_SEQUENCES = {list, tuple}

# What may have an element for each feature; any other hyperparameter is one number.
_VECTORS = {(kernels.RBF, "length_scale"), (kernels.Matern, "length_scale")}


class Hyperparameter(NamedTuple):
    """What scikit-learn's says, less its type and bounds."""

    name: str
    n_elements: int
    fixed: bool


class _Class(NamedTuple):
    parameters: frozenset
    hyperparameters: tuple


@cache
def _read(cls):
    """The names of a class that keeps the rule, else None."""
    if cls.__module__ != kernels.__name__ or cls is kernels.CompoundKernel:
        return None
    mark = "hyperparameter_"
    names = [name.removeprefix(mark) for name in dir(cls) if name.startswith(mark)]
    return _Class(frozenset(signature(cls).parameters), tuple(names))


def _attributes(kernel):
    """The attributes of a kernel that keeps the rule, else None."""
    names = _read(type(kernel))
    same = names is not None and vars(kernel).keys() == names.parameters
    return vars(kernel) if same else None


def sources(kernel):
    """All attributes that the kernel's values depend on, as (dict, name, value).

    None where they cannot be told. What changes in place has a `reader`.
    """
    found = []
    return found if _append_sources(kernel, found) else None


def _append_sources(kernel, found):
    attributes = _attributes(kernel)
    if attributes is None:
        return False
    for name, value in attributes.items():
        found.append((attributes, name, value))
        if not (is_constant(value) or _append_sources(value, found)):
            return False
    return True


def is_constant(value):
    """Whether a value is made of numbers and strings, in arrays, lists and tuples."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is np.ndarray:
        return not value.dtype.hasobject
    if kind in _SEQUENCES:
        return _PLAIN.issuperset(map(type, value)) or all(map(is_constant, value))
    return isinstance(value, np.number)


def reader(value):
    """() -> what differs from its last answer once a constant changed in place.

    None of a constant that cannot.
    """
    kind = type(value)
    if kind is np.ndarray:
        return value.tobytes
    if kind is list or (kind is tuple and not _PLAIN.issuperset(map(type, value))):
        return partial(_content, value)
    return None


@cache
def _is_kernel_class(cls):
    return issubclass(cls, kernels.Kernel)


def is_kernel(value):
    """Whether it is a kernel; to ask the abstract class takes ten times as long."""
    return _is_kernel_class(type(value))


def key(kernel):
    """What equals that of another kernel of the same form and values, or None."""
    found = sources(kernel)
    if found is None:
        return None
    return type(kernel), *[(name, _content(value)) for _, name, value in found]


def _content(value):
    """What equals that of an equal constant, or of a kernel of the same class."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in _SEQUENCES:
        return tuple(map(_content, value))
    if kind is np.ndarray:
        return value.shape, value.tobytes()
    return kind if is_kernel(value) else value


def copied(kernel):
    """What `sklearn.base.clone` answers."""
    attributes = _attributes(kernel)
    if attributes is None:
        return clone(kernel)
    copy = object.__new__(type(kernel))
    values = vars(copy)
    values.update(attributes)
    for name, value in attributes.items():
        if type(value) in _PLAIN:
            continue
        if is_kernel(value):
            values[name] = copied(value)
        elif is_constant(value):
            values[name] = _copied_constant(value)
        else:
            return clone(kernel)
    return copy


def _copied_constant(value):
    kind = type(value)
    if kind is tuple and _PLAIN.issuperset(map(type, value)):
        return value
    if kind in _SEQUENCES:
        return kind(map(_copied_constant, value))
    return value.copy() if kind is np.ndarray else value


def parameters(kernel):
    """What ``kernel.get_params(deep=False)`` answers."""
    attributes = _attributes(kernel)
    return kernel.get_params(deep=False) if attributes is None else dict(attributes)


def hyperparameters(kernel):
    """Of a kernel without parts: what its ``hyperparameters`` answers."""
    attributes = _attributes(kernel)
    if attributes is None:
        return kernel.hyperparameters
    found = []
    for name in _read(type(kernel)).hyperparameters:
        n_elements = _n_elements(type(kernel), name, attributes[name])
        if n_elements and _is_usual(attributes[f"{name}_bounds"]):
            fixed = attributes[f"{name}_bounds"] == "fixed"
            found.append(Hyperparameter(name, n_elements, fixed))
        else:  # perhaps with an error
            found.append(getattr(kernel, f"hyperparameter_{name}"))
    return found


def _n_elements(cls, name, value):
    if type(value) in _PLAIN:
        return 1
    vector = type(value) is np.ndarray and value.ndim == 1 and (cls, name) in _VECTORS
    return len(value) if vector else None


def _is_usual(bounds):
    """Whether the bounds are "fixed", or one pair of floats."""
    if type(bounds) is not tuple:
        return type(bounds) is str and bounds == "fixed"
    return len(bounds) == 2 and all(type(one) is float for one in bounds)


def theta(kernel):
    """What ``kernel.theta`` answers."""
    free = _free(kernel)
    if not free:
        return kernel.theta
    values = []
    for leaf, hyper in free:
        value = getattr(leaf, hyper.name)
        values += [value] if type(value) in _PLAIN else list(np.ravel(value))
    return np.log(np.array(values, dtype=np.float64))


def set_theta(kernel, theta):
    """What ``kernel.theta = theta`` does."""
    free = _free(kernel)
    if free is None or len(theta) != sum(h.n_elements for _, h in free):
        kernel.theta = theta  # an error, if it is of another length
        return
    stop = 0
    for leaf, hyper in free:
        start, stop = stop, stop + hyper.n_elements
        here = start if hyper.n_elements == 1 else slice(start, stop)
        setattr(leaf, hyper.name, np.exp(theta[here]))


def n_dims(kernel):
    """What ``kernel.n_dims`` answers."""
    free = _free(kernel)
    return kernel.n_dims if free is None else sum(h.n_elements for _, h in free)


def bounds(kernel):
    """What ``kernel.bounds`` answers."""
    free, pairs = _free(kernel), []
    for leaf, hyper in free or ():
        pair = getattr(leaf, f"{hyper.name}_bounds")
        if not _is_usual(pair):
            return kernel.bounds
        pairs += [pair] * hyper.n_elements
    return np.log(np.array(pairs)) if pairs else kernel.bounds


def _free(kernel):
    """(leaf, hyperparameter) of all that are free, in the order of theta, or None."""
    leaves = []
    if not _append_leaves(kernel, leaves):
        return None
    return [
        (leaf, hyper)
        for leaf in leaves
        for hyper in hyperparameters(leaf)
        if not hyper.fixed
    ]


def _append_leaves(kernel, leaves):
    """Append the kernels without parts; whether all of them keep the rule."""
    attributes = _attributes(kernel)
    if attributes is None:
        return False
    parts = [one for one in attributes.values() if is_kernel(one)]
    if not parts:
        leaves.append(kernel)
    return all(_append_leaves(one, leaves) for one in parts)
