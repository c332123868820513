"""The Gram matrix of few rows, in NumPy: a sum of products of kernels.

A torch call takes 1 to 4 microseconds whatever it does, which is most of an evaluation
below a hundred rows. Here a kernel made by sums and products is multiplied out once,

    K = sum_terms c_t prod_j k_j(x, z)  +  noise I,

on squared differences of all pairs that are kept, so that r^2 and the gradient in all
length scales are one matrix-vector product each. The functions k_j are those that
tensors go through, where `KernelRecord.few` says that they take arrays, too. One log
marginal likelihood with its gradient (2 cores, 1.0 * RBF + WhiteKernel) by this path
and by torch: n = 10, d = 1: 0.034 and 0.107 ms; n = 50, d = 4: 0.057 and 0.16 ms.
"""

from dataclasses import dataclass
from functools import reduce
from itertools import product as pairs
from math import prod
from operator import mul

import numpy as np
import torch

from .operators import Product, Sum

# Most squared differences (n n d) that are kept, and most rows: a Gram matrix and its
# pullback took 0.44 ms here and 0.49 ms by torch at n = 300, d = 4; 1.02 and 0.72 ms at
# n = 500, d = 1.
MOST = 2**19
MOST_ROWS = 300

# The smallest length scale whose inverse has a square.
SMALLEST = 1e-145


def few_rows(tree, points):
    """The FewRows of a kernel's tree and its data, or None if they do not qualify."""
    on_cpu = points.device.type == "cpu" and points.dtype == torch.float64
    if not on_cpu or getattr(points.objects, "ndim", 1) != 2:
        return None
    n, d = points.objects.shape
    if n > MOST_ROWS or not 0 < n * n * d <= MOST:
        return None
    terms = _terms(tree) if tree.few else ()
    if not any(t.radials and not t.white for t in terms) or points.squares is None:
        return None
    return FewRows(terms, points.squares, tree.stop)


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
    """Gram matrices of the terms; to a kernel function, a `Separation` of all pairs.

    Parameters
    ----------
    terms : list of Term
    squares : ndarray (d, n n)
        Squared differences. All pairs stand in one row, here and in what is returned.
    n_dims : int
    """

    form = "numpy"

    def __init__(self, terms, squares, n_dims):
        self.terms, self.n_dims = terms, n_dims
        self.squares, self.total = squares, squares.sum(axis=0)
        self.n = round(squares.shape[1] ** 0.5)
        self.below = np.tri(self.n, dtype=bool)

    def numbers(self, values):
        return values

    def squared(self, length_scale):
        inverse = _inverse_square(length_scale)
        if isinstance(inverse, float):
            return self.total * inverse
        return inverse @ self.squares

    def distance(self, length_scale):
        r2 = self.squared(length_scale)
        return np.sqrt(r2, out=r2)

    def weighted(self, M, length_scale):
        inverse = _inverse_square(length_scale)
        if isinstance(inverse, float):
            return self.total @ M * inverse
        return self.squares @ M * inverse

    def gram(self, theta, out):
        """Fill out (n, n); returns what `Covariance.gram` does."""
        values = np.exp(theta)
        K = out.numpy().reshape(-1)
        noise, fresh, kept = 0.0, True, []
        for term in self.terms:
            c = prod(leaf.scalar(values) for leaf in term.scalars)
            if term.white:
                noise += c
                kept.append((term, c, None, ()))
                continue
            parts = [
                leaf.entry.dense(leaf.parameters(theta, self), self)
                for leaf in term.radials
            ]
            V = _product([value for value, _ in parts])
            if fresh:
                np.multiply(V, c, out=K)
                fresh = False
            else:
                K += c * V
            kept.append((term, c, V, parts))
        K[:: self.n + 1] += noise

        def pullback(G):
            W = np.where(self.below, G.numpy(), 0.0).reshape(-1)
            W[:: self.n + 1] *= 0.5
            return self._pull(W, kept)

        return out, pullback

    def _pull(self, W, kept):
        """The gradient, for W the lower pairs once and the diagonal half."""
        gradient = np.zeros(self.n_dims)
        for term, c, V, parts in kept:
            weights = W[:: self.n + 1] if term.white else W
            inner = W @ V if parts else weights.sum()
            for leaf in term.scalars:
                for place in leaf.free.values():
                    gradient[place] += 2 * c * inner
            for i, (_, pull) in enumerate(parts):
                free = term.radials[i].free
                if not free:
                    continue
                others = [value for j, (value, _) in enumerate(parts) if j != i]
                found = pull(_product([W, *others]))
                for name, place in free.items():
                    gradient[place] += 2 * c * found[name]
        return gradient


def _product(factors):
    """The product, 1 of none."""
    return reduce(mul, factors) if factors else 1.0


def _inverse_square(length_scale):
    if isinstance(length_scale, float):
        return (1 / max(length_scale, SMALLEST)) ** 2
    return (1 / np.maximum(length_scale, SMALLEST)) ** 2
