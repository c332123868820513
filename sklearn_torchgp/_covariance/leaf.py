"""A registered kernel object bound to its place in theta."""

import numpy as np
import torch

from .hyperparameters import hyperparameters, parameters
from .slopes import differenced


def nothing(G, scale, grads):
    """The pullback of a value without free hyperparameters."""


class Own:
    """The hyperparameters of a kernel object: places in theta, values at one theta.

    Kernels of `sklearn_torchgp.kernels` have `forms`, which say of hyperparameters
    how they stand in theta; those of scikit-learn stand there by their logarithms.

    Parameters
    ----------
    kernel : scikit-learn kernel
    hyperparameters : list of Hyperparameter
        Those of its parts left out.
    index : int
        Position among the leaves of the tree; `at[index]` holds the parameters of
        an evaluation.
    start : int
        Position of the first free hyperparameter in theta.
    tensors : bool
        Whether scalar hyperparameters come as tensors, too.
    """

    forms, special, linear = {}, (), ()

    def __init__(self, kernel, hyperparameters, index, start, tensors=False):
        self.kernel, self.index, self.tensors = kernel, index, tensors
        self.hyperparameters = hyperparameters
        self.free = {}
        for hyper in hyperparameters:
            if not hyper.fixed:
                self.free[hyper.name] = slice(start, start + hyper.n_elements)
                start += hyper.n_elements
        self.stop = start
        self._own = {}
        if hasattr(kernel, "forms"):
            self.forms = kernel.forms()
            self.special = [name for name, form in self.forms.items() if not form.plain]
            self.linear = [name for name, form in self.forms.items() if form.linear]

    def parameters(self, theta, points):
        """Name -> value at theta; theta=None takes the kernel object's own values."""
        own = self._own.get(points.form)
        if own is None:
            own = self._own[points.form] = parameters(self.kernel)
            for name, form in self.forms.items():
                own[name] = form.value
            for hyper in self.hyperparameters:
                if self.tensors or type(own[hyper.name]) is not float:
                    value = np.asarray(own[hyper.name], dtype=np.float64)
                    own[hyper.name] = self._number(value, points)
        if theta is None or not self.free:
            return own
        params = own.copy()
        for name, where in self.free.items():
            if name in self.special:
                value = np.asarray(self.forms[name].value_at(theta[where]))
            else:
                value = np.exp(theta[where])
            params[name] = self._number(value, points)
        return params

    def gain(self, found, scale, grads):
        """Append what free parameters gain: `found` is by name, in all elements."""
        for name, where in self.free.items():
            if name in found:
                term = found[name]
                if name in self.special:
                    term = self.forms[name].free_part(term)
                grads.append((where, scale, term))

    def _number(self, value, points):
        """A float where that will do, else what the points' arrays are."""
        if value.size == 1 and not self.tensors:
            return value.item()
        return points.numbers(value)


