"""A scikit-learn kernel bound to rows of data."""

from functools import cached_property

import numpy as np
import torch
from sklearn.gaussian_process import kernels

from .._linalg.memory import row_blocks, size_on
from . import nonstationary, stationary  # noqa: F401 (they fill the table)
from .fallback import Fallback
from .few import few_rows
from .leaf import Leaf
from .operators import Exponentiation, Product, Sum, weights_for
from .points import Points
from .registry import lookup
from .slopes import diag_slope, slope

# Up to this many rows the pullback works on what the kernel's closures still hold;
# beyond it the pullback evaluates block by block again, so that one (n, n) buffer is
# all the memory there is.
KEPT = 2500

# Rows of a block, memory permitting: with more of them a block reaches further above
# the diagonal, with fewer the calls cost more than the numbers (CPU; n = 1000).
# Accelerators: not measured.
BLOCK_ROWS = {"cpu": 192, "accelerator": 4096}

_OPERATORS = {kernels.Sum: Sum, kernels.Product: Product}


class Covariance:
    """k(x, z; theta) on the rows X, and on further rows.

    Parameters
    ----------
    kernel : scikit-learn kernel
        Read, never changed. Hyperparameters come from `theta` where one is given
        and from the kernel object otherwise.
    X : ndarray (n, d), list of n objects, or Points (which others may share)
    dtype : torch.dtype
    device : torch.device

    Raises
    ------
    ValueError
        If the kernel's hyperparameters do not fit X, or for a CompoundKernel.
    """

    def __init__(self, kernel, X, *, dtype, device):
        shared = isinstance(X, Points)
        self.points = X if shared else Points(X, dtype=dtype, device=device)
        X = self.points.objects
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

    @property
    def tells_noise(self):
        """Whether `nugget` is all the noise there is: NumPy kernels do not say."""
        return self._tree.blockwise

    def rows(self, index):
        """The covariance on some of its own rows, in the order of `index`."""
        X = self.points.objects
        table = isinstance(X, np.ndarray)
        return self._rebound(X[np.asarray(index)] if table else [X[i] for i in index])

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
        keep = n <= KEPT
        pairs = points.lower_blocks(blocks, keep=keep)
        pulls = []
        for rows, pair in zip(blocks, pairs, strict=True):
            value, pull = self._tree.dense(at, *pair)
            out[rows, : rows.stop] = value
            pulls.append(pull if keep else None)
        nugget, pull_nugget = self._tree.nugget(at, points)
        if self._tree.blockwise:  # exactly what `diag` says
            out.diagonal()[:] = self._tree.diag(at, points)[0] + nugget
        else:
            out.diagonal().add_(nugget)

        def pullback(G):
            grads = []
            for rows, pair, kept in zip(blocks, pairs, pulls, strict=True):
                W = _half_below(G, rows)
                pull = kept or self._tree.dense(at, *pair)[1]
                pull(weights_for(value, W), 2.0, grads)
            pull_nugget(weights_for(nugget, G.diagonal()), 1.0, grads)
            return self._collect(grads)

        return out, pullback

    def nugget(self, theta=None):
        """The kernel's own noise on each row, which `gram` has on its diagonal.

        Returns
        -------
        value : tensor (n,)
        pullback : callable
            ``pullback(g)`` -> ndarray (n_dims,), sum_i g_i d value_i / dtheta.
        """
        value, pull = self._tree.nugget(self._at(theta), self.points)

        def pullback(g):
            grads = []
            pull(weights_for(value, g), 1.0, grads)
            return self._collect(grads)

        return self._filled(value, self.points.n), pullback

    def full(self, X=None, theta=None, *, noise=True):
        """K(X, X), both triangles, with the kernel's own noise or without.

        X defaults to the own rows.
        """
        other = self if X is None else self._rebound(X)
        K, _ = other.gram(theta)
        K = K.tril() + K.tril(-1).mT
        if not noise:
            K.diagonal().copy_(other.diag(other.points, theta, noise=False))
        return K

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

    def cross_slope(self, Z):
        """`cross` and its change with the rows Z.

        Returns
        -------
        k : tensor (m, n)
        pull : callable
            ``pull(G)`` -> tensor (m, d), sum_j G_ij dk(z_i, x_j) / dz_i.
        """
        value, pull = slope(self._tree, self._at(None), Z, self.points)
        zeros = Z.zeros(*Z.raw.shape)
        return self._filled(value, Z.n, self.points.n), lambda G: zeros + pull(G)

    def diag_slope(self, Z, *, noise=True):
        """d `diag` / dz_i: tensor (m, d)."""
        return diag_slope(self._tree, self._at(None), Z, noise=noise)

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
        return few_rows(self._kernel, self.points)

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
        if not self._tree.blockwise:
            return [slice(0, points.n)]
        bytes_per_row = points.n * points.itemsize
        most = size_on(points.device, BLOCK_ROWS)
        return row_blocks(points.n, bytes_per_row, points.device, at_most=most)

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
        device, dtype = self.points.device, self.points.dtype
        if device.type == "cpu":
            terms = [np.asarray(term) for term in terms]
        else:
            terms = [  # a user's pullback may answer in NumPy or in numbers
                t if torch.is_tensor(t) else torch.from_numpy(np.array(t, float))
                for t in terms
            ]
            sizes = [term.numel() for term in terms]
            flat = [term.reshape(-1).to(device, dtype) for term in terms]
            terms = torch.cat(flat).cpu().numpy()
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
