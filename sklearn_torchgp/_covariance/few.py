"""The covariance of few rows, in NumPy: a sum of products of kernels.

A torch call takes 1 to 4 microseconds whatever it does, which is most of an evaluation
below a hundred rows. Here a kernel made by sums and products is multiplied out once,

    K = sum_terms c_t prod_j k_j(x, z)  +  noise I.

The functions k_j are those that tensors go through, where `KernelRecord.few` says that
they take arrays, too: of squared differences of all pairs that are kept, so that r^2
and the gradient in all length scales are one matrix-vector product each (`AllPairs`),
or of differences that are taken once (`Between`). One log marginal likelihood with its
gradient (1.0 * RBF + WhiteKernel) by this path takes a third of torch's time at n = 10,
d = 1 and at n = 50, d = 4 (0.09 and 0.26 ms, 0.14 and 0.47 ms on two slow cores).
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from itertools import product as pairs
from math import prod
from operator import add, mul

import numpy as np
import torch
from scipy.spatial.distance import cdist

from .operators import Product, Sum

# Most squared differences (n n d) that are kept, and most rows. A whole likelihood with
# its gradient took 3.4 ms with the Gram matrix and its pullback from here and 3.9 by
# torch at n = 400, d = 3, on two threads, 4.8 and 4.9 at n = 500, d = 1; on one thread
# 3.0 and 4.2, 5.0 and 5.8.
MOST = 2**19
MOST_ROWS = 500

# Most pairs of new and training rows.
MOST_PAIRS = 2**15

# The smallest length scale whose inverse has a square.
SMALLEST = 1e-145


def few_rows(tree, points):
    """The FewRows of a kernel's tree and its data, or None if they do not qualify.

    A tree may have its own, `few_rows`: a kernel that is NumPy code throughout.
    """
    on_cpu = points.device.type == "cpu" and points.dtype == torch.float64
    if not on_cpu or getattr(points.objects, "ndim", 1) != 2:
        return None
    if hasattr(tree, "few_rows"):
        return tree.few_rows(points)
    terms = _terms(tree) if tree.few and points.objects.shape[1] else ()
    if not any(t.radials and not t.white for t in terms):
        return None
    return FewRows(terms, points, tree.stop)


@dataclass
class Term:
    """A product of leaves: of scalars, and of functions of the differences."""

    scalars: tuple = ()
    radials: tuple = ()
    white: bool = False

    def __mul__(self, other):
        return Term(
            self.scalars + other.scalars,
            self.radials + other.radials,
            self.white or other.white,
        )

    @cached_property
    def places(self):
        """Where its free scalars stand in theta."""
        free = (leaf.free.values() for leaf in self.scalars)
        return [where.start for one in free for where in one]

    @cached_property
    def fixed(self):
        """The product of the others."""
        return prod(leaf.number for leaf in self.scalars if not leaf.free)

    def scale(self, values=None):
        """c_t, by a list of exp(theta) or at the kernel's own values."""
        if values is None:
            return prod(leaf.number for leaf in self.scalars)
        return prod([values[place] for place in self.places], start=self.fixed)

    def parts(self, theta, apart):
        """The functions of the differences: pairs of a value and its pullback."""
        return [
            leaf.entry.dense(leaf.parameters(theta, apart), apart)
            for leaf in self.radials
        ]


def _terms(node):
    """The terms of a node."""
    if isinstance(node, Sum):
        return [term for child in node.children for term in _terms(child)]
    if isinstance(node, Product):
        return [a * b for a, b in pairs(*map(_terms, node.children))]
    if node.entry.inputs == "pairs":
        return [Term(radials=(node,))]
    return [Term(scalars=(node,), white=node.entry.nugget is not None)]


