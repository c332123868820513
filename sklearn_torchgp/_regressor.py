"""Gaussian-process regression."""

import warnings

import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state

from ._base import GPEstimator
from ._inference.exact import (
    JITTER_LADDER,
    fit_with_jitter,
    log_marginal_likelihood,
    rounding_jitter,
)
from ._inference.posterior import Posterior
from ._prediction import joint_moments, prior_moments, row_moments
from ._tensors import ArrayKind, as_numpy, float_dtype, resolve_dtype
from .exceptions import JitterWarning, NotPositiveDefiniteError


class TorchGPRegressor(GPEstimator, GaussianProcessRegressor):
    """Gaussian-process regression on PyTorch linear algebra, CPU or GPU.

    A drop-in for :class:`sklearn.gaussian_process.GaussianProcessRegressor`: same
    parameters, same attributes, same numbers.

    Parameters
    ----------
    kernel : scikit-learn kernel, default=None
        The covariance function. None means ``ConstantKernel(1.0) * RBF(1.0)``, with
        hyperparameters optimised. Kernels of scikit-learn run on torch; others
        through their own NumPy code (see :func:`register_kernel`).
    alpha : float or array of shape (n_samples,), default=1e-10
        Added to the diagonal of the training covariance: the variance of known
        noise in (normalised) units of y squared, or numerical help. With 0 the
        factorisation gets no help at all and a singular matrix is an error.
    optimizer : "fmin_l_bfgs_b", callable or None, default="fmin_l_bfgs_b"
        Maximiser of the log marginal likelihood. A callable is called as
        ``optimizer(obj_func, initial_theta, bounds=bounds)`` and returns
        ``(theta, value)``; ``obj_func(theta, eval_gradient=True)`` is the negative
        log marginal likelihood. None keeps the kernel as it is.
    n_restarts_optimizer : int, default=0
        Further starts, drawn log-uniformly within the kernel's bounds.
    normalize_y : bool, default=False
        Whether each target is scaled to zero mean and unit variance for the fit and
        predictions are scaled back.
    copy_X_train : bool, default=True
        Whether the training data are copied or only referred to.
    n_targets : int, default=None
        Number of targets, for predictions from the prior and as a check in `fit`.
    random_state : int, RandomState instance or None, default=None
        Draws the starts.
    device : {"auto", "cpu", "cuda", "cuda:<index>"} or torch.device, default="auto"
        Where the linear algebra runs. "auto" takes the GPU if there is one and the
        training set is large enough to gain from it.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the linear algebra; `predict` answers in the wider of this and
        the precision of X. In float32
        the diagonal of the covariance is enlarged by a factor 1 + eps (n + 50)
        (n = 1000: 1.3e-4), without which float32 cannot factor it; `jitter_` says
        how much that is.

    Attributes
    ----------
    X_train_ : array of shape (n_samples, n_features), or list of object
        Training rows.
    y_train_ : array of shape (n_samples,) or (n_samples, n_targets)
        Training targets, normalised if `normalize_y`.
    kernel_ : kernel
        The kernel with optimised hyperparameters.
    L_ : array of shape (n_samples, n_samples)
        Lower Cholesky factor of the training covariance.
    alpha_ : array of shape (n_samples,) or (n_samples, n_targets)
        Training covariance^-1 y_train_.
    log_marginal_likelihood_value_ : float
        At ``kernel_.theta``.
    optimizer_results_ : list of Bunch
        One record per start: `theta_start`, `theta`, `value` (the log marginal
        likelihood reached), `n_iterations`, `n_evaluations`, `converged`, `message`,
        `seconds`. Empty without optimisation.
    jitter_ : float
        What was added to the diagonal beyond `alpha` (its mean); 0.0 if nothing.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had string column names.

    Notes
    -----
    Algorithm 2.1 of Rasmussen and Williams, "Gaussian Processes for Machine Learning"
    (2006), gradients by their equation 5.9. Arrays in are arrays out: NumPy for
    NumPy, lists and frames; tensors on the same device for tensors, with or without
    scikit-learn's ``array_api_dispatch``.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman2
    >>> from sklearn.gaussian_process.kernels import DotProduct, WhiteKernel
    >>> from sklearn_torchgp import TorchGPRegressor
    >>> X, y = make_friedman2(n_samples=500, noise=0, random_state=0)
    >>> kernel = DotProduct() + WhiteKernel()
    >>> gpr = TorchGPRegressor(kernel=kernel, random_state=0).fit(X, y)
    >>> round(gpr.score(X, y), 3)
    0.368
    """

    _parameter_constraints: dict = {
        **GaussianProcessRegressor._parameter_constraints,
        "alpha": [
            *GaussianProcessRegressor._parameter_constraints["alpha"],
            torch.Tensor,
        ],
        "device": [str, torch.device],
        "dtype": [str],
    }

    def __init__(
        self,
        kernel=None,
        *,
        alpha=1e-10,
        optimizer="fmin_l_bfgs_b",
        n_restarts_optimizer=0,
        normalize_y=False,
        copy_X_train=True,
        n_targets=None,
        random_state=None,
        device="auto",
        dtype="float64",
    ):
        super().__init__(
            kernel=kernel,
            alpha=alpha,
            optimizer=optimizer,
            n_restarts_optimizer=n_restarts_optimizer,
            normalize_y=normalize_y,
            copy_X_train=copy_X_train,
            n_targets=n_targets,
            random_state=random_state,
        )
        self.device = device
        self.dtype = dtype

    def fit(self, X, y):
        """Fit the model: optimise the hyperparameters, factor the covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        self : TorchGPRegressor

        Raises
        ------
        ValueError, TypeError
            For bad parameters or data, before any work. After any exception the
            estimator is as it was before the call.
        numpy.linalg.LinAlgError
            If the covariance matrix is not positive definite and `alpha` is 0, or
            jitter does not help either.
        """
        with self._all_or_nothing():
            self._check_params()
            kernel = self._initial_kernel()
            self._rng = check_random_state(self.random_state)
            X, y, kind = self._validate_training_data(
                X, y, multi_output=True, y_numeric=True
            )
            self._set_training_data(X, y, kind)
            self._check_alpha(len(y))
            self.kernel_ = kernel
            self._fit_hyperparameters(self._device_for(len(y)))
            self._factor(self._device_for(len(y)), kind)
        return self

    def _set_training_data(self, X, y, kind):
        """X_train_, y_train_ and the scale of y, in the caller's kind of array."""
        n_targets_seen = y.shape[1] if y.ndim > 1 else 1
        if self.n_targets is not None and n_targets_seen != self.n_targets:
            raise ValueError(
                "The number of targets seen in `y` is different from the parameter "
                f"`n_targets`. Got {n_targets_seen} != {self.n_targets}."
            )
        if self.normalize_y:
            mean, std = np.mean(y, axis=0), _safe_scale(y)
            y = (y - mean) / std
        else:
            shape = (y.shape[1],) if y.ndim == 2 else 1
            mean, std = np.zeros(shape), np.ones(shape)
        self._y_train_mean, self._y_train_std = kind(mean), kind(std)
        copy = np.copy if self.copy_X_train else np.asarray
        self.X_train_, self.y_train_ = kind(copy(X)), kind(copy(y))

    def _check_alpha(self, n_samples):
        alpha = np.asarray(as_numpy(self.alpha))
        if alpha.ndim == 0:
            return
        if alpha.ndim > 1 or alpha.shape[0] not in (1, n_samples):
            raise ValueError(
                "alpha must be a scalar or an array with same number of entries as y. "
                f"({'x'.join(map(str, alpha.shape))} != {n_samples})"
            )
        if not (np.isfinite(alpha).all() and (alpha >= 0).all()):
            raise ValueError(
                "The 'alpha' parameter must be finite and not negative in every entry. "
                f"Got a minimum of {alpha.min()!r}; it is a variance."
            )

    def _fit_hyperparameters(self, device):
        """Maximise the log marginal likelihood over kernel_.theta."""
        objective = self._objective(
            self._covariance(self.kernel_, self.X_train_, device)
        )
        self.optimizer_results_ = []
        if self.optimizer is None or self.kernel_.n_dims == 0:
            return
        if _overrides_lml(self):

            def objective(theta, eval_gradient):
                return self.log_marginal_likelihood(
                    theta, eval_gradient=eval_gradient, clone_kernel=False
                )

        self.log_marginal_likelihood_value_ = self._maximise(objective)

    def _factor(self, device, kind):
        """L_, alpha_ and jitter_ at the final hyperparameters."""
        covariance = self._covariance(self.kernel_, self.X_train_, device)
        y, noise, jitter = self._exact_problem(device)
        helped = bool(np.all(np.asarray(as_numpy(noise)) > 0))
        try:
            lml, posterior, self.jitter_, extra = fit_with_jitter(
                lambda: covariance.gram()[0],
                y,
                noise,
                jitter=jitter,
                ladder=JITTER_LADDER[y.dtype] if helped else (),
            )
        except NotPositiveDefiniteError as error:
            raise NotPositiveDefiniteError(
                f"The kernel, {self.kernel_}, is not returning a positive definite "
                "matrix. Try gradually increasing the 'alpha' parameter of your "
                "GaussianProcessRegressor estimator. Duplicated rows without noise, "
                "length scales far above the spread of X, and dtype='float32' are the "
                "usual causes."
            ) from error
        if extra:
            self._warn_of_jitter()
        if not self.optimizer_results_:
            self.log_marginal_likelihood_value_ = np.float64(lml)
        alpha = posterior.alpha
        self.alpha_ = kind(alpha[:, 0] if self.y_train_.ndim == 1 else alpha)
        self.L_ = kind(posterior.L.tril_())

    def _warn_of_jitter(self):
        warnings.warn(
            f"The covariance was not positive definite: {self.jitter_:.3g} was "
            f"added to its diagonal, beyond alpha={self.alpha}. Raise "
            "'alpha' or add a WhiteKernel; duplicated rows or a length scale far above "
            "the spread of X are the usual causes.",
            JitterWarning,
            stacklevel=4,
        )

    def _exact_problem(self, device):
        """Targets (n, t), noise (float or (n,)) and the precision's own jitter."""
        y = self._targets(device)
        noise = self._noise(device)
        helped = isinstance(noise, torch.Tensor) or noise > 0
        return y, noise, rounding_jitter(len(y), y.dtype) if helped else 0.0

    def _targets(self, device):
        """y_train_ as (n_samples, n_targets)."""
        y = self._tensor("y_train_", device)
        return y[:, None] if y.ndim == 1 else y

    def _noise(self, device):
        """alpha as a float or a tensor (n_samples,)."""
        alpha = np.asarray(as_numpy(self.alpha), dtype=np.float64)
        if alpha.size == 1:
            return alpha.item()
        return self._tensor("alpha", device)

    def _objective(self, covariance):
        """theta -> log marginal likelihood [, gradient] on the current data.

        One (n, n) buffer serves all evaluations.
        """
        points = covariance.points
        problem = self._exact_problem(points.device)
        buffer = torch.empty(
            points.n, points.n, dtype=points.dtype, device=points.device
        )

        def objective(theta, eval_gradient):
            try:
                K, pullback = covariance.gram(theta, out=buffer)
                lml, derivative, _ = log_marginal_likelihood(K, *problem)
            except NotPositiveDefiniteError:
                lml = np.float64(-np.inf)
                return (lml, np.zeros_like(theta)) if eval_gradient else lml
            lml = np.float64(lml)
            return (lml, pullback(derivative())) if eval_gradient else lml

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
        if theta is None:
            if eval_gradient:
                raise ValueError("Gradient can only be evaluated for theta!=None")
            return self.log_marginal_likelihood_value_
        theta = np.asarray(as_numpy(theta), dtype=np.float64)
        n_dims = self.kernel_.n_dims
        if theta.shape != (n_dims,):
            raise ValueError(
                "theta has not the correct number of entries. Should be "
                f"{n_dims}; given are {theta.size} (shape {theta.shape})."
            )
        if not clone_kernel:
            self.kernel_.theta = theta
        device = self._device_for(self.X_train_.shape[0])
        covariance = self._covariance(self.kernel_, self.X_train_, device)
        return self._objective(covariance)(theta, eval_gradient)

    def predict(self, X, return_std=False, return_cov=False):
        """Predict from the posterior, or from the prior if not fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
            Rows to predict at.
        return_std : bool, default=False
            Whether the standard deviation is returned, too.
        return_cov : bool, default=False
            Whether the joint covariance is returned, too. Not both.

        Returns
        -------
        y_mean : array of shape (n_samples,) or (n_samples, n_targets)
        y_std : array of the shape of y_mean, optional
        y_cov : array of shape (n_samples, n_samples) or \
                (n_samples, n_samples, n_targets), optional

        Raises
        ------
        RuntimeError
            If both `return_std` and `return_cov` are set.
        """
        if return_std and return_cov:
            raise RuntimeError(
                "At most one of return_std or return_cov can be requested."
            )
        X, kind = self._validate_rows(X, "predict")
        fitted = hasattr(self, "X_train_")
        moments = self._posterior_moments if fitted else self._prior_moments
        mean, spread = moments(X, return_std, return_cov)
        dtype = torch.promote_types(float_dtype(X), resolve_dtype(self.dtype))
        if not (return_std or return_cov):
            return kind(mean.to(dtype))
        return kind(mean.to(dtype)), kind(spread.to(dtype))

    def _prior_moments(self, X, return_std, return_cov):
        kernel = self._initial_kernel(fixed=True)
        covariance = self._covariance(kernel, X, self._device_for(len(X)))
        n_targets = self.n_targets or 1
        mean, spread = prior_moments(covariance, n_targets, return_std, return_cov)
        if spread is not None and n_targets > 1:
            spread = spread[..., None].repeat_interleave(n_targets, dim=-1)
        return mean.squeeze(), spread

    def _posterior_moments(self, X, return_std, return_cov):
        device = self._device_for(self.X_train_.shape[0], fitted=True)
        covariance = self._covariance(self.kernel_, self.X_train_, device)
        alpha = self._tensor("alpha_", device)
        alpha = alpha[:, None] if alpha.ndim == 1 else alpha
        need_factor = return_std or return_cov
        L = self._tensor("L_", device) if need_factor else None
        posterior = Posterior(alpha, L)
        if return_cov:
            mean, spread = joint_moments(covariance, posterior, X)
        else:
            mean, spread = row_moments(covariance, posterior, X, return_std)
        offset, scale = (
            torch.as_tensor(as_numpy(stat)).to(device, torch.float64)
            for stat in (self._y_train_mean, self._y_train_std)
        )
        mean = _drop_single_target(mean * scale + offset)
        if not need_factor:
            return mean, None
        # One covariance serves all targets; each takes it to its own scale.
        scale = scale.expand(alpha.shape[1])
        scale = scale if return_std else scale.square()
        return mean, _drop_single_target(spread[..., None] * scale)

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw functions from the posterior (or prior) and evaluate them at X.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features), or list of object
        n_samples : int, default=1
            Number of draws.
        random_state : int, RandomState instance or None, default=0
            The default draws the same functions in every call.

        Returns
        -------
        y_samples : array of shape (n_samples_X, n_samples) or \
                (n_samples_X, n_targets, n_samples)
        """
        rng = check_random_state(random_state)
        kind = ArrayKind(X)
        mean, cov = (
            np.asarray(as_numpy(moment), dtype=np.float64)
            for moment in self.predict(X, return_cov=True)
        )
        if mean.ndim == 1:
            return kind(rng.multivariate_normal(mean, cov, n_samples).T)
        draws = [
            rng.multivariate_normal(mean[:, target], cov[..., target], n_samples).T
            for target in range(mean.shape[1])
        ]
        return kind(np.stack(draws, axis=1))

    def score(self, X, y, sample_weight=None):
        """Coefficient of determination R^2 of the predicted mean.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float
        """
        y_pred = as_numpy(self.predict(X))
        return r2_score(as_numpy(y), y_pred, sample_weight=as_numpy(sample_weight))


def _overrides_lml(estimator):
    """Whether a subclass has its own objective, which `fit` must then follow.

    If not, `fit` skips the bookkeeping of the public method (0.1 ms a call).
    """
    own = type(estimator).log_marginal_likelihood
    return own is not TorchGPRegressor.log_marginal_likelihood


def _safe_scale(y):
    """Standard deviation of each target, 1 where a target is constant."""
    std, mean = np.std(y, axis=0), np.mean(y, axis=0)
    # A constant's computed deviation may be round-off instead of zero.
    constant = std <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return np.where(constant, 1.0, std)[()]


def _drop_single_target(values):
    return values[..., 0] if values.shape[-1] == 1 else values
