"""A Model: a covariance, a likelihood and a method, bound to the training rows."""

from dataclasses import dataclass
from typing import Any

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
    """

    covariance: Any
    likelihood: Any
    method: Any

    @property
    def n(self):
        """Number of training rows."""
        return self.covariance.points.n

    @property
    def parameters(self):
        """The blocks of theta: those of the kernel, and of a likelihood with some."""
        sizes = {"kernel": self.covariance.n_dims}
        if getattr(self.likelihood, "n_dims", 0):
            sizes["likelihood"] = self.likelihood.n_dims
        return Parameters(**sizes)

    def rows(self, index):
        """The model of some of the rows, in that order: `index` is an ndarray."""
        likelihood = self.likelihood.rows(index)
        return Model(self.covariance.rows(index), likelihood, self.method)

    def infer(self, theta=None, *, start=None, work=None):
        """The Inference at theta, a dict of blocks, None for the kernel's own."""
        return self.method.infer(
            self.covariance, self.likelihood, theta, start=start, work=work
        )

    def posterior(self, arrays):
        """The Posterior from the arrays that an earlier one kept."""
        return self.method.posterior(self.covariance, self.likelihood, arrays)

    def extend(self, posterior):
        """The Inference of all rows from the `posterior` of the first ones."""
        return self.method.extend(posterior, self.covariance, self.likelihood)
