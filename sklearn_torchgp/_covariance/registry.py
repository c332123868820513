"""Which torch function belongs to which kernel class.

A kernel function has the signature ``function(params, X, Z)`` with ``params`` a dict
from hyperparameter (and other constructor parameter) names to floats, (d,) tensors or
plain objects, X (m, d) and Z (n, d) tensors. It returns K (m, n), or K and a closure
``pullback(G) -> {name: sum_ij G_ij dK_ij / d log(name)}``. Without a closure autograd
supplies it. A value that is the same for all pairs may be one float; its pullback is
then given the sum of G.
"""

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .batches import over_batches

# What a subclass may override and still be the same kernel to us: anything but these.
_MEANING = ("__call__", "diag", "theta")


@dataclass(frozen=True)
class KernelRecord:
    """The torch side of a kernel class; see the module and package docstrings.

    Attributes
    ----------
    dense : callable (params, X, Z) -> K or (K, pullback)
        None for a kernel made of other kernels, which has a `node`.
    diag : callable (params, X) -> d or (d, pullback), default=None
        d (m,) or one float. None: taken from small blocks of `dense`.
    nugget : callable (params) -> (float, pullback), default=None
        None: no noise.
    slope : callable (params, X, Z) -> (K, pull), default=None
        ``pull(G)`` -> sum_j G_ij dK_ij / dx_i, (m, d). None, or None in place of the
        pair: by differences.
    frequencies : callable (kernel, rng, shape) -> (omega, weight), default=None
        Frequencies of shape (paths, D, d) and weights (paths, D), or 1.0, under which
        they are draws from the spectral density: see `features`.
    lines : callable (kernel, rng, shape) -> (slopes, offsets), default=None
        Random linear functions whose covariance is the kernel: see `features`.
    inputs : {"raw", "centred", "pairs", "none"}
        What the functions are given in place of X and Z: rows; rows less the centre,
        for functions of x - z; the differences of all pairs (see `distance`), in one
        argument, and `diag` none; nothing, for values that do not depend on what the
        rows are: these may be any objects.
    terms : callable (kernel, d, terms) -> list of features.Term, default=None
        Of a kernel made of others; ``terms(kernel, d)`` gives those of a part.
    node : callable (kernel, start, binding) -> node, default=None
        Of a kernel made of others: see `binding`.
    falls_with : str, default=None
        The hyperparameter l of a kernel that falls with |x - z| / l and depends on
        nothing else: near rows tell most of each other.
    few : bool or callable (kernel) -> bool
        Whether the functions take NumPy arrays, too, and are fast on few of them.
    check : callable (kernel, n_features) -> None, default=None
        Raises where the hyperparameters do not fit the data.
    accepts : callable (kernel) -> bool, default=None
        False sends this very object to the NumPy fallback.
    tensors : bool
        Scalar hyperparameters come as 0-d tensors, not as floats (which are faster).
    source : tuple (kernel_class, function, diag, stationary), default=None
        What `register_kernel` was given.
    arrived : bool
        Registered by a pickle, and not in this process.
    """

    dense: Callable | None = None
    diag: Callable | None = None
    nugget: Callable | None = None
    slope: Callable | None = None
    frequencies: Callable | None = None
    lines: Callable | None = None
    terms: Callable | None = None
    node: Callable | None = None
    inputs: str = "raw"
    falls_with: str | None = None
    few: bool | Callable = False
    check: Callable | None = None
    accepts: Callable | None = None
    tensors: bool = False
    source: tuple | None = None
    arrived: bool = False


_TABLE: dict[type, KernelRecord] = {}
_changes = itertools.count()
_version = next(_changes)


def register(kernel_class, torch_kernel):
    """Enter a kernel class into the table."""
    global _version
    _TABLE[kernel_class] = torch_kernel
    _version = next(_changes)


def version():
    """A number that changes when the table does."""
    return _version


def registered():
    """The table, class -> KernelRecord (a copy)."""
    return dict(_TABLE)


def lookup(kernel):
    """The KernelRecord of a kernel object, or None if NumPy must evaluate it.

    A subclass is the kernel of its nearest registered ancestor only if it inherits
    everything that defines the values: `Matern` subclasses `RBF` and is another
    kernel, and users' subclasses change `__call__` or have other parameters.
    """
    cls = type(kernel)
    for ancestor in cls.__mro__:
        entry = _TABLE.get(ancestor)
        if entry is None and "_torch_source" in vars(ancestor):  # see `travel`
            entry = from_outside(ancestor._torch_source, arrived=True)
            register(ancestor, entry)
        elif entry is None and hasattr(ancestor, "torch_record"):  # TorchKernel's
            entry = ancestor.torch_record()
            register(ancestor, entry)
        if entry is not None:
            same = cls is ancestor or _inherits_values(kernel, ancestor)
            accepted = entry.accepts is None or entry.accepts(kernel)
            return entry if same and accepted else None
    return None


def _inherits_values(kernel, ancestor):
    """Whether a subclass has its ancestor's methods and parameters."""
    if any(getattr(type(kernel), m) is not getattr(ancestor, m) for m in _MEANING):
        return False
    known = set(inspect.signature(ancestor.__init__).parameters) - {"self"}
    free = {hyperparameter.name for hyperparameter in kernel.hyperparameters}
    return known <= set(kernel.get_params(deep=False)) and free <= known


def from_outside(source, *, arrived=False):
    """The KernelRecord of what `register_kernel` is given."""
    kernel_class, function, diag, stationary = source
    name = kernel_class.__name__
    return KernelRecord(
        over_batches(_checked(function, f"function of {name}", "(m, n)")),
        diag and over_batches(_checked(diag, f"diag of {name}", "(m,)")),
        inputs="centred" if stationary else "raw",
        tensors=True,
        source=source,
        arrived=arrived,
    )


def _checked(function, what, shape):
    """The function, with an error that says so where it returns something else."""

    def checked(params, *inputs):
        result = function(params, *inputs)
        value = result[0] if isinstance(result, tuple) else result
        expected = tuple(len(rows) for rows in inputs)
        if not isinstance(value, torch.Tensor) or value.shape != expected:
            got = getattr(value, "shape", value)
            raise ValueError(
                f"The {what} in register_kernel must return a tensor of shape {shape}, "
                f"here {expected}, or a pair of it and a pullback. Got {got!r} instead."
            )
        return result

    return checked
