"""The package's own errors and warnings."""

from numpy.linalg import LinAlgError

__all__ = [
    "ConditioningError",
    "JitterWarning",
    "KernelFallbackWarning",
    "NotPositiveDefiniteError",
]


class ConditioningError(LinAlgError):
    """``dtype="mixed"`` refuses: the covariance is too ill-conditioned for float32.

    Cures: ``dtype="float64"``, a larger ``alpha``, a ``WhiteKernel`` with a larger
    lower bound of its noise.
    """


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
