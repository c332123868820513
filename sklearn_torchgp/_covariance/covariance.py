"""A scikit-learn kernel bound to rows of data."""

from functools import cached_property

import numpy as np
import torch
from sklearn.gaussian_process import kernels

from .._tensors import row_blocks
from . import nonstationary, stationary  # noqa: F401 (they fill the table)
from .fallback import Fallback
from .few import few_rows
from .leaf import Leaf
from .operators import Exponentiation, Product, Sum, weights_for
from .points import Points
from .registry import lookup

# Up to this many rows the Gram matrix is one block, and the pullback works on what
# the kernel's closure still holds; beyond it the pullback evaluates block by block
# again, so that one (n, n) buffer is all the memory there is.
WHOLE = 512

_OPERATORS = {kernels.Sum: Sum, kernels.Product: Product}


class Covariance:
    """k(x, z; theta) on the rows X, and on further rows.

    Parameters
    ----------
    kernel : scikit-learn kernel
        Read, never changed. Hyperparameters come from `theta` where one is given
        and from the kernel object otherwise.
    X : ndarray (n, d), or list of n objects
    dtype : torch.dtype
    device : torch.device

    Raises
    ------
    ValueError
        If the kernel's hyperparameters do not fit X, or for a CompoundKernel.
    """

    def __init__(self, kernel, X, *, dtype, device):
        self.points = Points(X, dtype=dtype, device=device)
        self._leaves = []
        self._tree = self._bind(kernel, 0)
        n_features = X.shape[1] if getattr(X, "ndim", 1) == 2 else None
        for leaf in self._leaves:
            leaf.check(n_features)
        self._kernel = kernel

    @property
    def n_dims(self):
        """Number of free hyperparameters, the length of theta."""
        return self._tree.stop

    def gram(self, theta=None, out=None):
        """K(X, X) with its noise, and its pullback.

        Parameters
        ----------
        theta : ndarray (n_dims,), default=None
        out : tensor (n, n), default=None
            Written where given.

        Returns
        -------
        K : tensor (n, n)
            Valid in its lower triangle.
        pullback : callable
            ``pullback(G)`` -> ndarray (n_dims,), sum_ij G_ij dK_ij / dtheta for a
            symmetric G of which the lower triangle is read. G is left as it was.
        """
        points = self.points
        n = points.n
        if out is None:
            out = torch.empty(n, n, dtype=points.dtype, device=points.device)
        # theta=None is asked for once, after a fit: not worth all pairs' differences.
        if theta is not None and self._few is not None:
            return self._few.gram(theta, out)
        at = self._at(theta)
        blocks = self._blocks()
        for rows in blocks:
            value, kept = self._tree.dense(at, points[rows], self._columns(rows))
            out[rows, : rows.stop] = value
        nugget, pull_nugget = self._tree.nugget(at, points)
        if self._tree.blockwise:  # exactly what `diag` says
            out.diagonal()[:] = self._tree.diag(at, points)[0] + nugget
        else:
            out.diagonal().add_(nugget)

        def pullback(G):
            grads = []
            for rows in blocks:
                W = _half_below(G, rows)
                pull = kept if len(blocks) == 1 else self._repeat(at, rows)
                pull(weights_for(value, W), 2.0, grads)
            pull_nugget(weights_for(nugget, G.diagonal()), 1.0, grads)
            return self._collect(grads)

        return out, pullback

    def full(self, X=None, theta=None):
        """K(X, X) with its noise, both triangles; X defaults to the own rows."""
        other = self if X is None else self._rebound(X)
        K, _ = other.gram(theta)
        return K.tril() + K.tril(-1).mT

    def cross(self, Z, theta=None):
        """k(z_i, x_j): tensor (m, n) for new rows Z; noise is never part of it."""
        points = Z if isinstance(Z, Points) else self.points.others(Z)
        value, _ = self._tree.dense(self._at(theta), points, self.points)
        return self._filled(value, points.n, self.points.n)

    def diag(self, Z, theta=None, *, noise=True):
        """k(z_i, z_i): tensor (m,), with the kernel's own noise or without."""
        points = Z if isinstance(Z, Points) else self.points.others(Z)
        at = self._at(theta)
        value, _ = self._tree.diag(at, points)
        if noise:
            value = value + self._tree.nugget(at, points)[0]
        return self._filled(value, points.n)

    def _bind(self, kernel, start):
        """The node of a kernel object whose hyperparameters begin at theta[start]."""
        operator = _OPERATORS.get(type(kernel))
        if operator is not None:
            first = self._bind(kernel.k1, start)
            return operator(first, self._bind(kernel.k2, first.stop))
        if type(kernel) is kernels.Exponentiation:
            return Exponentiation(self._bind(kernel.kernel, start), kernel.exponent)
        if type(kernel) is kernels.CompoundKernel:
            raise ValueError(
                "The 'kernel' parameter is a CompoundKernel, which stands for several "
                "covariance matrices, one for each of its kernels. A regressor needs "
                "one: combine the kernels with + or *."
            )
        entry = lookup(kernel)
        if entry is None:
            node = Fallback(kernel, len(self._leaves), start)
        else:
            node = Leaf(kernel, entry, len(self._leaves), start)
        self._leaves.append(node)
        return node

    @cached_property
    def _few(self):
        points = self.points
        return few_rows(self._kernel, points.objects, points.dtype, points.device)

    def _at(self, theta):
        dtype, device = self.points.dtype, self.points.device
        return [leaf.parameters(theta, dtype, device) for leaf in self._leaves]

    def _rebound(self, X):
        other = object.__new__(Covariance)
        other._leaves, other._tree = self._leaves, self._tree
        other.points = self.points.others(X)
        other._kernel = self._kernel
        return other

    def _blocks(self):
        points = self.points
        if points.n <= WHOLE or not self._tree.blockwise:
            return [slice(0, points.n)]
        return row_blocks(points.n, points.n * points.itemsize, points.device)

    def _columns(self, rows):
        return self.points[slice(0, rows.stop)]

    def _repeat(self, at, rows):
        return self._tree.dense(at, self.points[rows], self._columns(rows))[1]

    def _filled(self, value, *shape):
        if isinstance(value, torch.Tensor):
            return value
        points = self.points
        return torch.full(shape, value, dtype=points.dtype, device=points.device)

    def _collect(self, grads):
        """The terms of the gradient added up on the host, after one transfer."""
        gradient = np.zeros(self.n_dims)
        if not grads:
            return gradient
        places, scales, terms = zip(*grads, strict=True)
        if self.points.device.type == "cpu":
            terms = [np.asarray(term) for term in terms]
        else:
            terms = [torch.as_tensor(t, device=self.points.device) for t in terms]
            sizes = [term.numel() for term in terms]
            together = torch.cat([term.reshape(-1) for term in terms])
            terms = together.cpu().numpy()
            terms = np.split(terms, np.cumsum(sizes)[:-1])
        for place, scale, term in zip(places, scales, terms, strict=True):
            gradient[place] += scale * term
        return gradient


def _half_below(G, rows):
    """Half the weights for the block G[rows, :stop] of a symmetric sum: the lower
    pairs, and half of the diagonal.
    """
    W = G[rows, : rows.stop].clone(memory_format=torch.contiguous_format)
    square = W[:, rows.start :].tril_()
    square.diagonal().mul_(0.5)
    return W
