"""A registration goes where kernel objects of its class go: into other processes.

What `register_kernel` was given is kept on the class, for pickles that hold the class
itself (joblib's of a script), and goes into the pickle of every object of the class,
for those that hold the class's import path. Functions go as their pickler takes them:
pickle by import path, joblib's workers by value where there is none.
"""

import warnings

from ..exceptions import callers_level
from . import registry


def keep(kernel_class, source):
    """Put what a class was registered with on the class, and into its pickles."""
    kernel_class._torch_source = source
    plain = kernel_class.__reduce_ex__
    if getattr(plain, "takes_source", False):
        return

    def __reduce_ex__(kernel, protocol):
        reduced = plain(kernel, protocol)
        entry = registry.lookup(kernel)
        if entry is None or entry.source is None:  # a subclass that is its own kernel
            return reduced
        make, arguments, *state = reduced
        return arrive, (entry.source, make, arguments), *state

    __reduce_ex__.takes_source = True
    kernel_class.__reduce_ex__ = __reduce_ex__


def arrive(source, make, arguments):
    """A pickled kernel object, after its class is registered as where it came from."""
    kernel_class, function, *_ = source
    here, name = registry.registered().get(kernel_class), kernel_class.__name__
    if here is not None and here.source is None:
        warnings.warn(
            f"A pickled kernel brings the function that register_kernel gave {name} "
            "where it was pickled: it now replaces the built-in one in this process.",
            UserWarning,
            stacklevel=callers_level(),
        )
    elif here is not None and not here.arrived:
        if not _same(here.source[1], function):
            warnings.warn(
                f"A pickled kernel was made with another function for {name} than "
                "register_kernel was given in this process, which is used. Register "
                "the same function, or load the kernel before you register.",
                UserWarning,
                stacklevel=callers_level(),
            )
        return make(*arguments)
    registry.register(kernel_class, registry.from_outside(source, arrived=True))
    return make(*arguments)


def _same(first, second):
    """Whether two callables do the same: copies by value have equal code."""
    return getattr(first, "__code__", type(first)) == getattr(
        second, "__code__", type(second)
    )
