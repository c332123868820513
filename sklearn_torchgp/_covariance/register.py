"""`register_kernel`: a torch function for a kernel class, from outside."""

from . import travel
from .registry import from_outside, register


def register_kernel(kernel_class, function, *, diag=None, stationary=False):
    """Give a scikit-learn kernel class a torch function.

    The class keeps its own scikit-learn interface (constructor, hyperparameters,
    `theta`, `bounds`); inside our estimators the torch function replaces its
    `__call__` and its gradient, on CPU and GPU.

    Parameters
    ----------
    kernel_class : type
        A subclass of :class:`sklearn.gaussian_process.kernels.Kernel`. Subclasses of
        it that override neither ``__call__`` nor ``diag`` use the function, too.
    function : callable
        ``function(params, X, Z)`` -> K of shape (m, n), for tensors X of shape
        (m, d) and Z of shape (n, d). `params` maps the constructor parameters of the
        kernel to their values, hyperparameters as 0-d or (d,) tensors. Written in
        torch operations, autograd differentiates it. To supply the derivative by
        hand return ``(K, pullback)``, where ``pullback(G)`` maps each hyperparameter
        name to sum_ij G_ij dK_ij / d log(param).
    diag : callable, default=None
        ``diag(params, X)`` -> k(x, x) of shape (m,). None takes it from `function`.
    stationary : bool, default=False
        Whether K depends on x - z only. X and Z are then handed over centred, which
        keeps the digits of data far from zero.

    Raises
    ------
    TypeError
        If `kernel_class` is no kernel class or a function is not callable.

    Notes
    -----
    When used, a function raises ValueError if its value has another shape, if its
    pullback does not give every free hyperparameter a gradient of its shape, or,
    without a pullback, if autograd finds no way from the value to hyperparameters.

    Kernel objects take the functions along when they are pickled, and register them
    where they arrive. Functions are pickled by their import path: write them at the top
    level of a module; what has no import path (a lambda) is refused by `pickle`, and
    sent by value to the worker processes of joblib.

    Examples
    --------
    >>> import torch
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sklearn_torchgp import register_kernel
    >>> class Triangle(RBF):
    ...     def __call__(self, X, Y=None, eval_gradient=False):
    ...         raise NotImplementedError("torch only")
    >>> def triangle(params, X, Z):
    ...     return torch.relu(1 - torch.cdist(X, Z) / params["length_scale"])
    >>> register_kernel(Triangle, triangle, stationary=True)
    """
    if not isinstance(kernel_class, type) or not hasattr(kernel_class, "theta"):
        raise TypeError(
            "The 'kernel_class' parameter must be a subclass of "
            f"sklearn.gaussian_process.kernels.Kernel. Got {kernel_class!r} instead."
        )
    for name, value in (("function", function), ("diag", diag)):
        if not (callable(value) or (name == "diag" and value is None)):
            raise TypeError(
                f"The {name!r} parameter must be a callable. Got {value!r} instead."
            )
    source = kernel_class, function, diag, stationary
    register(kernel_class, from_outside(source))
    travel.keep(kernel_class, source)
