"""Kernels that want to know the data before they have hyperparameters to optimise."""

from .hyperparameters import is_kernel


def acquaint(kernel, *, names=None, X=None, y=None):
    """Tell the parts of a kernel, in place, of the data that it is fitted to.

    Parts with a method ``acquaint(names, X, y)`` hear of them: `Columns` of the names
    of features, a `SpectralMixture` without values of rows and targets.

    Parameters
    ----------
    kernel : scikit-learn kernel
    names : sequence of str, default=None
        Of the columns of X.
    X : ndarray (n, d), default=None
    y : ndarray (n,) or (n, t), default=None
    """
    if hasattr(kernel, "acquaint"):
        kernel.acquaint(names, X, y)
        return
    for part in vars(kernel).values():  # get_params takes ten times as long
        if is_kernel(part):
            acquaint(part, names=names, X=X, y=y)
