"""Draws from the posterior that are functions, by Matheron's rule.

A prior draw f and noise e of the training rows become a posterior draw by

    f(x) + k(x, X) K^-1 (y - f(X) - e),

in distribution exactly (Wilson et al. 2020, "Efficiently sampling functions from
Gaussian process posteriors"); a trend's coefficients are estimated from the same
residual.
"""

import copy

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._covariance.features import PriorPaths, terms
from .._data.arrays import as_numpy
from .._inference.exact.evidence import posterior_of
from .._inference.prediction import row_moments
from .._likelihoods.gaussian import Observations


class Paths:
    """Mixin of a regressor: `sample_paths`."""

    def sample_paths(self, n_paths=1, random_state=None, n_features=1024):
        """Draw functions from the posterior, to be evaluated anywhere, again and again.

        Parameters
        ----------
        n_paths : int, default=1
        random_state : int, RandomState instance or None, default=None
        n_features : int, default=1024
            Random features in the prior part of each path. Mean and covariance of the
            paths are those of the posterior at any number; more features make each
            path more nearly normal.

        Returns
        -------
        paths : callable
            ``paths(X)`` -> array of shape (n_samples, n_paths) or
            (n_samples, n_targets, n_paths): the latent functions at X, in units of
            y. Later fits of the estimator do not change it.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError
            If the kernel has a part without random features, or a parameter is not a
            positive integer.
        """
        check_is_fitted(self, "X_train_")
        for name, value in (("n_paths", n_paths), ("n_features", n_features)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(
                    f"The {name!r} parameter must be a positive integer. Got {value!r} "
                    "instead."
                )
        return SamplePaths(self, n_paths, n_features, check_random_state(random_state))


class SamplePaths:
    """Callable that `sample_paths` returns."""

    def __init__(self, estimator, n_paths, n_features, rng):
        self._model = model = copy.copy(estimator)
        model.kernel_ = clone(estimator.kernel_)
        device = model._device_for(model.X_train_.shape[0], fitted=True)
        X = as_numpy(model.X_train_)
        covariance, observations = model._data(device)
        nugget = covariance.nugget()[0]
        factors = model._posterior(device).factors()
        parts = observations.factors()
        self._targets = []
        for target in range(observations.y.shape[1]):
            prior = [
                PriorPaths(term, n_features, n_paths, X.shape[1], rng)
                for term in terms(model.kernel_)
            ]
            shared = len(parts) == 1
            part, factor = (p[0 if shared else target] for p in (parts, factors))
            y = part.y[:, target if shared else 0]
            E = (y[:, None].double() - _total(prior, X).to(device)).to(y)
            spread = (part.noise + nugget) / (1 if part.weight is None else part.weight)
            noise = torch.from_numpy(rng.standard_normal((len(X), n_paths))).to(y)
            E -= spread.sqrt()[:, None] * noise
            residual = Observations(E, 0.0, basis=part.basis)
            self._targets.append((prior, posterior_of(factor.L, residual)))

    def __call__(self, X):
        """The paths at X: array (n_samples, n_paths) or (n_samples, n_targets, ..)."""
        model = self._model
        X, kind = model._validate_rows(X, "sample_paths")
        device = model._device_for(model.X_train_.shape[0], fitted=True)
        covariance = model._covariance(model.kernel_, model.X_train_, device)
        draws = []
        for prior, posterior in self._targets:
            update, _ = row_moments(
                covariance,
                posterior,
                X,
                None,
                columns=lambda X: model._trend_columns_at(X, device),
            )
            draws.append(_total(prior, X).to(device) + update)
        # (n_paths, m, t): each path is a mean in units of the process
        paths = torch.stack(draws, dim=-1).permute(1, 0, 2)
        shown = [model._in_units_of_y(path, None, X)[0] for path in paths]
        draws = model._draws_of_y(torch.stack(shown, dim=-1))
        return model._shown_draws(draws, X, kind)


def _total(prior, X):
    """The sum of the parts of a prior at X, in blocks of rows."""
    if not prior:
        raise ValueError(
            "The 'kernel' parameter is white noise only: there are no functions to "
            "draw. Add a kernel such as RBF."
        )
    blocks = np.array_split(np.asarray(X), max(1, len(X) // 1024))
    return torch.cat([sum(part(block) for part in prior) for block in blocks])
