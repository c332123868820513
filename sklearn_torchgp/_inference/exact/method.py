"""Exact inference with a Gaussian likelihood: the method of the contract."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..._linalg.cholesky import lower_
from ..._linalg.precision import without_faint_
from ...exceptions import NotPositiveDefiniteError
from ..contract import Inference
from .batch import log_marginal_likelihoods
from .evidence import evidence, extended
from .posterior import ExactPosterior, own_noise
from .refinement import refined

# How much of mean(diag K) the final factorisation may add, in this order.
JITTER_LADDER = {
    torch.float64: (1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6),
    torch.float32: (1e-5, 1e-4, 1e-3),
}


@dataclass(frozen=True)
class Exact:
    """One Cholesky factor of the covariance of the observations (GPML 2.2).

    Attributes
    ----------
    criterion : callable, default=evidence
        What `Inference.value` is: see `exact.evidence`. Further ones are
        `leave_one_out.loo_log_density` and `mixed.evidence`.
    ladder : bool, default=False
        Whether a matrix without a factor is tried again with more on its diagonal
        (`JITTER_LADDER`), provided that every observation has some noise.
    """

    criterion: Callable = evidence
    ladder: bool = False

    def infer(self, covariance, likelihood, theta=None, *, start=None, work=None):
        steps = (0.0,)
        if self.ladder and likelihood.has_noise:
            steps += JITTER_LADDER[likelihood.y.dtype]
        theta = theta and theta["kernel"]
        problem = covariance, likelihood, theta, work
        for step in steps[:-1]:
            with suppress(NotPositiveDefiniteError):
                return self._infer(*problem, step)
        return self._infer(*problem, steps[-1])

    def _infer(self, covariance, likelihood, theta, work, step):
        """`infer` with the fraction `step` of mean(diag K) added to the noise."""
        n = covariance.points.n
        K, pullback = covariance.gram(theta, out=work and work.buffer("K", n, n))
        K = without_faint_(K)
        nugget, pull_nugget = _nugget(covariance, likelihood, theta)
        observed, jitter, added = likelihood, 0.0, 0.0
        if step or likelihood.jitter:
            scale = K.diagonal().mean().item()
            jitter, added = (step + likelihood.jitter) * scale, step * scale
            observed = replace(likelihood, noise=likelihood.noise + added)
        value, derivative, solution = self.criterion(K, observed, nugget)

        def gradient():
            G, slope = derivative()
            total = pullback(G)
            return {"kernel": total if slope is None else total + pull_nugget(slope)}

        def posterior():
            if solution is not None:
                problem = covariance, likelihood, solution
                return _posterior(*problem, added, theta)
            anew = replace(self, criterion=evidence)
            return anew._infer(covariance, likelihood, theta, None, step).posterior()

        return Inference(
            value,
            gradient,
            posterior,
            jitter=jitter,
            needed_help=step > 0,
        )

    def posterior(self, covariance, likelihood, arrays):
        return ExactPosterior(covariance, likelihood, arrays)

    def extend(self, posterior, covariance, likelihood):
        """The evidence and posterior with more rows, at the posterior's theta.

        The rows of `posterior` are the first ones of `covariance` and `likelihood`.

        Raises
        ------
        NotPositiveDefiniteError
            Also where the targets need other factors than before.
        """
        if len(likelihood.factors()) != posterior.n_factors:
            raise NotPositiveDefiniteError("the old factor does not serve")
        n_old, n = posterior.covariance.points.n, covariance.points.n
        tail = covariance.rows(slice(n_old, n))
        value, solution = extended(
            posterior.solution,
            posterior.covariance.cross(tail.points.objects),
            tail.gram()[0],
            likelihood,
            _nugget(covariance, likelihood)[0],
            own_noise(covariance, likelihood),
        )
        return Inference(
            value, None, lambda: _posterior(covariance, likelihood, solution)
        )

    def infer_all(self, covariance, likelihood, thetas):
        """(value, gradient) of plain observations at each theta, as one batch."""
        points = covariance.points
        K = points.zeros(len(thetas), points.n, points.n)
        pullbacks = [
            covariance.gram(theta["kernel"], out=one)[1]
            for theta, one in zip(thetas, K, strict=True)
        ]
        values, derivative = log_marginal_likelihoods(
            K, likelihood.y, likelihood.noise, likelihood.jitter
        )
        found = []
        values = values.cpu().double().numpy()
        for value, pull, G in zip(values, pullbacks, derivative(), strict=True):
            # Where K overflowed the pullback of no weights is NaN.
            good = np.isfinite(value)
            found.append((value, pull(G) if good else np.zeros(covariance.n_dims)))
        return [(value, {"kernel": gradient}) for value, gradient in found]


def _nugget(covariance, likelihood, theta=None):
    """The kernel's White part on each row, where the weights need it."""
    return (0.0, None) if likelihood.weight is None else covariance.nugget(theta)


def _posterior(covariance, likelihood, solution, added=0.0, theta=None):
    solution = replace(solution, L=lower_(solution.L))
    solution = refined(covariance, likelihood, solution, added, theta)
    return ExactPosterior.of(covariance, likelihood, solution, added)
