"""Draws from the posterior that are functions, by Matheron's rule.

A prior draw f and noise e of the training rows become a posterior draw by

    f(x) + k(x, X) K^-1 (y - f(X) - e),

in distribution exactly (Wilson et al. 2020, "Efficiently sampling functions from
Gaussian process posteriors"); a trend's coefficients are estimated from the same
residual. Of f(X) the posterior says what the rows see of it.
"""

from copy import deepcopy

import numpy as np
import torch

from .._covariance.features import PriorPaths, terms
from .._data.arrays import as_numpy
from .._linalg.draws import with_single_axis


class SamplePaths:
    """Callable that `sample_paths` returns."""

    def __init__(self, estimator, n_paths, n_features, rng):
        # What assignments to the estimator, and its later fits, do not reach. Not by
        # copy.copy: __getstate__ would take tensors off their device.
        self._estimator = object.__new__(type(estimator))
        vars(self._estimator).update(vars(estimator))
        vars(self._estimator).pop("_kept", None)
        self._estimator.kernel_ = kernel = deepcopy(estimator.kernel_)
        self._targets = self._estimator._targets()
        posterior = self._estimator._posterior()
        factors = posterior.factors()
        X = posterior.covariance.points.objects
        points = posterior.covariance.points
        nugget = posterior.covariance.nugget()[0] + posterior.jitter(points)
        self._paths = []
        for target in range(posterior.n_functions):
            prior = [
                PriorPaths(term, n_features, n_paths, X.shape[1], rng)
                for term in terms(kernel, X.shape[1])
            ]
            shared = len(factors) == 1
            factor = factors[0 if shared else target]
            observed = factor.likelihood
            y = observed.y[:, target if shared else 0]
            seen = factor.as_seen(lambda Z, prior=prior: _total(prior, Z)).cpu()
            E = (y[:, None].cpu().double() - seen).to(y)
            copies = 1 if observed.weight is None else observed.weight
            spread = (observed.noise + nugget) / copies
            noise = torch.from_numpy(rng.standard_normal((len(X), n_paths))).to(y)
            E -= spread.sqrt()[:, None] * noise
            self._paths.append((prior, factor.condition(E)))

    def __call__(self, X):
        """The paths at X: array (n_samples, n_paths) or (n_samples, n_targets, ..)."""
        X, kind = self._estimator._validate_rows(X, "sample_paths")
        draws = [
            _total(prior, X).numpy() + as_numpy(posterior.moments(X)[0])
            for prior, posterior in self._paths
        ]
        # (n_paths, m, t): each path is a mean in units of the process
        paths = np.stack(draws, axis=-1).swapaxes(0, 1)
        scaled = [self._targets.scaled(path, None, X)[0] for path in paths]
        draws = self._targets.draws(np.stack(scaled, axis=-1))
        return self._estimator._shown(with_single_axis(draws), X, kind)


def _total(prior, X):
    """The sum of the parts of a prior at X, in blocks of rows."""
    if not prior:
        raise ValueError(
            "The 'kernel' parameter is white noise only: there are no functions to "
            "draw. Add a kernel such as RBF."
        )
    blocks = np.array_split(np.asarray(X), max(1, len(X) // 1024))
    return torch.cat([sum(part(block) for part in prior) for block in blocks])
