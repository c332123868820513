"""A scikit-learn kernel bound to rows of data."""

from functools import cached_property

import torch

from .._linalg.precision import double
from . import nonstationary, operators, stationary  # noqa: F401 (they fill the table)
from .at import CovarianceAt
from .binding import Binding
from .few import MOST_PAIRS, few_rows
from .points import Points
from .slopes import diag_slope


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

    Attributes
    ----------
    n_weights : int
        Of the kernel's networks. A theta that goes on with so many numbers has them,
        and gradients then have so many more; else they are the kernel object's own.

    Raises
    ------
    ValueError
        If the kernel's hyperparameters do not fit X, or for a CompoundKernel.
    """

    def __init__(self, kernel, X, *, dtype, device):
        shared = isinstance(X, Points)
        self.points = X if shared else Points(X, dtype=dtype, device=device)
        X = self.points.objects
        binding = Binding(X.shape[1] if getattr(X, "ndim", 1) == 2 else None)
        self._kernel, self._leaves = kernel, binding.leaves
        self._tree = binding.tree(kernel)
        self.n_weights = sum(network.n_weights for network in binding.networks)

    @property
    def n_dims(self):
        """Number of free hyperparameters, the length of theta."""
        return self._tree.stop

    @property
    def own_theta(self):
        """The theta that the kernel object has."""
        return self._kernel.theta

    @property
    def tells_noise(self):
        """Whether `nugget` is all the noise there is: NumPy kernels do not say."""
        return self._tree.blockwise

    def at(self, theta=None):
        """The covariance at one theta, its own where None: a `CovarianceAt`."""
        return CovarianceAt(self._tree, self._leaves, self.points, theta)

    def rows(self, index):
        """The covariance on some of its own rows: an index array, or a slice."""
        return self.on(self.points[index])

    def double(self):
        """The same covariance in float64 (on the CPU where its device has none)."""
        return self.on(self.points.double())

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
        if out is None:
            out = torch.empty(
                points.n, points.n, dtype=points.dtype, device=points.device
            )
        found = self.few and self.few.gram(theta, out)
        return found or self.at(theta).gram(out)

    def nugget(self, theta=None):
        """The kernel's own noise on each row, which `gram` has on its diagonal.

        Returns
        -------
        value : tensor (n,)
        pullback : callable
            ``pullback(g)`` -> ndarray (n_dims,), sum_i g_i d value_i / dtheta.
        """
        return self.at(theta).nugget()

    def full(self, X=None, theta=None, *, noise=True):
        """K(X, X), both triangles, with the kernel's own noise or without.

        X defaults to the own rows.
        """
        other = self if X is None else self.on(self._points(X))
        K, _ = other.gram(theta)
        K = K.tril() + K.tril(-1).mT
        if not noise:
            K.diagonal().copy_(other.diag(other.points, theta, noise=False))
        return K

    def cross(self, Z, theta=None):
        """k(z_i, x_j): tensor (m, n) for new rows Z; noise is never part of it."""
        return self.at(theta).cross(self._points(Z))[0]

    def times(self, Z, B):
        """The product of `cross` and B (n, q), in float64: tensor (m, q)."""
        c, K = self.at().factors(self._points(Z))
        product = double(K) @ double(B)
        return product if c == 1 else product.mul_(c)

    @property
    def few_at_a_time(self):
        """How many rows `few_cross` takes."""
        return MOST_PAIRS // self.points.n

    def few_cross(self, Z):
        """`cross` as an ndarray where NumPy is quicker, else None."""
        few = len(Z) <= self.few_at_a_time
        return self.few.cross(Z) if few and self.few is not None else None

    def diag(self, Z, theta=None, *, noise=True):
        """k(z_i, z_i): tensor (m,), with the kernel's own noise or without."""
        at, points = self.at(theta), self._points(Z)
        value = at.tree.diag(at.params, points)[0]
        if noise:
            value = value + at.tree.nugget(at.params, points)[0]
        return at.filled(value, points)

    def cross_slope(self, Z):
        """`cross` and its change with the rows Z.

        Returns
        -------
        k : tensor (m, n)
        pull : callable
            ``pull(G)`` -> tensor (m, d), sum_j G_ij dk(z_i, x_j) / dz_i.
        """
        return self.at().slope(Z)

    def diag_slope(self, Z, *, noise=True):
        """d `diag` / dz_i: tensor (m, d)."""
        return diag_slope(self._tree, self.at().params, Z, noise=noise)

    @cached_property
    def few(self):
        """The covariance in NumPy (`FewRows`), where that serves; else None."""
        return few_rows(self._tree, self.points)

    def _points(self, Z):
        return Z if isinstance(Z, Points) else self.points.others(Z)

    def on(self, points):
        """The same kernel on other rows, which are Points."""
        other = object.__new__(Covariance)
        other._leaves, other._tree = self._leaves, self._tree
        other._kernel, other.points = self._kernel, points
        other.n_weights = self.n_weights
        return other

    def __reduce__(self):
        """Bound anew where it arrives: a tree holds functions that do not travel."""
        points = self.points
        return _bound, (self._kernel, points.objects, points.dtype, points.device)


def _bound(kernel, X, dtype, device):
    return Covariance(kernel, X, dtype=dtype, device=device)
