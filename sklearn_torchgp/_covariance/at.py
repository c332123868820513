"""A covariance at one theta: any part of it, each with its pullback."""

import copy

import numpy as np
import torch

from .._linalg.cholesky import lower_
from .._linalg.memory import row_blocks, size_on
from .operators import factored, weights_for

# Up to this many rows the pullback works on what the kernel's closures still hold;
# beyond it the pullback evaluates block by block again, so that one (n, n) buffer is
# all the memory there is.
KEPT = 2500

# Rows of a block, memory permitting: with more of them a block reaches further above
# the diagonal, with fewer the calls cost more than the numbers (CPU; n = 1000).
# Accelerators: not measured.
BLOCK_ROWS = {"cpu": 192, "accelerator": 4096}


class CovarianceAt:
    """k(., .; theta) on any rows; what `Covariance.at` gives.

    Every method answers with a value and its pullback: for weights G of the value's
    shape, ``pullback(G)`` -> ndarray (n_dims,) is sum G * dvalue / dtheta. Rows are
    `Points`, for the training rows None; ``covariance.points[index]`` are some of
    them, and an index (b, k) makes batches of rows.

    Parameters
    ----------
    tree : node
        What the kernel was bound to.
    leaves : list of nodes
    points : Points
        The training rows.
    theta : ndarray (n_dims,) or None
        None: the kernel object's own hyperparameters.
    """

    def __init__(self, tree, leaves, points, theta):
        self.tree, self.leaves, self.points = tree, leaves, points
        self.params = [leaf.parameters(theta, points) for leaf in leaves]
        self.n_dims = tree.stop if theta is None else len(theta)

    def cross(self, A=None, B=None):
        """k(a_i, b_j): tensor (..., m, n); noise is never part of it."""
        A, B = self._pair(A, B)
        value, pull = self.tree.dense(self.params, A, B)
        return self._answer(value, pull, A, B)

    def factors(self, A=None, B=None):
        """c and K of which `cross` says c K: a float and a tensor."""
        A, B = self._pair(A, B)
        c, value, _ = factored(self.tree, self.params, A, B)
        return c, self.filled(value, A, B)

    def diag(self, A=None):
        """k(a_i, a_i): tensor (..., m), without the noise that `nugget` tells."""
        A = self._rows(A)
        return self._answer(*self.tree.diag(self.params, A), A)

    def nugget(self, A=None):
        """The kernel's own noise on each row: tensor (..., m)."""
        A = self._rows(A)
        return self._answer(*self.tree.nugget(self.params, A), A)

    def blocks(self, index):
        """What `gram` is on some of the training rows each.

        Parameters
        ----------
        index : ndarray or tensor of int (b, k)
            Training rows of each block. Blocks may share rows.

        Returns
        -------
        K : tensor (b, k, k)
            Both triangles, with the kernel's noise on the diagonals: a NumPy kernel
            does not tell it apart, and whoever conditions on a block wants it there.
        pullback : callable
            Reads all of G (b, k, k).
        """
        rows = self.points[index]
        value, pull = self.tree.dense(self.params, rows, rows)
        K = self.filled(value, rows, rows).clone()
        pull_noise = self._add_noise(K, rows)

        def pull_both(G, scale, grads):
            pull(weights_for(value, G), scale, grads)
            pull_noise(G, scale, grads)

        return K, self._pullback(pull_both)

    def gram(self, out):
        """K(X, X) with its noise in `out`, by blocks: see `Covariance.gram`."""
        points = self.points
        blocks, keep = self._row_blocks(), points.n <= KEPT
        pairs = points.lower_blocks(blocks, keep=keep)
        pulls = []
        for rows, pair in zip(blocks, pairs, strict=True):
            c, value, pull = factored(self.tree, self.params, *pair)
            torch.mul(self.filled(value, *pair), c, out=out[rows, : rows.stop])
            pulls.append(pull if keep else None)
        pull_noise = self._add_noise(out, points)

        def pull_all(G, scale, grads):
            for rows, pair, kept in zip(blocks, pairs, pulls, strict=True):
                W = _half_below(G, rows)
                pull = kept or self.tree.dense(self.params, *pair)[1]
                pull(weights_for(value, W), 2 * scale, grads)
            pull_noise(G, scale, grads)

        return out, self._pullback(pull_all)

    def coordinates(self, A=None):
        """Rows in length scales, for each part of the kernel that falls with distance.

        Returns
        -------
        list of ndarray (m, d)
        """
        A = self._rows(A)
        leaves = _leaves(self.tree)
        if leaves is None:
            return []
        X, found = np.asarray(A.objects), []
        for leaf, columns in leaves:
            falls_with = _falls_with(leaf)
            if falls_with:
                scale = torch.as_tensor(self.params[leaf.index][falls_with])
                seen = np.asarray(X - A.centre, dtype=np.float64)[:, columns]
                found.append(seen / scale.cpu().double().numpy())
        return found

    def length_scales(self):
        """The least length scale of each feature: ndarray (d,), inf without any."""
        scales = np.full(np.shape(self.points.objects)[1], np.inf)
        for leaf, columns in _leaves(self.tree) or []:
            falls_with = _falls_with(leaf)
            if falls_with:
                scale = torch.as_tensor(self.params[leaf.index][falls_with])
                scale = scale.cpu().double().numpy()
                scales[columns] = np.minimum(scales[columns], scale)
        return scales

    @property
    def falls_with_distance(self):
        """Whether |k| falls with one distance, that of `coordinates`, and no more."""
        leaves = _leaves(self.tree)
        if leaves is None:
            return False
        varying = [leaf for leaf, _ in leaves if _varies(leaf)]
        return len(varying) == 1 and bool(_falls_with(varying[0]))

    def slope(self, Z, A=None):
        """k(z_i, a_j) (m, n), and its change with z_i as a function ``pull(G)``."""
        A = self._rows(A)
        value, pull = self.tree.slope(self.params, Z, A)
        zeros = Z.zeros(*Z.raw.shape)
        return self.filled(value, Z, A), lambda G: zeros + pull(G)

    def filled(self, value, *rows):
        """The value on these rows as a tensor: constants are floats in the tree."""
        if isinstance(value, torch.Tensor):
            return value
        points = self.points
        shape = max((A.shape[:-1] for A in rows), key=len) + tuple(A.n for A in rows)
        return torch.full(shape, value, dtype=points.dtype, device=points.device)

    def _rows(self, A):
        return self.points if A is None else A

    def _pair(self, A, B):
        A, B = self._rows(A), self._rows(B)
        if A is B and not self.tree.blockwise:
            B = copy.copy(A)  # a NumPy kernel has noise where rows meet themselves
        return A, B

    def _row_blocks(self):
        points, device = self.points, self.points.device
        if not self.tree.blockwise:
            return [slice(0, points.n)]
        bytes_per_row, most = points.n * points.itemsize, size_on(device, BLOCK_ROWS)
        return row_blocks(points.n, bytes_per_row, device, at_most=most)

    def _add_noise(self, K, rows):
        """The diagonal with its noise, exactly as `diag` and `nugget` say it."""
        nugget, pull = self.tree.nugget(self.params, rows)
        diagonal = K.diagonal(dim1=-2, dim2=-1)
        if self.tree.blockwise:
            diagonal[:] = self.tree.diag(self.params, rows)[0] + nugget
        else:
            diagonal += nugget

        def pull_noise(G, scale, grads):
            pull(weights_for(nugget, G.diagonal(dim1=-2, dim2=-1)), scale, grads)

        return pull_noise

    def _answer(self, value, pull, *rows):
        def pull_weights(G, scale, grads):
            pull(weights_for(value, G), scale, grads)

        return self.filled(value, *rows), self._pullback(pull_weights)

    def _pullback(self, pull):
        def pullback(G):
            grads = []
            pull(G, 1.0, grads)
            return self._collect(grads)

        return pullback

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
    square = lower_(W[:, rows.start :])
    square.diagonal().mul_(0.5)
    return W


def _leaves(node, columns=slice(None)):
    """The leaves below a node, each with the columns of the rows that it sees.

    None where a node is more than a function of its children's values: there nothing
    is known of what is near.
    """
    children = getattr(node, "children", None)
    if children is None:
        return [(node, columns)]
    if not node.pointwise:
        return None
    if node.columns is not None:
        seen = list(node.columns)
        columns = seen if isinstance(columns, slice) else [columns[i] for i in seen]
    found = [_leaves(child, columns) for child in children]
    return None if None in found else [one for part in found for one in part]


def _falls_with(leaf):
    return getattr(getattr(leaf, "entry", None), "falls_with", None)


def _varies(leaf):
    entry = getattr(leaf, "entry", None)
    return entry is None or entry.inputs != "none"
