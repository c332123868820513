"""Additive: interactions of a few features at a time."""

from numbers import Integral

import numpy as np
import torch
from sklearn.base import clone

from .._covariance.features import Term
from .._covariance.operators import Operator, is_number, plus, scaled, weights_for
from .._covariance.registry import KernelRecord, register
from .._covariance.weights import networks
from ._base import Kernel

# Hyperparameters of which a base kernel may have one for each feature.
PER_FEATURE = ("length_scale", "periodicity")


class Additive(Kernel):
    """k = sum_r v_r e_r(z_1 .. z_d), z_i = kernel(x_i, x'_i), r = 1 .. max_order.

    e_r is the sum of all products of r different z_i: a sum of functions of r features
    each, over all sets of r features (Duvenaud et al. 2011, "Additive Gaussian
    processes"). Of d features that are 2^d sets in d max_order products.

    Parameters
    ----------
    kernel : kernel
        Of one feature, used for each. Its `length_scale` (or `periodicity`) may have
        an entry for each.
    max_order : int, default=2
        The most features that interact; at most d counts.
    variances : array-like of shape (max_order,), default=None
        v_r, of each order. None: all 1.
    variances_bounds : pair, "fixed", or a list with one of these for each order, \
            default=(1e-5, 1e5)

    Notes
    -----
    The elementary symmetric polynomials are built up feature by feature,
    e_r <- e_r + z_i e_{r-1}, which has no differences in it; Newton and Girard's
    identities give the same numbers by alternating sums, which of 20 features have lost
    5 digits at order 8 and all of them at order 20.
    """

    parameters = ("variances",)
    may_be_zero = parameters
    stationary = True  # where its part is

    def __init__(
        self, kernel, max_order=2, variances=None, variances_bounds=(1e-5, 1e5)
    ):
        self.kernel = kernel
        self.max_order = max_order
        self.variances = variances
        self.variances_bounds = variances_bounds

    def _value(self, name):
        self._check_order()
        return np.ones(self.max_order) if self.variances is None else self.variances

    def _check_order(self):
        integer = isinstance(self.max_order, Integral) and self.max_order is not True
        if not integer or self.max_order < 1:
            raise ValueError(
                "The 'max_order' parameter of Additive must be an integer of at least "
                f"1. Got {self.max_order!r} instead."
            )

    def check(self, n_features):
        shape = np.shape(self._value("variances"))
        if shape != (self.max_order,) and not (shape == () and self.max_order == 1):
            raise ValueError(
                "The 'variances' parameter of Additive must have one value for each "
                f"order, {self.max_order}. Got {self.variances!r} instead."
            )

    def of_feature(self, i, d):
        """The base kernel of feature i of d, and where its theta stands in `kernel`'s.

        Returns
        -------
        kernel : kernel
        places : ndarray of int
        """
        if networks(self.kernel):
            raise ValueError(
                "The 'kernel' parameter of Additive must have no DeepKernel: it sees "
                f"one feature at a time. Got {self.kernel!r} instead."
            )
        kernel, places, start = clone(self.kernel), [], 0
        params = kernel.get_params()
        for hyper in self.kernel.hyperparameters:
            value, own = params[hyper.name], np.arange(start, start + hyper.n_elements)
            start += 0 if hyper.fixed else hyper.n_elements
            if hyper.name.split("__")[-1] not in PER_FEATURE or np.size(value) == 1:
                places += [] if hyper.fixed else list(own)
                continue
            if np.shape(value) != (d,):
                raise ValueError(
                    f"The 'kernel' parameter of Additive has {np.size(value)} values "
                    f"of {hyper.name!r}; allowed are one, or one for each of the {d} "
                    f"features. Got {self.kernel!r}."
                )
            bounds = _bounds_of_element(params[f"{hyper.name}_bounds"], i)
            changed = {hyper.name: float(value[i]), f"{hyper.name}_bounds": bounds}
            kernel.set_params(**changed)
            if not isinstance(bounds, str):
                places.append(own[_free_before(params[f"{hyper.name}_bounds"], i)])
        return kernel, np.array(places, dtype=int)


def _by_element(bounds):
    """Whether bounds are a list with those of each element."""
    mixed = any(isinstance(b, str) for b in bounds)
    return not isinstance(bounds, str) and (mixed or np.ndim(bounds) == 2)


def _bounds_of_element(bounds, i):
    if not _by_element(bounds):
        return bounds
    return bounds[i] if len(bounds) > 1 else bounds[0]


def _free_before(bounds, i):
    """How many of the elements before element i are free."""
    if not _by_element(bounds):
        return i
    return sum(not isinstance(b, str) for b in bounds[:i]) if len(bounds) > 1 else i


