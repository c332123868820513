"""What `fit` maximises: functions of theta and the training data."""

import functools
from dataclasses import replace

import numpy as np
import torch

from .._data.arrays import as_numpy
from .._data.rows import distinct_rows, is_table
from .._inference.exact.batch import log_marginal_likelihoods
from .._inference.exact.evidence import evidence
from .._inference.exact.leave_one_out import loo_log_density
from .._inference.exact.mixed import evidence as mixed_evidence
from .._inference.exact.plain import rounding_jitter
from .._likelihoods.gaussian import Observations
from .._linalg.threads import one_blas_thread
from .._model.base import GPEstimator, wants_fitted_value
from .._model.optimize import growing_subsets
from ..exceptions import NotPositiveDefiniteError

# Rows up to which the starts of a fit are evaluated as one batch, with a buffer each.
# On the CPU one after the other is faster; CUDA: not measured yet.
BATCH_ROWS = {"cpu": 0, "cuda": 512}

CRITERIA = {"lml": evidence, "loo": loo_log_density}


class Criteria:
    """Mixin of a regressor with training data: its objectives as functions of theta."""

    # Until `fit` says otherwise: dependents set the training data by hand.
    sample_weight_train_ = None
    noise_variance_train_ = None
    _rows_kept = _rows_given = None

    def _fit_hyperparameters(self, device):
        """Maximise the objective over kernel_.theta."""
        self.optimizer_results_ = []
        if self.optimizer is not None and self.kernel_.n_dims > 0:
            make_stages = functools.partial(self._stages, device)
            self.objective_value_ = self._maximise_in_stages(
                make_stages, self.n_jobs, self._together(device)
            )

    def _stages(self, device):
        """What to maximise, on few rows first if so asked, and on all of them."""
        n = self.X_train_.shape[0]
        stages = []
        if self.optimizer == "coarse-to-fine" and not self._has_own_objective():
            X, observations = as_numpy(self.X_train_), self._observations(device)
            for rows in growing_subsets(n):
                covariance = self._covariance(self.kernel_, X[rows], device)
                part = observations[torch.from_numpy(rows).to(device)]
                objective = self._criterion(covariance, part, self.objective)
                stages.append((len(rows), objective))
        return [*stages, (n, self._objective(device))]

    def _together(self, device):
        """The evaluation of all starts as one batch, where that pays; else None."""
        n, n_starts = self.X_train_.shape[0], 1 + self.n_restarts_optimizer
        plain = self.objective == "lml" and not self._has_own_objective()
        # An override need not bear several threads.
        minimise = type(self)._constrained_optimization
        if (
            minimise is not GPEstimator._constrained_optimization
            or n_starts == 1
            or n > BATCH_ROWS[device.type]
            or self.optimizer != "fmin_l_bfgs_b"
            or self.dtype == "mixed"
            or not plain
        ):
            return None
        covariance, observations = self._distinct(device)
        if not observations.plain:
            return None
        return n, functools.partial(_batch, covariance, observations)

    def _set_objective_values(self, lml, device):
        """objective_value_ and the evidence, after the final factorisation."""
        optimised, is_lml = bool(self.optimizer_results_), self.objective == "lml"
        if not optimised and is_lml:
            self.objective_value_ = np.float64(lml)
        elif not optimised:
            value = self._objective(device)(self.kernel_.theta, False)
            self.objective_value_ = np.float64(value)
        # Where it was maximised the value is the optimiser's, as in scikit-learn.
        self.log_marginal_likelihood_value_ = (
            self.objective_value_ if optimised and is_lml else np.float64(lml)
        )

    def _has_own_objective(self):
        """Whether the user, or a subclass, brings what is maximised."""
        own = type(self).log_marginal_likelihood
        overridden = own is not Criteria.log_marginal_likelihood
        return callable(self.objective) or (self.objective == "lml" and overridden)

    def _objective(self, device):
        """theta, eval_gradient -> what `fit` maximises [, gradient]."""
        if callable(self.objective):
            return self._user_objective
        if self._has_own_objective():
            # Else the bookkeeping of the public method is skipped (0.1 ms a call).
            return lambda theta, eval_gradient: self.log_marginal_likelihood(
                theta, eval_gradient=eval_gradient, clone_kernel=False
            )
        # Leaving out a row with its copies is not leaving out one of equal rows, and
        # the mixed method knows no weights.
        merge = self.objective == "lml" and self.dtype != "mixed"
        data = self._distinct if merge else self._data
        return self._criterion(*data(device), self.objective)

    def _user_objective(self, theta, eval_gradient):
        result = self.objective(self, theta, eval_gradient)
        if not eval_gradient:
            return float(result[0] if isinstance(result, tuple) else result)
        good = isinstance(result, tuple) and len(result) == 2
        if not good or np.shape(result[1]) != np.shape(theta):
            raise ValueError(
                "The 'objective' callable must return (value, gradient) with a "
                f"gradient of shape {np.shape(theta)} when eval_gradient is True. Got "
                f"{result!r} instead."
            )
        return float(result[0]), np.asarray(result[1], dtype=np.float64)

    def _data(self, device):
        """The covariance on the training rows, and what is observed there."""
        covariance = self._covariance(self.kernel_, self.X_train_, device)
        return covariance, self._observations(device)

    def _observations(self, device):
        """What exact inference is to condition on, as tensors."""
        y = self._tensor("y_train_", device)
        y = y[:, None] if y.ndim == 1 else y
        noise = self._noise(y)
        helped = isinstance(noise, torch.Tensor) or noise > 0
        weight, n_copies = self.sample_weight_train_, len(y)
        if weight is not None:
            weight = torch.as_tensor(as_numpy(weight)).to(y)
            n_copies = weight.sum().item()
        basis = self._basis(as_numpy(self.X_train_), device)
        return Observations(
            y,
            noise,
            jitter=rounding_jitter(n_copies, y.dtype) if helped else 0.0,
            weight=weight,
            basis=basis,
        )

    def _noise(self, y):
        """alpha and known noise, in normalised units: a float, (n,) or (n, t)."""
        noise = np.asarray(as_numpy(self.alpha), dtype=np.float64)
        if noise.size == 1:
            noise = noise.item()
        elif self._rows_kept is not None:
            noise = noise[self._rows_kept]
        known = self.noise_variance_train_
        if known is not None:
            known, scale = as_numpy(known), np.unique(as_numpy(self._y_train_std))
            if scale.size > 1:  # the scales of the targets differ: so do the factors
                scale = np.asarray(as_numpy(self._y_train_std))
                known = known[:, None] if known.ndim == 1 else known
            scaled = known / scale**2
            noise = scaled + (noise if known.ndim == 1 else np.reshape(noise, (-1, 1)))
        if isinstance(noise, float):
            return noise
        # A copy: torch takes neither read-only memory nor negative strides.
        return torch.from_numpy(np.array(noise, order="C")).to(y)

    def _nugget(self, covariance, observations, theta=None):
        """The kernel's White part on each row, where the weights need it."""
        if observations.weight is None:
            return 0.0, None
        return covariance.nugget(theta)

    def _own_noise(self, covariance, observations):
        nugget = self._nugget(covariance, observations)[0]
        return observations.own_noise(nugget, covariance.diag(covariance.points))

    def _distinct(self, device):
        """Covariance and observations with equal rows merged into weighted ones.

        Rows equal in X, y and noise are what weights mean, so the evidence is the same;
        but its matrix is smaller and does not turn singular as the noise gets small,
        where the optimiser would climb round-off.
        """
        X = as_numpy(self.X_train_)
        covariance, observations = self._data(device)
        if not covariance.tells_noise or not is_table(X):
            return covariance, observations
        columns = [as_numpy(observations.y)]
        if isinstance(observations.noise, torch.Tensor):
            columns.append(as_numpy(observations.noise))
        weights = as_numpy(self.sample_weight_train_)
        rows, weights, _ = distinct_rows(X, columns, weights)
        if len(rows) == len(X):
            return covariance, observations
        weights = torch.as_tensor(weights).to(observations.y)
        rows_there = torch.as_tensor(rows).to(device)
        merged = replace(observations[rows_there], weight=weights)
        return self._covariance(self.kernel_, X[rows], device), merged

    def _criterion(self, covariance, observations, name):
        """theta, eval_gradient -> the criterion's value [, gradient].

        One (n, n) buffer serves all evaluations.
        """
        mixed = self.dtype == "mixed" and name == "lml"
        criterion = mixed_evidence if mixed else CRITERIA[name]
        points = covariance.points
        buffer = torch.empty(
            points.n, points.n, dtype=points.dtype, device=points.device
        )

        def evaluate(theta, eval_gradient):
            try:
                K, pullback = covariance.gram(theta, out=buffer)
                nugget, pull = self._nugget(covariance, observations, theta)
                value, derivative, _ = criterion(K, observations, nugget)
            except NotPositiveDefiniteError:
                value = np.float64(-np.inf)
                return (value, np.zeros_like(theta)) if eval_gradient else value
            value = np.float64(value)
            if not eval_gradient:
                return value
            G, slope = derivative()
            gradient = pullback(G)
            return value, gradient if slope is None else gradient + pull(slope)

        def objective(theta, eval_gradient):
            with one_blas_thread():  # 6 microseconds; LAPACK serves few rows
                return evaluate(theta, eval_gradient)

        return objective

    def log_marginal_likelihood(
        self, theta=None, eval_gradient=False, clone_kernel=True
    ):
        """Log marginal likelihood of the training data at theta.

        Parameters
        ----------
        theta : array-like of shape (n_kernel_params,), default=None
            Logarithms of the free hyperparameters. None returns the value found in
            `fit`.
        eval_gradient : bool, default=False
            Whether the gradient with respect to theta is returned, too.
        clone_kernel : bool, default=True
            If False, `kernel_` takes on theta.

        Returns
        -------
        log_likelihood : numpy.float64
            Summed over targets; -inf where the covariance is not positive definite.
        log_likelihood_gradient : ndarray of shape (n_kernel_params,), optional
            Only if `eval_gradient`.

        Raises
        ------
        ValueError
            If the gradient is asked for without theta, or theta has the wrong length.
        """
        if wants_fitted_value(theta, eval_gradient):
            return self.log_marginal_likelihood_value_
        return self._evaluate("lml", theta, eval_gradient, clone_kernel)

    def _evaluate(self, criterion, theta, eval_gradient, clone_kernel=True):
        theta = self._checked_theta(theta)
        if not clone_kernel:
            self.kernel_.theta = theta
        data = self._data(self._device_for(self.X_train_.shape[0]))
        return self._criterion(*data, criterion)(theta, eval_gradient)


def _batch(covariance, observations, thetas):
    """Log marginal likelihood and gradient at each theta, factored as one batch."""
    points, y = covariance.points, observations.y
    K = points.zeros(len(thetas), points.n, points.n)
    pullbacks = [
        covariance.gram(theta, out=one)[1] for theta, one in zip(thetas, K, strict=True)
    ]
    values, derivative = log_marginal_likelihoods(
        K, y, observations.noise, observations.jitter
    )
    values = as_numpy(values).astype(np.float64)
    found = []
    for value, pull, G in zip(values, pullbacks, derivative(), strict=True):
        # Where K overflowed the pullback of no weights is NaN.
        good = np.isfinite(value)
        found.append((value, pull(G) if good else np.zeros_like(thetas[0])))
    return found
