"""scikit-learn kernel objects, evaluated and differentiated on torch tensors.

A kernel function returns its value and a closure, the *pullback*: for a weight
matrix G the pullback gives sum_ij G_ij dK_ij / d log(param). Inference methods
produce G, kernels consume it, and no (n, n, p) array ever exists.

Of each kernel we keep three functions apart, because they cost different things:

``dense``   k(x, z) for all pairs of rows: a matrix, or one number if constant;
``diag``    k(x, x) without noise, one value a row (or one number);
``nugget``  what k(x, x) has beyond that when x is compared with *itself*: noise.

They and all else that is known of a kernel class stand in one record, `KernelRecord`,
entered by one `register` in the kernel's file. `Covariance` binds a kernel object to
rows, `Covariance.at` gives its parts at one theta. A kernel gets its contract tests by
one entry in ``tests/kernel_zoo.py``.
"""

from .covariance import Covariance
from .points import Points
from .register import register_kernel
from .registry import version as registry_version

__all__ = ["Covariance", "Points", "register_kernel", "registry_version"]
