"""TorchKernel: a kernel of your own, from one torch expression."""

import inspect

import torch

from .._covariance.batches import over_batches
from .._covariance.registry import KernelRecord
from .._covariance.slopes import by_autograd
from ._base import Kernel
from ._forms import form_of

WIDE = (1e-5, 1e5)


class TorchKernel(Kernel):
    """Base class of kernels that are one torch expression.

    A subclass names its hyperparameters and writes `forward`. Everything else follows:
    the constructor, `theta`, `bounds` and the rest of scikit-learn's protocol (so that
    the kernel works in scikit-learn's own estimators, too), and by autograd the
    gradients in the hyperparameters and in the rows.

    Attributes
    ----------
    parameters : dict of str to float or list, or tuple of str
        The hyperparameters, positive numbers or vectors of them. A dict has their
        defaults, and gives the class a constructor that takes them and their bounds,
        ``<name>_bounds``: a pair, "fixed", or a list with one of these for each
        element. A tuple has the names only: the class brings its own constructor.
        scikit-learn's ``hyperparameter_<name>`` properties do, too.
    stationary : bool
        Whether k depends on x - z only. Rows are then handed over less their mean,
        which keeps the digits of data far from zero.

    Examples
    --------
    >>> import torch
    >>> from sklearn_torchgp import TorchGPRegressor
    >>> from sklearn_torchgp.kernels import TorchKernel
    >>> class Triangle(TorchKernel):
    ...     parameters = {"length_scale": 1.0}
    ...     stationary = True
    ...
    ...     def forward(self, X, Z):
    ...         return torch.relu(1 - torch.cdist(X, Z) / self.length_scale)
    >>> kernel = Triangle(length_scale=2.0, length_scale_bounds=(0.1, 10.0))
    >>> kernel
    Triangle(length_scale=2)
    >>> kernel([[0.0], [1.0]])
    array([[1. , 0.5],
           [0.5, 1. ]])
    >>> model = TorchGPRegressor(1.0 * kernel).fit([[0.0], [1.0], [2.0]], [0, 1, 0])
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        named = vars(cls).get("parameters")
        if isinstance(named, dict) and "__init__" not in vars(cls):
            cls.__init__ = _constructor(named)

    def forward(self, X, Z):
        """k(x_i, z_j) for all pairs of rows, in torch operations.

        Hyperparameters are read from `self`: here they are tensors, of shape () or
        (k,), on the device and of the precision of the rows.

        Parameters
        ----------
        X : tensor of shape (m, d)
        Z : tensor of shape (n, d)

        Returns
        -------
        K : tensor of shape (m, n)
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no method forward(self, X, Z). Write one that "
            "returns k(x_i, z_j) as a torch tensor of shape (m, n)."
        )

    def forms(self):
        forms = super().forms()
        for attribute in dir(type(self)):
            if attribute.startswith("hyperparameter_"):
                hyper = getattr(self, attribute)
                if hyper.name not in forms:
                    value = getattr(self, hyper.name)
                    bounds = "fixed" if hyper.fixed else hyper.bounds
                    forms[hyper.name] = form_of(self, hyper.name, value, bounds)
        return forms

    @classmethod
    def torch_record(cls):
        """The record of this class: see `_covariance.registry`."""

        def dense(params, X, Z):
            kernel = object.__new__(cls)  # as `self`, with tensors in place of numbers
            vars(kernel).update(params)
            K = kernel.forward(X, Z)
            if not isinstance(K, torch.Tensor) or K.shape != (len(X), len(Z)):
                raise ValueError(
                    f"The method forward of {cls.__name__} must return a tensor of "
                    f"shape (m, n), here {(len(X), len(Z))}. Got "
                    f"{getattr(K, 'shape', K)!r} instead."
                )
            return K

        return KernelRecord(
            over_batches(dense),
            slope=by_autograd(dense),
            inputs="centred" if cls.stationary else "raw",
            tensors=True,
        )


def _constructor(defaults):
    """``__init__`` with a parameter for each hyperparameter and for its bounds."""
    values = {**defaults, **{f"{name}_bounds": WIDE for name in defaults}}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("self", kind)]
    parameters += [inspect.Parameter(k, kind, default=v) for k, v in values.items()]
    signature = inspect.Signature(parameters)

    def __init__(self, *args, **kwargs):
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        for name in values:
            setattr(self, name, given.arguments[name])

    __init__.__signature__ = signature
    return __init__
