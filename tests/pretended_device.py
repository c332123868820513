"""An accelerator that is not there: CPU memory under another device's name.

Tensors on it are `Pretended`: they hold a CPU tensor and call themselves of torch's
private-use device type, here named "pretended". As on a GPU an operation refuses
tensors of two devices, but for numbers (0-d tensors on the CPU, in elementwise
operations) and indices; and NumPy cannot see the memory.

Every call of a torch kernel is counted (`Counts.dispatches`), and so is every point
where the host would wait for the device: a value that Python or the CPU reads, a
boolean mask or `nonzero`, whose result has a shape that the host must know
(`synchronisations`), and a copy from host memory (`uploads`, for which torch waits,
too).
"""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_flatten, tree_map_only

NAME = "pretended"
REGISTER = getattr(
    backend_registration, "_setup_privateuseone_for_python_backend", None
)

aten = torch.ops.aten
TRANSFERS = {aten._to_copy.default, aten.copy_.default}
INDEXING = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._unsafe_index.Tensor,
    aten._index_put_impl_.default,
}
READS = {  # what the host must see before it goes on
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten._unique2.default,
    aten.masked_select.default,
    aten.equal.default,
    aten._linalg_check_errors.default,
    aten.repeat_interleave.Tensor,
}


@dataclass
class Counts:
    """What the device was asked: see the module."""

    dispatches: int = 0
    synchronisations: int = 0
    uploads: int = 0

    def reset(self):
        self.dispatches = self.synchronisations = self.uploads = 0


class _State:
    """Whether the device can be seen, what it counts, and whether it has float64."""

    present = False
    has_float64 = True
    counts = Counts()


class Pretended(torch.Tensor):
    """A tensor on the pretended device."""

    @staticmethod
    def __new__(cls, inner):
        if inner.dtype == torch.float64 and not _State.has_float64:
            raise TypeError("the pretended device has no float64")
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"Pretended({self.inner!r})"

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        return _call(op, args, kwargs or {})


def _call(op, args, kwargs):
    """An operation of which a tensor, or the result, is on the device."""
    _State.counts.dispatches += 1
    given, _ = tree_flatten((args, kwargs))
    given = [one for one in given if isinstance(one, torch.Tensor)]
    target = torch.device(kwargs["device"]) if kwargs.get("device") else None
    _check_places(op, args, given)
    _count_waits(op, args, given, target)
    if target is not None:
        kwargs = dict(kwargs, device="cpu")
    plain_args, plain_kwargs = tree_map_only(
        Pretended, lambda one: one.inner, (args, kwargs)
    )
    result = op(*plain_args, **plain_kwargs)
    if op is aten.copy_.default:
        return args[0]
    if target is not None and target.type == "cpu":
        return result
    same = {id(one.inner): one for one in given if isinstance(one, Pretended)}
    return tree_map_only(
        torch.Tensor,
        lambda one: same[id(one)] if id(one) in same else Pretended(one),
        result,
    )


def _check_places(op, args, given):
    if op in TRANSFERS:
        return
    indices = args[1] if op in INDEXING else ()
    numbers = torch.Tag.pointwise in op.tags
    for one in given:
        here = isinstance(one, Pretended) or (numbers and one.ndim == 0)
        if not here and not any(one is index for index in indices):
            raise RuntimeError(
                f"{op}: tensors on {NAME}:0 and on the CPU, of shape {one.shape}"
            )


def _count_waits(op, args, given, target):
    counts = _State.counts
    if op in TRANSFERS:
        source = args[1] if op is aten.copy_.default else args[0]
        if op is aten.copy_.default:
            leaves = not isinstance(args[0], Pretended)
        else:
            leaves = target is not None and target.type == "cpu"
        counts.synchronisations += isinstance(source, Pretended) and leaves
        counts.uploads += not isinstance(source, Pretended)
    elif op in INDEXING:
        masks = [i for i in args[1] if i is not None and i.dtype == torch.bool]
        counts.synchronisations += bool(masks)
        counts.uploads += any(type(one) is torch.Tensor and one.ndim for one in given)
    else:
        counts.synchronisations += op in READS


class _Module:
    """What torch asks of the module of a device."""

    def is_initialized(self):
        return True

    def is_available(self):
        return _State.present

    def device_count(self):
        return int(_State.present)

    def current_device(self):
        return 0

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass


def _register():
    REGISTER(NAME, backend_module=_Module())
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda op, *args, **kwargs: _call(op, args, kwargs), "PrivateUse1")
    return library  # its kernels live as long as it does


# While this is imported, for autograd counts the devices when it is first used. torch
# knows one type of accelerator at a time: a real one is not to be put in the shade.
CAN_OPEN = REGISTER is not None and not torch.accelerator.is_available()
_LIBRARY = _register() if CAN_OPEN else None


@contextmanager
def opened(*, has_float64=True):
    """The device is there while this is open; gives its counts.

    Outside of it torch says that there is none, so that other tests in the process do
    not find it.
    """
    _State.present, _State.has_float64 = True, has_float64
    _State.counts = Counts()
    try:
        yield _State.counts
    finally:
        _State.present, _State.has_float64 = False, True