class SumOverSets(Operator):
    """The node: children are the base kernels, one for each feature, on its column."""

    def __init__(self, children, own):
        super().__init__(*children)
        self.own, self.stop, self.few = own, own.stop, False

    def dense(self, at, rows, cols):
        def part(i):
            one = rows.columns((i,))
            other = one if cols is rows else cols.columns((i,))
            return self.children[i].dense(at, one, other)

        shape = (*max(rows.shape[:-1], cols.shape[:-1], key=len), rows.n, cols.n)
        return self._summed(at, part, rows.zeros, shape)

    def diag(self, at, points):
        def part(i):
            return self.children[i].diag(at, points.columns((i,)))

        return self._summed(at, part, points.zeros, points.shape)

    def nugget(self, at, points):
        """What the sum has with noise in its parts beyond what it has without."""
        ones = [points.columns((i,)) for i in range(len(self.children))]
        noise = [k.nugget(at, one) for k, one in zip(self.children, ones, strict=True)]
        if all(is_number(value, 0) for value, _ in noise):
            return noise[0]

        def part(i):
            return plus(self.children[i].diag(at, ones[i]), noise[i])

        d, pull = self.diag(at, points)
        noisy = self._summed(at, part, points.zeros, points.shape)
        return plus(noisy, (-d, scaled(pull, -1.0)))

    def slope(self, at, rows, cols):
        columns = [(i,) for i in range(len(self.children))]
        parts = [
            child.slope(at, rows.columns(i), cols.columns(i))
            for child, i in zip(self.children, columns, strict=True)
        ]
        variances = self._variances(at)
        e = symmetric((value for value, _ in parts), len(variances))

        def pull(G):
            slopes = rows.zeros(*rows.raw.shape)
            for i, (z, pull_z) in enumerate(parts):
                weight = _weighted(variances, without(e, z))
                slopes[:, i : i + 1] += pull_z(G * weight)
            return slopes

        return _weighted(variances, e[1:]) + rows.zeros(rows.n, cols.n), pull

    def _summed(self, at, part, zeros, shape):
        """sum_r v_r e_r of the values that ``part(i)`` gives with their pulls."""
        variances, d = self._variances(at), len(self.children)
        e = symmetric((part(i)[0] for i in range(d)), len(variances))
        value = _weighted(variances, e[1:])

        def pull(G, scale, grads):
            gains = [(G * (v * e_r)).sum() for v, e_r in _pairs(variances, e[1:])]
            self.own.gain({"variances": torch.stack(gains)}, scale, grads)
            for i in range(d):
                z, pull_z = part(i)  # once more: d matrices are not kept
                weight = G * _weighted(variances, without(e, z))
                pull_z(weights_for(z, weight), scale, grads)

        full = isinstance(value, torch.Tensor) and value.ndim  # unless of constants
        return value if full else value + zeros(*shape), pull

    def _variances(self, at):
        variances = at[self.own.index]["variances"]
        single = isinstance(variances, float) or not variances.ndim
        return [variances] if single else list(variances)


def symmetric(values, order):
    """Elementary symmetric polynomials e_0 .. e_order of the values."""
    e = [1.0] + [0.0] * order
    for z in values:
        for r in range(order, 0, -1):
            e[r] = e[r] + z * e[r - 1]
    return e


def without(e, z):
    """Those of all values but z, of orders 0 .. order - 1."""
    w = [1.0]
    for e_r in e[1:-1]:
        w.append(e_r - z * w[-1])
    return w


def _weighted(variances, e):
    """sum_r v_r e_r."""
    return sum(v * e_r for v, e_r in _pairs(variances, e))


def _pairs(variances, e):
    return zip(variances, e, strict=True)


def _node(kernel, start, binding):
    d = binding.n_features
    if d is None:
        raise ValueError(f"{kernel} needs rows of numbers: X must be a table.")
    kernel.check(d)
    children = []
    for i in range(d):
        part, places = kernel.of_feature(i, d)
        first = len(binding.leaves)
        children.append(binding.within(1).node(part, 0))
        for leaf in binding.leaves[first:]:  # the same theta for every feature
            leaf.free = {k: start + places[where] for k, where in leaf.free.items()}
    own = binding.own(kernel, start + kernel.kernel.n_dims)
    return SumOverSets(children, own)


def _terms(kernel, d, terms):
    """One Term for each product of up to max_order features' terms."""
    kernel.check(d)
    e = [[Term(1.0)]] + [[] for _ in range(kernel.max_order)]
    for i in range(d):
        z = [term.of_columns([i]) for term in terms(kernel.of_feature(i, d)[0], 1)]
        for r in range(kernel.max_order, 0, -1):
            e[r] = e[r] + [a * b for a in e[r - 1] for b in z]
    variances = np.reshape(kernel._value("variances"), -1)
    return [Term(float(v)) * t for v, e_r in _pairs(variances, e[1:]) for t in e_r]


register(Additive, KernelRecord(node=_node, terms=_terms))