class FewRows:
    """The covariance on few rows, as a sum of terms.

    Parameters
    ----------
    terms : list of Term
    points : Points
    n_dims : int
    """

    def __init__(self, terms, points, n_dims):
        self.terms, self.points, self.n_dims = terms, points, n_dims

    @cached_property
    def pairs(self):
        """All pairs of the rows; None where their squares are out of range."""
        X = np.ascontiguousarray(self.points.objects.T, dtype=np.float64)
        gaps = np.diff(np.sort(X))
        positive = gaps[gaps > 0]
        # Beyond these the squares could leave the range of floats.
        if positive.size and (positive.min() < 1e-90 or not np.ptp(X, 1).max() < 1e90):
            return None
        n = X.shape[1]
        rows, columns, below = _below(n)
        squares = X.take(rows, axis=1)
        squares -= X.take(columns, axis=1)
        return AllPairs(np.square(squares, out=squares), n, below)

    def gram(self, theta, out):
        """Fill out (n, n); returns what `Covariance.gram` does, None if out of range.

        Its own theta is what a kernel is asked for once, after a fit: then differences
        are not worth keeping.
        """
        n, d = self.points.objects.shape
        if n > MOST_ROWS or n * n * d > MOST:
            return None
        if theta is None:
            K = self._cross(self._centred)
            if K is None:
                return None
            K.reshape(-1)[:: n + 1] = self.diag(None)
            out.numpy()[...] = K
            return out, lambda G: self._gram(None, torch.empty_like(out))[1](G)
        return None if self.pairs is None else self._gram(theta, out)

    def _gram(self, theta, out):
        pairs = self.pairs
        values = None if theta is None else np.exp(theta).tolist()  # for a pullback
        K = out.numpy().reshape(-1)
        below, variance, kept = [], 0.0, []
        for term in self.terms:
            c = term.scale(values)
            variance += c  # of a row with itself: functions of distance are 1 there
            if term.white:
                kept.append((term, c, None, ()))
                continue
            parts = term.parts(theta, pairs)
            V = _product([value for value, _ in parts])
            below.append(c * V)
            kept.append((term, c, V, parts))
        K[pairs.below] = reduce(add, below)
        K[:: pairs.n + 1] = variance

        def pullback(G):
            G = G.numpy().reshape(-1)
            trace = np.add.reduce(G[:: pairs.n + 1])
            return self._pull(G.take(pairs.below), trace, kept)

        return out, pullback

    def cross(self, Z):
        """k(z_i, x_j) at the kernel's own values: ndarray (m, n), noise left out.

        None where a value is not finite.
        """
        return self._cross(Z - self.points.centre)

    def _cross(self, centred):
        between = Between(centred, self._centred, self._scaled)
        terms = (
            c * _product([k for k, _ in term.parts(None, between)])
            for term, c in self._own
            if not term.white
        )
        K = reduce(add, terms)
        return K if math.isfinite(np.add.reduce(K, axis=None)) else None

    def diag(self, Z, *, noise=True):
        """k(z, z), the same for all rows."""
        return sum(c for term, c in self._own if noise or not term.white)

    @cached_property
    def _centred(self):
        return np.asarray(self.points.objects, dtype=np.float64) - self.points.centre

    @cached_property
    def _scaled(self):
        """The rows in units of the kernel's own length scales: see `Between`."""
        return {}

    @cached_property
    def _own(self):
        """The terms with their scales, at the kernel's own values."""
        return [(term, term.scale()) for term in self.terms]

    def _pull(self, W, trace, kept):
        """The gradient, for weights W of the lower pairs and the sum of the diagonal's.

        Only scales change a row's covariance with itself.
        """
        gradient = np.zeros(self.n_dims)
        for term, c, V, parts in kept:
            below = 0.0 if term.white else W @ V if parts else W.sum()
            for place in term.places:
                gradient[place] += c * (2 * below + trace)
            for i, (_, pull) in enumerate(parts):
                free = term.radials[i].free
                if not free:
                    continue
                others = [value for value, _ in parts[:i] + parts[i + 1 :]]
                found = pull(_product([W, *others]) if others else W)
                for name, place in free.items():
                    gradient[place] += 2 * c * found[name]
        return gradient


@lru_cache(maxsize=2)
def _below(n):
    """Rows, columns and places of what stands below the diagonal of (n, n)."""
    rows, columns = np.tril_indices(n, -1)
    return rows, columns, rows * n + columns


class _Pairs:
    """Pairs of rows, as kernel functions take them: a `Separation` of arrays."""

    form = "numpy"

    def numbers(self, values):
        return values

    def distance(self, length_scale):
        r2 = self.squared(length_scale)
        return np.sqrt(r2, out=r2)


class AllPairs(_Pairs):
    """All pairs of n rows, each once and none with itself, their differences kept.

    Parameters
    ----------
    squares : ndarray (d, n (n - 1) / 2)
        Squared differences. All pairs stand in one row, here and in what is returned.
    n : int
    below : ndarray (n (n - 1) / 2,)
        Where they stand in an (n, n) matrix: below its diagonal.
    """

    def __init__(self, squares, n, below):
        self.squares, self.total = squares, squares.sum(axis=0)
        self.n, self.below = n, below

    def squared(self, length_scale):
        inverse = _inverse_square(length_scale)
        if isinstance(inverse, float):
            return self.total * inverse
        return inverse @ self.squares

    def weighted(self, M, length_scale):
        inverse = _inverse_square(length_scale)
        if isinstance(inverse, float):
            return self.total @ M * inverse
        return self.squares @ M * inverse


class Between(_Pairs):
    """The pairs of rows A (m, d) and B (n, d), for values only.

    `scaled` keeps B in units of a length scale, by the object that this is.
    """

    def __init__(self, A, B, scaled):
        self.A, self.B, self.scaled = A, B, scaled

    def squared(self, length_scale):
        kept = self.scaled.get(id(length_scale))
        if kept is None:
            kept = self.scaled[id(length_scale)] = length_scale, self.B / length_scale
        A = kept[1] if self.A is self.B else self.A / length_scale
        return cdist(A, kept[1], "sqeuclidean")


def _product(factors):
    """The product, 1 of none."""
    return reduce(mul, factors) if factors else 1.0


def _inverse_square(length_scale):
    if isinstance(length_scale, float):
        return (1 / max(length_scale, SMALLEST)) ** 2
    return (1 / np.maximum(length_scale, SMALLEST)) ** 2
