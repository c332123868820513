"""A Model: a covariance, a likelihood and a method, bound to the training rows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._linalg.memory import Workspace
from .parameters import Parameters


@dataclass(frozen=True)
class Model:
    """What is inferred from, and how.

    Attributes
    ----------
    covariance : Covariance
    likelihood : object
    method : Method
        See `_inference.contract`.
    trains : bool, default=False
        Whether weights of the kernel's networks are parameters, too.
    shards : Shards, default=None
        All training rows, where they are on other machines. Those of the covariance
        are then a draw of them.
    """

    covariance: Any
    likelihood: Any
    method: Any
    trains: bool = False
    shards: Any = None

    @property
    def n(self):
        """Number of training rows."""
        whole = self.covariance.points if self.shards is None else self.shards
        return whole.n

    @property
    def parameters(self):
        """The blocks of theta: the kernel's, and of whatever else has parameters."""
        sizes = {"kernel": self.covariance.n_dims}
        if getattr(self.likelihood, "n_dims", 0):
            sizes["likelihood"] = self.likelihood.n_dims
        if self.trains and self.covariance.n_weights:
            sizes["weights"] = self.covariance.n_weights
        if getattr(self.method, "moves", False):
            sizes["inducing"] = self.method.n_dims(self.covariance)
        return Parameters(**sizes)

    def rows(self, index):
        """The model of some of the rows, in that order: `index` is an ndarray."""
        likelihood = self.likelihood.rows(index)
        covariance = self.covariance.rows(index)
        parts = {"covariance": covariance, "likelihood": likelihood}
        return replace(self, **parts, shards=None)

    def here(self):
        """The model of the rows of the covariance, be they all or not."""
        return replace(self, shards=None)

    def workspace(self):
        """Where the method computes: here, or where the rows are."""
        kind = Workspace if self.shards is None else self.shards.workspace
        return kind(self.covariance.points.dtype, self.covariance.points.device)

    def with_method(self, method):
        """The same rows under another method."""
        return replace(self, method=method)

    def infer(self, theta=None, *, start=None, work=None):
        """The Inference at theta, a dict of blocks, None for the kernel's own."""
        if self.shards is not None:
            work = work or self.workspace()
        weights = theta and theta.get("weights")
        if weights is not None:  # to a covariance they are the rest of its theta
            theta = {**theta, "kernel": np.r_[theta["kernel"], weights]}
        found = self.method.infer(
            self.covariance, self.likelihood, theta, start=start, work=work
        )
        if weights is None:
            return found
        gradient, stop = found.gradient, self.covariance.n_dims

        def by_block():
            parts = gradient()
            kernel = parts["kernel"]
            return {**parts, "kernel": kernel[:stop], "weights": kernel[stop:]}

        return replace(found, gradient=by_block)

    def posterior(self, arrays):
        """The Posterior from the arrays that an earlier one kept."""
        return self.method.posterior(self.covariance, self.likelihood, arrays)

    def extend(self, posterior):
        """The Inference of all rows from the `posterior` of the first ones."""
        return self.method.extend(posterior, self.covariance, self.likelihood)
