"""Laplace, EP and VI as methods of the contract: on the Gram matrix, by sites."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..._linalg.cholesky import lower_, symmetrize_
from ..._linalg.memory import Workspace
from ..contract import Inference
from .engine import Sites, factor
from .posterior import MulticlassPosterior, SitePosterior


@dataclass(frozen=True)
class SiteMethod:
    """An approximation with one Gaussian site for each row.

    Attributes
    ----------
    algorithm : callable
        `laplace`, `ep` or `vi`.
    max_iter : int, default=100
        Most iterations at one theta.
    """

    algorithm: Callable
    max_iter: int = 100

    def infer(self, covariance, likelihood, theta=None, *, start=None, work=None):
        K, pullback, work = symmetric_gram(covariance, theta, work)
        B = work.buffer("B", *K.shape)
        if start is not None and start.ndim == 2:
            start = Sites(*start)
        options = {"max_iter": self.max_iter, "work": B}
        found = self.algorithm(K, likelihood, start, **options)

        def posterior():
            s = found.sites.precision.sqrt()
            arrays = {
                "alpha_": found.alpha,
                "pi_": likelihood.probability(K @ found.alpha),
                "W_sr_": s,
                "L_": lower_(factor(K, s, B)),
            }
            return SitePosterior(covariance, likelihood, arrays)

        return _inference(found, pullback, posterior)

    def posterior(self, covariance, likelihood, arrays):
        return SitePosterior(covariance, likelihood, arrays)


@dataclass(frozen=True)
class MulticlassMethod:
    """An approximation for classes that compete, with one kernel for all.

    Attributes
    ----------
    algorithm : callable
        `softmax_laplace` or `multiclass_ep`.
    max_iter : int, default=100
        Most iterations at one theta.
    """

    algorithm: Callable
    max_iter: int = 100

    def infer(self, covariance, likelihood, theta=None, *, start=None, work=None):
        K, pullback, work = symmetric_gram(covariance, theta, work)
        if start is not None and start.ndim == 3:
            start = Sites(*start)
        options = {"max_iter": self.max_iter, "work": work.buffer("M", *K.shape)}
        found = self.algorithm(K[None], likelihood, start, **options)

        def posterior():
            arrays = {"alpha_": found.a, "D_": found.precision}
            arrays.update(E_=found.E, M_=found.M.tril_())
            return MulticlassPosterior(covariance, likelihood, arrays)

        return _inference(found, lambda G: pullback(G[0]), posterior)

    def posterior(self, covariance, likelihood, arrays):
        return MulticlassPosterior(covariance, likelihood, arrays)


def symmetric_gram(covariance, theta, work):
    """K with both triangles in the buffer "K", its pullback, and the workspace."""
    points = covariance.points
    work = work or Workspace(points.dtype, points.device)
    K = work.buffer("K", points.n, points.n)
    _, pullback = covariance.gram(theta and theta["kernel"], out=K)
    return symmetrize_(K), pullback, work


def _inference(found, pullback, posterior):
    """What an algorithm on K found, as the contract says it."""
    start = found.start
    return Inference(
        found.lml,
        lambda: {"kernel": pullback(found.derivative())},
        posterior,
        start=start if isinstance(start, torch.Tensor) else torch.stack(start),
        converged=found.converged,
        residual=found.residual,
        n_iterations=found.n_iterations,
    )
