"""ChangePoint: one kernel before, another after."""

import numpy as np
import torch

from .._covariance.operators import Operator, weights_for
from .._covariance.registry import KernelRecord, register
from ._names import Named


class ChangePoint(Named):
    """k = (1 - a(x)) k_before(x, z) (1 - a(z)) + a(x) k_after(x, z) a(z).

    a(x) = 1 / (1 + exp(-steepness (x_f - location))) rises from 0 to 1 where feature f
    passes the location: a process that turns into an independent other one.

    Parameters
    ----------
    kernel_before, kernel_after : kernel
        Of all features.
    location : float
        Where, in units of the feature; any number. The entry of `theta` is in units of
        the width of its bounds.
    steepness : float, default=1.0
        One by the width of the change, in units of the feature.
    feature : int or str, default=0
        Its position, or (as for `Columns`) its name in a data frame.
    location_bounds : pair or "fixed", default=None
        None: the range of the feature in the rows that one of our estimators is fitted
        to, and of the location; elsewhere all numbers.
    steepness_bounds : pair or "fixed", default=(1e-5, 1e5)
    """

    parameters = ("location", "steepness")
    linear = ("location",)

    def __init__(
        self,
        kernel_before,
        kernel_after,
        location,
        steepness=1.0,
        feature=0,
        location_bounds=None,
        steepness_bounds=(1e-5, 1e5),
    ):
        self.kernel_before = kernel_before
        self.kernel_after = kernel_after
        self.location = location
        self.steepness = steepness
        self.feature = feature
        self.location_bounds = location_bounds
        self.steepness_bounds = steepness_bounds

    def acquaint(self, names, X, y):
        super().acquaint(names, X, y)
        if X is not None and self.location_bounds is None:
            x = np.asarray(X, dtype=np.float64)[:, self.index(X.shape[1])]
            x = np.append(x, self.location)
            self.location_bounds = (float(x.min()), float(x.max()))

    def bounds_of(self, name):
        if name == "location" and self.location_bounds is None:
            return (-np.inf, np.inf)
        return super().bounds_of(name)

    def index(self, d):
        """The position of the feature among d."""
        found = self.positions("feature", d)
        if len(found) != 1:
            self._refuse("feature", f"one of the {d} columns of X")
        return found[0]


class Changing(Operator):
    """The node of a change point.

    With b = 1 - a, k = b B b' + a A a', and the diagonal and the noise likewise.
    """

    def __init__(self, before, after, own, index):
        super().__init__(before, after)
        self.own, self.index, self.few = own, index, False
        self.stop = own.stop

    def dense(self, at, rows, cols):
        a, bend, a_, bend_ = (*self._rise(at, rows), *self._rise(at, cols))
        a, a_ = a[..., :, None], a_[..., None, :]
        (B, pull_B), (A, pull_A) = (k.dense(at, rows, cols) for k in self.children)

        def pull(G, scale, grads):
            pull_B(weights_for(B, G * (1 - a) * (1 - a_)), scale, grads)
            pull_A(weights_for(A, G * a * a_), scale, grads)
            by_row = (G * (A * a_ - B * (1 - a_))).sum(-1)
            by_column = (G * (A * a - B * (1 - a))).sum(-2)
            bend(by_row, scale, grads)
            bend_(by_column, scale, grads)

        return (1 - a) * B * (1 - a_) + a * A * a_, pull

    def diag(self, at, points):
        return self._squared(at, points, *(k.diag(at, points) for k in self.children))

    def nugget(self, at, points):
        found = [k.nugget(at, points) for k in self.children]
        if all(isinstance(value, float) and value == 0 for value, _ in found):
            return found[0]
        return self._squared(at, points, *found)

    def _squared(self, at, points, before, after):
        """b^2 B + a^2 A for the children's values on the diagonal."""
        a, bend = self._rise(at, points)
        (B, pull_B), (A, pull_A) = before, after

        def pull(g, scale, grads):
            pull_B(weights_for(B, g * (1 - a).square()), scale, grads)
            pull_A(weights_for(A, g * a.square()), scale, grads)
            bend(2 * g * (A * a - B * (1 - a)), scale, grads)

        return (1 - a).square() * B + a.square() * A, pull

    def slope(self, at, rows, cols):
        a, a_ = self._rise(at, rows)[0][:, None], self._rise(at, cols)[0]
        (B, pull_B), (A, pull_A) = (k.slope(at, rows, cols) for k in self.children)
        steep = at[self.own.index]["steepness"] * (a * (1 - a))[:, 0]

        def pull(G):
            inner = pull_B(G * (1 - a) * (1 - a_)) + pull_A(G * a * a_)
            slopes = rows.zeros(*rows.raw.shape) + inner
            slopes[:, self.index] += steep * (G * (A * a_ - B * (1 - a_))).sum(1)
            return slopes

        return (1 - a) * B * (1 - a_) + a * A * a_, pull

    def _rise(self, at, points):
        """a(x) of each row, and its pullback to location and steepness."""
        params = at[self.own.index]
        location, steepness = params["location"], params["steepness"]
        # About the centre of the rows: far from zero float32 has no digits to spare.
        x = points.centred[..., self.index] + (points.centre[self.index] - location)
        a = torch.sigmoid(steepness * x)

        def pull(g, scale, grads):
            bent = g * a * (1 - a) * steepness
            found = {"location": -bent.sum(), "steepness": (bent * x).sum()}
            self.own.gain(found, scale, grads)

        return a, pull


def _node(kernel, start, binding):
    if binding.n_features is None:
        raise ValueError(f"{kernel} needs rows of numbers: X must be a table.")
    before = binding.node(kernel.kernel_before, start)
    after = binding.node(kernel.kernel_after, before.stop)
    own = binding.own(kernel, after.stop)
    return Changing(before, after, own, kernel.index(binding.n_features))


register(ChangePoint, KernelRecord(node=_node))
