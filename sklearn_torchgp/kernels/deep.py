"""DeepKernel: a kernel of features that a torch module computes."""

import copy

import numpy as np
import torch
from sklearn.base import clone
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from .._covariance.batches import one_by_one
from .._covariance.operators import Operator, weights_for
from .._covariance.points import Points
from .._covariance.registry import KernelRecord, register
from .._covariance.slopes import diag_slope
from ._base import Kernel


class DeepKernel(Kernel):
    """k(x, z) = k'(g(x), g(z)) with a torch module g, trained with k'.

    The weights of the module are no part of `theta`. `TorchGPRegressor` and
    `TorchGPClassifier` train a copy of it together with theta, by the same optimiser
    on the same evidence (Wilson et al. 2016, "Deep kernel learning"); the module that
    is given stays as it is. Where the estimator's objective is a function of theta
    alone (a callable, an overridden `log_marginal_likelihood`), and in scikit-learn's
    own estimators, the weights stay as given.

    Evidence does not keep a network from fitting the noise: bound the WhiteKernel, and
    take few weights. L-BFGS stops where a step gains less than 1e-5 of the objective.

    Parameters
    ----------
    module : torch.nn.Module
        Maps rows (n, d) to features (n, q), row by row. Images arrive flattened: let
        it begin with `torch.nn.Unflatten`. It is evaluated in the precision and on the
        device of the estimator, in evaluation mode (no dropout). Parameters that ask
        for no gradient stay.
    kernel : kernel
        Of the features.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained copy, in float64, of a kernel that was fitted. `sklearn.base.clone`
        leaves it behind, and with it sums and products that are cloned; `pickle`,
        `copy.deepcopy` and this kernel's `clone_with_theta` keep it.

    Examples
    --------
    >>> import torch
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sklearn_torchgp.kernels import DeepKernel
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2)
    ... )
    >>> DeepKernel(net, RBF())
    DeepKernel(module=<Sequential, 178 weights>, kernel=RBF(length_scale=1))
    """

    def __init__(self, module, kernel):
        self.module = module
        self.kernel = kernel

    @property
    def network(self):
        """The module as it stands: trained, or as given."""
        return getattr(self, "module_", self.module)

    def own_weights(self):
        """All weights that are trained: ndarray (w,) in float64."""
        self._check_module()
        free = _free(self.network)
        if not free:
            return np.empty(0)
        return parameters_to_vector(free).detach().cpu().double().numpy()

    def set_own_weights(self, weights):
        """Give the trained copy these weights, and make it where there is none."""
        if not hasattr(self, "module_"):
            self.module_ = copy.deepcopy(self.module).double().cpu()
        vector_to_parameters(torch.from_numpy(np.array(weights)), _free(self.module_))

    def clone_with_theta(self, theta):
        kernel = clone(self)
        if hasattr(self, "module_"):
            kernel.module_ = copy.deepcopy(self.module_)
        kernel.theta = theta
        return kernel

    def __eq__(self, other):
        return super().__eq__(other) and np.array_equal(
            self.own_weights(), other.own_weights()
        )

    __hash__ = None

    def __repr__(self):
        count = sum(p.numel() for p in self.network.parameters())
        name = type(self.network).__name__
        return f"DeepKernel(module=<{name}, {count} weights>, kernel={self.kernel})"

    def _check_module(self):
        if not isinstance(self.module, torch.nn.Module):
            raise ValueError(
                "The 'module' parameter of DeepKernel must be a torch.nn.Module. Got "
                f"{self.module!r} instead."
            )


def _free(module):
    return [p for p in module.parameters() if p.requires_grad]


class Network:
    """A module at weights of an evaluation: one of the leaves, by its index.

    Parameters
    ----------
    kernel : DeepKernel
    index : int
    d : int
        Number of columns that the module is given.
    """

    def __init__(self, kernel, index, d):
        self.kernel, self.index = kernel, index
        self.n_weights = len(kernel.own_weights())
        self.place = None  # in theta, where that goes on with weights: see `Binding`
        self._here = {}
        like = next(iter(kernel.network.parameters()), torch.zeros(()))
        points = Points(np.zeros((2, d)), dtype=like.dtype, device=torch.device("cpu"))
        self.width = self.parameters(None, points).features(points).shape[1]

    def parameters(self, theta, points):
        trained = theta is not None and len(theta) > self.place.start
        weights = theta[self.place] if trained else self.kernel.own_weights()
        device, dtype = points.device, points.dtype
        module = self._here.get(points.form)
        if module is None:
            module = copy.deepcopy(self.kernel.network).to(device, dtype).eval()
            self._here[points.form] = module
        weights = torch.from_numpy(np.array(weights)).to(device, dtype)
        return Mapped(module, weights.requires_grad_(trained), self.place)


