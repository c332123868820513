"""What methods, covariances and likelihoods are to each other: the page to read first.

A *method* turns a *covariance* and a *likelihood*, both bound to the training rows,
into the log evidence, its gradient in the parameters, and a *posterior*, which alone
says everything about the latent function at new rows. A method is options only; whoever
wants the matrix K asks the covariance for it.

Parameters come as `theta`, a dict from the name of a block to an ndarray: "kernel"
holds the logarithms of the kernel's free hyperparameters. None stands for the values
that the kernel object has.

Shapes: n rows, m new rows, d features, t targets, q latent functions, q' of them with a
variance of their own (1 where all share one).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Method(Protocol):
    """Options of an algorithm, as a frozen dataclass.

    A method may have further abilities, which estimators ask for by name:
    ``extend(posterior, covariance, likelihood)`` -> Inference is the posterior with
    more rows at the same theta; ``start(covariance, arrays)`` is the `start` that a
    posterior's `arrays` stand for, where the value at another theta depends on it;
    ``infer_all(covariance, likelihood, thetas)`` is the list of pairs (value, gradient)
    of several thetas, evaluated as one batch.
    """

    def infer(self, covariance, likelihood, theta=None, *, start=None, work=None):
        """The Inference at theta.

        Parameters
        ----------
        covariance : Covariance
            On the n training rows.
        likelihood : object
            Of the n observations.
        theta : dict of str to ndarray, default=None
        start : object, default=None
            `Inference.start` of an evaluation at a nearby theta.
        work : Workspace, default=None
            Memory that the next evaluation will use again.

        Raises
        ------
        NotPositiveDefiniteError
        """

    def posterior(self, covariance, likelihood, arrays):
        """The Posterior from the `arrays` of an earlier one; computes nothing big."""


@dataclass
class Inference:
    """What a method found at one theta.

    Of `gradient` and `posterior` one may be called, once: they may share memory with
    each other and with the `work` of the call.

    Attributes
    ----------
    value : float
        Log evidence, an approximation of it, a bound, or another criterion.
    gradient : callable () -> dict of str to ndarray
        d value / d theta by block.
    posterior : callable () -> Posterior
    start : object
        Hand it back at a nearby theta.
    converged : bool
    residual : float
        Distance from the solution, in units of the method.
    n_iterations : int
    jitter : float
        Mean of what the diagonal of K got beyond the noise of the observations.
    needed_help : bool
        Whether some of `jitter` was added because K had no factor without it.
    """

    value: float
    gradient: Callable[[], dict[str, np.ndarray]]
    posterior: Callable[[], "Posterior"]
    start: Any = None
    converged: bool = True
    residual: float = 0.0
    n_iterations: int = 0
    jitter: float = 0.0
    needed_help: bool = False


class Posterior(ABC):
    """The latent functions given the data, self-contained.

    Parameters
    ----------
    covariance : Covariance
    likelihood : object
    arrays : mapping of str to tensor
        What the method keeps, under the names of fitted attributes. A value is asked
        for only when it is needed.

    Attributes
    ----------
    n_functions : int
        q
    is_prior : bool
        Whether there are no data behind it.
    """

    is_prior = False

    def __init__(self, covariance, likelihood, arrays: Mapping):
        self.covariance, self.likelihood, self.arrays = covariance, likelihood, arrays

    @property
    def rows(self):
        """The training rows as they were given: of merged ones, each copy."""
        X, given = self.covariance.points.objects, self.likelihood.given
        return X if given is None else X[given[0].cpu().numpy()]

    @abstractmethod
    def moments(self, X, spread=None, *, noise=True):
        """Mean (m, q) and spread of the latent functions at rows X, in float64.

        Parameters
        ----------
        X : ndarray (m, d), or list of m objects
        spread : {None, "var", "cov", "latent"}, default=None
            "var": variances (m, q'); "cov": covariances of the rows within each
            function (m, m, q'); "latent": of the functions within each row (m, q, q).
        noise : bool, default=True
            Whether variances have the kernel's own noise, its White part.

        Returns
        -------
        mean : tensor (m, q)
        spread : tensor or None
            Variances may be negative by round-off, a covariance's diagonal is not.
        """

    def few_moments(self, X, spread=None, *, noise=True):
        """`moments` as ndarrays, for few rows that NumPy serves sooner; else None."""
        return None

    def jitter(self, Z):
        """What counts as noise of the rows Z beyond the given and the White part.

        A tensor (m,), or 0.0; Z are Points.
        """
        return 0.0

    def slopes(self, X, *, variance=False):
        """d mean / dx (m, d, q), and d variance / dx (m, d, q') or None, in float64."""
        raise NotImplementedError

    def leave_one_out(self):
        """Moments of what each training row says, given all other rows."""
        raise NotImplementedError

    def as_seen(self, function):
        """What the training rows see of a latent function without noise: (n, p).

        Parameters
        ----------
        function : callable
            Rows -> tensor (m, p) of its values there.
        """
        return function(self.covariance.points.objects)

    def condition(self, residual):
        """The posterior of other observations (n, p) at the same rows and noise."""
        raise NotImplementedError
