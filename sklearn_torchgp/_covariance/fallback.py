"""Any other scikit-learn kernel: its own NumPy code and its own gradient."""

import functools
import warnings

import numpy as np
import torch

from .._linalg.threads import one_blas_thread
from ..exceptions import KernelFallbackWarning, callers_level
from .batches import one_by_one
from .copies import at_theta
from .leaf import nothing
from .slopes import differenced

# Kernel classes whose last value at some theta was asked for its gradient: then the
# next one is computed with it at once, which takes half of the time. A guess.
_wanted = {}


class Fallback:
    """A kernel node that calls the kernel object.

    Right for every kernel, on lists of strings too; but on the CPU, in float64 as the
    kernel computes it, and with the (n, n, p) gradient array that the kernel returns.
    k(X) and k(X, X) may differ (noise), so the Gram matrix is asked for whole.
    """

    blockwise = few = False

    def __init__(self, kernel, index, start):
        self.kernel, self.index = kernel, index
        self.n_dims = kernel.n_dims
        self.free = {"theta": slice(start, start + self.n_dims)}
        self.stop = start + self.n_dims

    def parameters(self, theta, points):
        if theta is None:
            return self.kernel
        return at_theta(self.kernel, theta[self.free["theta"]])

    def check(self, n_features):
        if self.kernel.requires_vector_input:
            _warn_once(type(self.kernel))

    def dense(self, at, rows, cols):
        if len(rows.shape) > 1 or len(cols.shape) > 1:
            return one_by_one(functools.partial(self.dense, at), rows, cols)
        kernel, m = at[self.index], rows.n
        if rows is cols:
            K, both = self._value(kernel, rows.objects)
            return self._tensor(K, rows), self._pull(both, rows)
        K = kernel(rows.objects, cols.objects)

        def gradient():  # scikit-learn has none between rows and others
            both = _stacked(rows.objects, cols.objects)
            return None, kernel(both, eval_gradient=True)[1][:m, m:]

        return self._tensor(K, rows), self._pull(gradient, rows)

    def diag(self, at, points):
        if len(points.shape) > 1:
            return one_by_one(functools.partial(self.diag, at), points)
        kernel = at[self.index]
        values = self._tensor(kernel.diag(points.objects), points)

        def gradient():
            both = kernel(points.objects, eval_gradient=True)[1]
            return None, np.einsum("iip->ip", both)

        return values, self._pull(gradient, points)

    def slope(self, at, rows, cols):
        return differenced(self, at, rows, cols)

    def nugget(self, at, points):
        return 0.0, nothing

    def few_rows(self, points):
        """What `few.FewRows` says, of a kernel that this node is all of."""
        return _Itself(self, points)

    def _value(self, kernel, X):
        """k(X) of the kernel or a copy, and () -> the same with its gradient."""
        both = functools.partial(kernel, X, eval_gradient=True)
        if kernel is not self.kernel and _wanted.pop(type(kernel), False):
            found = both()
            return found[0], lambda: found
        return kernel(X), both

    def _gradient(self, evaluate):
        """(n n, p), as the kernel at one theta says; the next one is asked at once."""
        _wanted[type(self.kernel)] = True
        gradient = evaluate()[1]
        return gradient.reshape(-1, gradient.shape[-1])

    def _pull(self, evaluate, points):
        if not self.n_dims:
            return nothing

        def pull(G, scale, grads):
            gradient = self._gradient(evaluate)
            if G.dtype == torch.float64 and points.device.type == "cpu":
                # torch's product wakes all threads for ten rows.
                with one_blas_thread():
                    found = torch.from_numpy(G.numpy().ravel() @ gradient)
            else:
                found = G.reshape(-1) @ self._tensor(gradient, points)
            grads.append((self.free["theta"], scale, found))

        return pull

    def _tensor(self, array, points):
        return torch.as_tensor(array).to(points.device, points.dtype)


class _Itself:
    """The covariance of a kernel that is NumPy code throughout, without torch."""

    def __init__(self, node, points):
        self.node, self.X = node, points.objects

    def gram(self, theta, out):
        """As `few.FewRows.gram`."""
        node, K = self.node, out.numpy()
        K[...], both = node._value(node.parameters(theta, None), self.X)

        def pullback(G):
            if not node.n_dims:
                return np.zeros(0)
            W = np.tril(G.numpy())
            W.reshape(-1)[:: len(W) + 1] *= 0.5
            with one_blas_thread():
                return 2 * (W.reshape(-1) @ node._gradient(both))

        return out, pullback

    def cross(self, Z):
        """k(z_i, x_j), or None where a value is not finite."""
        K = np.asarray(self.node.kernel(Z, self.X), dtype=np.float64)
        return K if np.isfinite(K).all() else None

    def diag(self, Z, *, noise=True):
        """k(z, z): what of it is noise nobody knows."""
        return np.asarray(self.node.kernel.diag(Z), dtype=np.float64)


def _stacked(first, second):
    if isinstance(first, np.ndarray):
        return np.concatenate([first, second])
    return [*first, *second]


@functools.cache
def _warn_once(kernel_class):
    warnings.warn(
        f"{kernel_class.__name__} has no torch function: it runs through its own NumPy "
        "code, on the CPU. The numbers are right; to make it fast, give it one with "
        "sklearn_torchgp.register_kernel.",
        KernelFallbackWarning,
        stacklevel=callers_level(),
    )
