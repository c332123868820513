"""Laplace, EP and VI as methods of the contract: on the Gram matrix, by sites."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..._linalg.cholesky import lower_, symmetrize_
from ..._linalg.memory import Workspace
from ..contract import Inference
from .engine import Sites, factor
from .posterior import MulticlassPosterior, SitePosterior

# What float32 may move log det B by and count as converged: nats, and beside it a part
# of the evidence. Its round-off is relative to the diagonal of B = I + s K s, of which
# eps tr B is the sum: on 500 problems of 40 to 800 rows the evidence was off by half of
# that, at most by 8 times. Several classes lose more: the sum of their E_c is made of
# differences.
ROUND_OFF = 0.03, 1e-4
OF_SEVERAL = 5.0


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

        return _inference(found, K, found.sites.precision, pullback, posterior)

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

        pull = lambda G: pullback(G[0])  # noqa: E731
        return _inference(found, K, found.precision, pull, posterior)

    def posterior(self, covariance, likelihood, arrays):
        return MulticlassPosterior(covariance, likelihood, arrays)


def symmetric_gram(covariance, theta, work):
    """K with both triangles in the buffer "K", its pullback, and the workspace."""
    points = covariance.points
    work = work or Workspace(points.dtype, points.device)
    K = work.buffer("K", points.n, points.n)
    _, pullback = covariance.gram(theta and theta["kernel"], out=K)
    return symmetrize_(K), pullback, work


def _inference(found, K, precision, pullback, posterior):
    """What an algorithm on K found, as the contract says it."""
    start, nats = found.start, _round_off(K, precision)
    most = ROUND_OFF[0] + ROUND_OFF[1] * abs(found.lml)
    return Inference(
        found.lml,
        lambda: {"kernel": pullback(found.derivative())},
        posterior,
        start=start if isinstance(start, torch.Tensor) else torch.stack(start),
        converged=found.converged and nats <= most,
        residual=max(found.residual, nats),
        n_iterations=found.n_iterations,
    )


def _round_off(K, precision):
    """eps tr B of all classes in float32; 0.0 in float64."""
    if K.dtype != torch.float32:
        return 0.0
    trace = precision.numel() + (precision * K.diagonal()).sum().item()
    several = OF_SEVERAL if precision.ndim > 1 else 1.0
    return several * torch.finfo(K.dtype).eps * trace