class Leaf(Own):
    """A kernel object with a torch function.

    Every node of a kernel tree, leaf or operator, answers `dense`, `diag` and
    `nugget` with a value (tensor or float) and a function ``pull(G, scale, grads)``
    that appends to the list `grads` what a parameter gains: its place in theta, scale
    and sum(G * dvalue / dlog(param)), of which the two are a product. Where the value
    is one float, G is the sum of the weights. `slope` answers with the dense value and
    a function ``pull(G)`` -> sum_j G_ij dk(x_i, z_j) / dx_i, (m, d).

    Parameters
    ----------
    kernel : scikit-learn kernel
    entry : KernelRecord
    index, start : int
        As `Own` takes them.
    """

    blockwise = True

    def __init__(self, kernel, entry, index, start):
        super().__init__(kernel, hyperparameters(kernel), index, start, entry.tensors)
        self.entry = entry
        few = entry.few(kernel) if callable(entry.few) else entry.few
        self.few = few and not self.special

    @property
    def number(self):
        """The one hyperparameter of a constant, the kernel object's own."""
        (hyper,) = self.hyperparameters
        return float(getattr(self.kernel, hyper.name))

    def check(self, n_features):
        """Raise if the hyperparameters do not fit data of n_features columns."""
        if self.entry.check is not None:
            self.entry.check(self.kernel, n_features)

    def dense(self, at, rows, cols):
        return self._evaluate(self.entry.dense, at, *self._inputs(rows, cols))

    def diag(self, at, points):
        if self.entry.diag is None:
            return self._diag_of_blocks(at, points)
        return self._evaluate(self.entry.diag, at, *self._inputs(points))

    def nugget(self, at, points):
        if self.entry.nugget is None:
            return 0.0, nothing
        return self._evaluate(self.entry.nugget, at)

    def slope(self, at, rows, cols):
        params, inputs = at[self.index], self._inputs(rows, cols)
        if not inputs:
            return self.entry.dense(params)[0], lambda G: 0.0
        found = self.entry.slope and self.entry.slope(params, *inputs)
        return found or differenced(self, at, rows, cols)

    def _inputs(self, *points):
        inputs = self.entry.inputs
        if inputs == "none":
            return ()
        if inputs == "pairs":
            return (points[0].apart(points[1]),) if len(points) == 2 else ()
        return [getattr(p, inputs) for p in points]

    def _diag_of_blocks(self, at, points, width=64):
        """k(x, x) cut out of small square blocks of the dense function."""
        blocks = [points]
        if len(points.shape) == 1:
            starts = range(0, points.n, width)
            blocks = [points[slice(i, min(i + width, points.n))] for i in starts]
        values = [
            self.dense(at, rows, rows)[0].diagonal(dim1=-2, dim2=-1).clone()
            for rows in blocks
        ]

        def pull(g, scale, grads):
            weights = g.split([rows.n for rows in blocks], dim=-1)
            for part, rows in zip(weights, blocks, strict=True):  # once more: no memory
                self.dense(at, rows, rows)[1](part.diag_embed(), scale, grads)

        return torch.cat(values, dim=-1), pull

    def _evaluate(self, function, at, *inputs):
        params = at[self.index]
        result = function(params, *inputs)
        value, pullback = result if isinstance(result, tuple) else (result, None)
        if not self.free or pullback is nothing:
            return value, nothing

        def pull(G, scale, grads):
            if pullback is not None:
                found = pullback(G)
            else:
                found = self._autograd(function, params, inputs, G)
            if self.entry.source is not None:  # from outside, by `register_kernel`
                self._check_gradients(found)
            self.gain(found, scale, grads)

        return value, pull

    def _autograd(self, function, params, inputs, G):
        """The pullback that the kernel's author did not write.

        The value is computed once more: no graph waits between value and pullback.
        """
        with torch.enable_grad():
            logs = {
                name: (value if name in self.linear else value.log())
                .detach()
                .requires_grad_()
                for name, value in params.items()
                if name in self.free
            }
            tracked = dict(
                params,
                **{n: v if n in self.linear else v.exp() for n, v in logs.items()},
            )
            value = function(tracked, *inputs)
            value = value[0] if isinstance(value, tuple) else value
            if not value.requires_grad:
                raise ValueError(
                    f"The torch function of {type(self.kernel).__name__} is to be "
                    f"differentiated in {list(logs)}, but its value does not depend on "
                    "them by torch operations. Compute it from `params` in torch "
                    "(no .detach(), .item() or NumPy), or return (K, pullback)."
                )
            leaves = list(logs.values())
            found = torch.autograd.grad(
                value,
                leaves,
                G,
                create_graph=G.requires_grad,
                allow_unused=True,
                materialize_grads=True,
            )
        return dict(zip(logs, found, strict=True))

    def _check_gradients(self, found):
        """Raise unless `found` has the gradient of every free hyperparameter."""
        values = self.kernel.get_params(deep=False)
        values.update((name, form.value) for name, form in self.forms.items())
        wanted = {name: np.size(values[name]) for name in self.free}
        got = found
        if isinstance(found, dict):
            got = {k: torch.as_tensor(value).numel() for k, value in found.items()}
            if wanted.items() <= got.items():
                return
        raise ValueError(
            f"The pullback of {type(self.kernel).__name__} must return a dict with the "
            f"gradient of each free hyperparameter, of so many values: {wanted}. Got "
            f"{got!r}."
        )
