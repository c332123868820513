"""The kernel that a fit starts from."""

import numpy as np
import sklearn
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel

from .._covariance import hyperparameters
from .._covariance.hyperparameters import is_kernel
from .default import is_auto

# scikit-learn optimises its regressor's default kernel from version 1.9 on.
DEFAULT_KERNEL_IS_FREE = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 9)


def initial_kernel(kernel, *, fixed):
    """A copy of the kernel; of None the default one, without free parts if `fixed`."""
    if kernel is not None:
        return hyperparameters.copied(kernel)
    if fixed:
        return ConstantKernel(1.0, "fixed") * RBF(1.0, "fixed")
    return ConstantKernel(1.0) * RBF(1.0)


def given_kernel(estimator):
    """A copy of a regressor's own kernel; None of "auto"."""
    if is_auto(estimator.kernel):
        return None
    return initial_kernel(estimator.kernel, fixed=not DEFAULT_KERNEL_IS_FREE)


def starting_kernel(estimator, default=None):
    """A copy of a regressor's own kernel or, with `warm_start`, of the last one.

    Its own may be that of a Default.
    """
    kernel = given_kernel(estimator) if default is None else default.kernel
    if estimator.warm_start and default is not None and _was_auto(estimator):
        default.become_as_smooth_as(estimator.kernel_)
    if estimator.warm_start and _goes_on(estimator, kernel):
        lower, upper = kernel.bounds.T if kernel.n_dims else (None, None)
        kernel.theta = np.clip(estimator.kernel_.theta, lower, upper)
    return _with_arrays(kernel) if estimator.optimizer is None else kernel


def _was_auto(estimator):
    """Whether the last fit was of one default model."""
    if estimator._outputs is not None or not hasattr(estimator, "kernel_"):
        return False
    return estimator._fit_record.kernel_given is None


def _goes_on(estimator, kernel):
    """Whether the last fit was of a kernel with the same meaning and first values.

    New values of the `kernel` parameter are where the user wants to start.
    """
    if estimator._outputs is not None:  # kernels of other things
        return False
    last = getattr(estimator, "kernel_", None)
    if last is None or not same_form(last, kernel):
        return False
    auto, given = is_auto(estimator.kernel), estimator._fit_record.kernel_given
    if given is None:
        return auto
    return not auto and _free_values(given) == _free_values(kernel)


def _free_values(kernel):
    """By name; theta does not tell ratios that a hyperparameter keeps."""
    params = kernel.get_params()
    names = [h.name for h in kernel.hyperparameters if not h.fixed]
    return {name: np.asarray(params[name]).tolist() for name in names}


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