class Mapped:
    """The features of rows, at fixed weights."""

    def __init__(self, module, weights, place):
        self.module, self.weights, self.place = module, weights, place
        self._kept = {}

    def features(self, points):
        """g(x) of all rows: tensor (..., n, q), with its graph where weights train."""
        if points._whole is not None:
            return self.features(points._whole)[points._rows]
        kept = self._kept.get(id(points))
        if kept is None:
            with torch.set_grad_enabled(self.weights.requires_grad):
                kept = points, self.of(points.raw)
            self._kept[id(points)] = kept
        return kept[1]

    def of(self, X):
        """g(X); ValueError where it is no (n, q)."""
        free = [n for n, p in self.module.named_parameters() if p.requires_grad]
        tensors = [p for p in self.module.parameters() if p.requires_grad]
        parts = self.weights.split([p.numel() for p in tensors])
        named = {
            name: part.view(p.shape)
            for name, part, p in zip(free, parts, tensors, strict=True)
        }
        try:
            U = functional_call(self.module, named, (X,))
        except RuntimeError as error:
            raise ValueError(
                "The 'module' parameter of DeepKernel cannot be given rows of shape "
                f"{tuple(X.shape)}: {error}"
            ) from error
        if not isinstance(U, torch.Tensor) or U.ndim != 2 or len(U) != len(X):
            raise ValueError(
                "The 'module' parameter of DeepKernel must map rows (n, d) to features "
                f"(n, q). Of shape {tuple(X.shape)} it made "
                f"{tuple(getattr(U, 'shape', ()))}."
            )
        return U

    def pull(self, U, by_feature, scale, grads):
        """Append what the weights gain where features gain `by_feature`."""
        if self.weights.requires_grad:
            (found,) = torch.autograd.grad(
                U, self.weights, by_feature, retain_graph=True, allow_unused=True
            )
            if found is not None:
                grads.append((self.place, scale, found))


class Features(Points):
    """Rows as a kernel of features sees them."""

    def __init__(self, U, points):
        super().__init__(None, dtype=points.dtype, device=points.device)
        self.raw = self.centred = U.detach()
        self.centre, self.shape = 0.0, points.shape

    @property
    def objects(self):
        return self.raw.cpu().double().numpy()


class OfFeatures(Operator):
    """The node of a deep kernel."""

    def __init__(self, child, network):
        super().__init__(child)
        self.child, self.network, self.few = child, network, False

    def dense(self, at, rows, cols):
        if len(rows.shape) > 1 or len(cols.shape) > 1:
            return one_by_one(lambda *points: self.dense(at, *points), rows, cols)
        mapped = at[self.network.index]
        U, V = mapped.features(rows), mapped.features(cols)
        one = Features(U, rows)
        other = one if cols is rows else Features(V, cols)
        value, pull = self.child.dense(at, one, other)

        def pull_both(G, scale, grads):
            pull(weights_for(value, G), scale, grads)
            if mapped.weights.requires_grad:
                for W, A, a, b in ((G, U, one, other), (G.mT, V, other, one)):
                    by_feature = _tensor(self.child.slope(at, a, b)[1](W), a)
                    mapped.pull(A, by_feature, scale, grads)

        if not isinstance(value, torch.Tensor):  # of a constant
            return value + rows.zeros(rows.n, cols.n), pull_both
        return value, pull_both

    def diag(self, at, points):
        if len(points.shape) > 1:
            return self._diag_of_batches(at, points)
        mapped = at[self.network.index]
        U = mapped.features(points)
        one = Features(U, points)
        value, pull = self.child.diag(at, one)
        if not isinstance(value, torch.Tensor):  # the same for all features
            return value, pull

        def pull_both(g, scale, grads):
            pull(weights_for(value, g), scale, grads)
            if mapped.weights.requires_grad:
                slopes = diag_slope(self.child, at, one, noise=False)
                mapped.pull(U, g[:, None] * slopes, scale, grads)

        return value, pull_both

    def _diag_of_batches(self, at, points):
        flat = points._whole[points._rows.reshape(-1)]
        value, pull = self.diag(at, flat)
        if not isinstance(value, torch.Tensor):
            return value, pull
        return value.reshape(points.shape), lambda g, scale, grads: pull(
            g.reshape(-1), scale, grads
        )

    def nugget(self, at, points):
        return self.child.nugget(at, points)

    def slope(self, at, rows, cols):
        mapped = at[self.network.index]
        with torch.enable_grad():
            X = rows.raw.detach().requires_grad_()
            U = mapped.of(X)
        one, other = Features(U, rows), Features(mapped.features(cols), cols)
        value, pull = self.child.slope(at, one, other)

        def through(G):
            by_feature = _tensor(pull(G), one)
            (found,) = torch.autograd.grad(
                U, X, by_feature, retain_graph=True, allow_unused=True
            )
            return rows.zeros(*X.shape) if found is None else found

        return value, through


def _tensor(slope, rows):
    return slope if isinstance(slope, torch.Tensor) else rows.zeros(*rows.raw.shape)


def _node(kernel, start, binding):
    if binding.n_features is None:
        raise ValueError(f"{kernel} needs rows of numbers: X must be a table.")
    network = binding.network(Network, kernel)
    return OfFeatures(binding.within(network.width).node(kernel.kernel, start), network)


register(DeepKernel, KernelRecord(node=_node))
