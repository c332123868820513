"""What every kernel of ours is to scikit-learn, made of its torch side.

A kernel is stated once, in torch, in its record (`_covariance.registry`). From it this
base class derives scikit-learn's protocol: ``kernel(X, Y, eval_gradient)``, `diag`,
`theta`, `bounds`. Inside our estimators none of it runs but `theta` and `bounds`.
"""

import numpy as np
import torch
from sklearn.base import clone
from sklearn.gaussian_process import kernels

from .._covariance import Covariance
from .._covariance.acquaint import acquaint
from .._covariance.jacobian import gram_and_jacobian
from ._forms import form_of

CPU = torch.device("cpu")


class Kernel(kernels.Kernel):
    """scikit-learn's side of a kernel that is stated in torch.

    Subclasses name their hyperparameters in `parameters`; each has a parameter of the
    constructor of its name and one of its bounds, ``<name>_bounds``: a pair, "fixed",
    or a list with one of these for each element. Kernels among the parameters of the
    constructor are the parts of this one: theta is theirs, then its own.
    """

    parameters = ()
    linear = ()  # those of `parameters` that stand in theta as they are
    unit_shares = {}  # of those: the share of the width of the bounds that is a unit
    may_be_zero = ()  # where fixed
    per_feature = ()  # those that may have one element for each feature
    tied = ()  # of those: whose elements keep their ratios
    stationary = False

    def forms(self):
        """The `Form` of each own hyperparameter, by name, in the order of theta."""
        return {
            name: form_of(
                self,
                name,
                self._value(name),
                self.bounds_of(name),
                linear=name in self.linear,
                share=self.unit_shares.get(name, 1.0),
                zero=name in self.may_be_zero,
                tied=name in self.tied,
            )
            for name in self.parameters
        }

    def bounds_of(self, name):
        """The bounds of a hyperparameter, with what None stands for filled in."""
        return getattr(self, f"{name}_bounds")

    def _value(self, name):
        """The value of a hyperparameter, with what None stands for filled in."""
        return getattr(self, name)

    def form_value(self, name):
        """The value of a hyperparameter as an array, without axes of length 1."""
        return np.squeeze(self.forms()[name].value)

    def check(self, n_features):
        """Raise ValueError where the hyperparameters do not fit rows of such width."""
        for name, form in self.forms().items():
            several = name in self.per_feature
            allowed = (1, n_features) if several else (1,)
            if form.value.ndim > 1 or form.value.size not in allowed:
                each = f", or one for each of the {n_features} features"
                raise ValueError(
                    f"The {name!r} parameter of {type(self).__name__} must be one "
                    f"number{each if several else ''}. Got {getattr(self, name)!r} "
                    "instead."
                )

    def parts(self):
        """Kernels that this one is made of, by the name of the parameter."""
        values = self.get_params(deep=False)
        return {k: v for k, v in values.items() if isinstance(v, kernels.Kernel)}

    def acquaint(self, names, X, y):
        """Hear of the data that it is fitted to: see `_covariance.acquaint`."""
        for part in self.parts().values():
            acquaint(part, names=names, X=X, y=y)

    # --- scikit-learn's protocol --------------------------------------------------

    def get_params(self, deep=True):
        params = super().get_params(deep=False)
        if deep:
            for name, part in self.parts().items():
                inner = part.get_params(deep=True)
                params.update((f"{name}__{k}", v) for k, v in inner.items())
        return params

    @property
    def own_hyperparameters(self):
        """Those that are not its parts'."""
        return [form.hyperparameter for form in self.forms().values()]

    @property
    def hyperparameters(self):
        inner = [
            kernels.Hyperparameter(
                f"{name}__{h.name}", h.value_type, h.bounds, h.n_elements, h.fixed
            )
            for name, part in self.parts().items()
            for h in part.hyperparameters
        ]
        return inner + self.own_hyperparameters

    @property
    def theta(self):
        inner = [part.theta for part in self.parts().values()]
        return np.concatenate([*inner, *(f.theta for f in self.forms().values()), []])

    @theta.setter
    def theta(self, theta):
        theta = np.asarray(theta, dtype=np.float64)
        if theta.shape != (self.n_dims,):
            raise ValueError(
                "theta has not the correct number of entries. Should be "
                f"{self.n_dims}; given are {theta.size}"
            )
        stop = 0
        for part in self.parts().values():
            start, stop = stop, stop + part.n_dims
            if part.n_dims:
                part.theta = theta[start:stop]
        for name, form in self.forms().items():
            if form.free.any():
                start, stop = stop, stop + form.free.sum()
                setattr(self, name, form.value_at(theta[start:stop]))

    @property
    def bounds(self):
        inner = [part.bounds for part in self.parts().values() if part.n_dims]
        own = [form.theta_bounds for form in self.forms().values() if form.free.any()]
        return np.vstack([*inner, *own]) if inner or own else np.array([])

    def __call__(self, X, Y=None, eval_gradient=False):
        """k(X, Y) as an ndarray (m, n).

        Parameters
        ----------
        X : array-like of shape (m, d)
            A data frame, too, where a part of the kernel asks for columns by name.
        Y : array-like of shape (n, d), default=None
            None: X itself, with the noise that a row has with itself.
        eval_gradient : bool, default=False
            Whether dK / dtheta is returned, too; only without Y.

        Returns
        -------
        K : ndarray of shape (m, n)
        gradient : ndarray of shape (m, m, n_dims), optional
        """
        if Y is not None and eval_gradient:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        covariance = self._bound(X if Y is None else Y)
        if Y is not None:
            return covariance.cross(_table(X)).numpy()
        if eval_gradient:
            return gram_and_jacobian(covariance)
        return covariance.full().numpy()

    def diag(self, X):
        """k(x, x) of each row, with its noise: ndarray (m,)."""
        covariance = self._bound(X)
        return covariance.diag(covariance.points).numpy()

    def is_stationary(self):
        """Whether the kernel depends on x - z only."""
        parts = self.parts().values()
        return self.stationary and all(part.is_stationary() for part in parts)

    def __eq__(self, other):
        if type(self) is not type(other):
            return False
        one, two = (k.get_params(deep=False) for k in (self, other))
        return all(_equal(value, two[name]) for name, value in one.items())

    __hash__ = None

    def __repr__(self):
        params = self.get_params(deep=False)
        shown = {k: v for k, v in params.items() if not k.endswith("_bounds")}
        inside = ", ".join(f"{k}={_short(v)}" for k, v in shown.items())
        return f"{type(self).__name__}({inside})"

    def _bound(self, X):
        kernel, names = self, getattr(X, "columns", None)
        if names is not None:
            kernel = clone(self)
            acquaint(kernel, names=list(names))
        return Covariance(kernel, _table(X), dtype=torch.float64, device=CPU)


def _table(X):
    return np.atleast_2d(np.asarray(X))


def _equal(one, two):
    if isinstance(one, torch.nn.Module) and isinstance(two, torch.nn.Module):
        pairs = (m.state_dict() for m in (one, two))
        one, two = ({k: v.cpu().numpy() for k, v in p.items()} for p in pairs)
        same = one.keys() == two.keys()
        return same and all(np.array_equal(one[k], two[k]) for k in one)
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return np.array_equal(one, two)
    return bool(one == two)


def _short(value):
    if isinstance(value, (list, tuple, np.ndarray)) and np.size(value) < 50:
        try:
            numbers = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            return repr(value)
        if numbers.ndim and np.asarray(value).dtype.kind == "f":
            return "[" + ", ".join(map(_short, numbers)) + "]"
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}"
    return repr(value)
