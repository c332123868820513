"""The kernel that a fit starts from."""

import numpy as np
import sklearn
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel

from .._covariance import hyperparameters
from .._covariance.hyperparameters import is_kernel

# scikit-learn optimises its regressor's default kernel from version 1.9 on.
DEFAULT_KERNEL_IS_FREE = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 9)


def initial_kernel(kernel, *, fixed):
    """A copy of the kernel; of None the default one, without free parts if `fixed`."""
    if kernel is not None:
        return hyperparameters.copied(kernel)
    if fixed:
        return ConstantKernel(1.0, "fixed") * RBF(1.0, "fixed")
    return ConstantKernel(1.0) * RBF(1.0)


def starting_kernel(estimator, default=None):
    """A copy of a regressor's own kernel or, with `warm_start`, of the last one.

    Its own may be that of a Default.
    """
    if default is None:
        kernel = initial_kernel(estimator.kernel, fixed=not DEFAULT_KERNEL_IS_FREE)
    else:
        kernel = default.kernel
    several = estimator._outputs is not None  # kernels of other things
    last = None if several else getattr(estimator, "kernel_", None)
    warm = estimator.warm_start and last is not None and same_form(last, kernel)
    # New values of the `kernel` parameter are where the user wants to start.
    given = estimator._fit_record.theta_given
    same = default is not None or given == tuple(hyperparameters.theta(kernel))
    if warm and same:
        lower, upper = kernel.bounds.T if kernel.n_dims else (None, None)
        kernel.theta = np.clip(last.theta, lower, upper)
    return _with_arrays(kernel) if estimator.optimizer is None else kernel


def _with_arrays(kernel):
    """The kernel with free vectors as arrays, as scikit-learn's `fit` leaves them.

    Not by theta, whose logarithms would cost the last digit.
    """
    if not _has_vectors(kernel):
        return kernel
    params = kernel.get_params()
    free = {h.name for h in kernel.hyperparameters if not h.fixed}
    vectors = {n: v for n, v in params.items() if n in free and _is_vector(n, v)}
    arrays = {n: np.asarray(v, float) for n, v in vectors.items()}
    return kernel.set_params(
        **{n: a if a.size > 1 else a.item() for n, a in arrays.items()}
    )


def _has_vectors(kernel):
    for name, value in vars(kernel).items():
        if (is_kernel(value) and _has_vectors(value)) or _is_vector(name, value):
            return True
    return False


def _is_vector(name, value):
    return isinstance(value, (list, tuple)) and not name.endswith("_bounds")


def same_form(kernel, other):
    """Whether the theta of one kernel means the same in the other."""
    return _form(kernel) == _form(other)


def _form(kernel):
    """What two kernels share whose theta mean the same: all but its free values."""
    params = kernel.get_params()
    free = [(h.name, h.n_elements) for h in kernel.hyperparameters if not h.fixed]
    values = {name for name, _ in free}
    fixed = {
        name: _kind(value) if isinstance(value, Kernel) else np.array(value).tolist()
        for name, value in params.items()
        if name not in values and not name.endswith("_bounds")
    }
    return _kind(kernel), fixed, free


def _kind(kernel):
    """The class, and the units of hyperparameters that are no logarithms in theta."""
    forms = kernel.forms().values() if hasattr(kernel, "forms") else ()
    return type(kernel), [form.unit.tolist() for form in forms if form.linear]
