"""The package's own errors and warnings."""

import sys
import warnings

from numpy.linalg import LinAlgError

__all__ = [
    "JitterWarning",
    "KernelFallbackWarning",
    "NotPositiveDefiniteError",
]


# Of models that were fitted to Dask arrays.
ROWS_LEFT = (
    "This model was fitted to Dask arrays, whose rows stayed on the cluster: "
    "'X_train_' has no more than those that were drawn, and what all rows say is known "
    "at the hyperparameters of the fit only. Fit to arrays in memory (X.compute(), "
    "y.compute()), with kernel=kernel_ and optimizer=None if these are to stay."
)


class NotPositiveDefiniteError(LinAlgError):
    """The covariance matrix has no Cholesky factor.

    Usual causes: duplicated rows with (almost) no noise, a length scale far
    above the spread of the data, a kernel that is not positive definite, or
    ``dtype="float32"``. Cures: a larger ``alpha``, a ``WhiteKernel``, scaled
    features, ``dtype="float64"``.
    """


class JitterWarning(UserWarning):
    """The final factorisation needed a larger diagonal than ``alpha`` gave."""


class KernelFallbackWarning(UserWarning):
    """A kernel without a torch function is evaluated by its own NumPy code."""


def callers_level():
    """The `stacklevel` at which a warning points to who called the package.

    Warnings come from depths that differ, such as those of one problem of several.
    """
    frame, level, outermost = sys._getframe(1), 1, 1
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
            outermost = level
        frame, level = frame.f_back, level + 1
    return outermost + 1


def warn_of_jitter(added, alpha):
    """Tell that the final factor needed more than the noise on its diagonal."""
    warnings.warn(
        f"The covariance was not positive definite: {added:.3g} was added to its "
        f"diagonal, beyond alpha={alpha}. Raise 'alpha' or add a WhiteKernel; "
        "duplicated rows or a length scale far above the spread of X are the usual "
        "causes.",
        JitterWarning,
        stacklevel=callers_level(),
    )
