"""One binary problem: what the binary and several multi-class modes are made of."""

import warnings

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._data.arrays import as_numpy
from .._inference import METHODS
from .._inference.exact.posterior import Posterior
from .._inference.prediction import joint_moments, row_moments
from .._inference.sites.engine import Sites, leave_one_out
from .._likelihoods import LINKS, Bernoulli, class_log_probabilities
from .._linalg.cholesky import symmetrize_
from .._linalg.threads import one_blas_thread
from .._model.base import GPEstimator, wants_fitted_value
from ..exceptions import NotPositiveDefiniteError


class Objective:
    """theta, eval_gradient -> log marginal likelihood [, gradient].

    Every evaluation starts from the solution of the one before. Two (n, n) buffers
    serve all of them: K, and the matrix that is factored.

    Parameters
    ----------
    covariance : Covariance
    likelihood : object
    infer : callable ``(K, likelihood, start, work)`` -> Inference
    start : object or None

    Attributes
    ----------
    K, work : tensors (n, n)
    last : Inference or None
        Of the last evaluation that succeeded.
    """

    def __init__(self, covariance, likelihood, infer, start):
        points = covariance.points
        self.covariance, self.likelihood, self.infer = covariance, likelihood, infer
        self.K = points.zeros(points.n, points.n)
        self.work = torch.empty_like(self.K)
        self.start, self.last = start, None

    def __call__(self, theta, eval_gradient):
        with one_blas_thread():  # LAPACK serves few rows, torch the rest
            return self._evaluate(theta, eval_gradient)

    def _evaluate(self, theta, eval_gradient):
        try:
            _, pullback = self.covariance.gram(theta, out=self.K)
            symmetrize_(self.K)
            result = self.infer(self.K, self.likelihood, self.start, self.work)
            if not np.isfinite(result.lml):
                raise NotPositiveDefiniteError("the evidence is not finite")
        except NotPositiveDefiniteError:
            lml = np.float64(-np.inf)
            return (lml, np.zeros_like(theta)) if eval_gradient else lml
        self.last = result
        if result.converged:
            self.start = result.start
        lml = np.float64(result.lml)
        if not eval_gradient:
            return lml
        return lml, pullback(result.derivative().view_as(self.K))


class LatentGP(GPEstimator, BaseEstimator):
    """What the binary and the softmax problem share: theta, and its objective.

    Rows and labels come validated; answers are float64 tensors. Parameters are those
    of :class:`TorchGPClassifier`. A subclass supplies `_likelihood`, `_infer` and
    `_store`.
    """

    def __init__(
        self,
        kernel=None,
        *,
        optimizer="fmin_l_bfgs_b",
        n_restarts_optimizer=0,
        max_iter_predict=100,
        warm_start=False,
        random_state=None,
        inference="laplace",
        link="logit",
        device="auto",
        dtype="float64",
    ):
        self.kernel = kernel
        self.optimizer = optimizer
        self.n_restarts_optimizer = n_restarts_optimizer
        self.max_iter_predict = max_iter_predict
        self.warm_start = warm_start
        self.random_state = random_state
        self.inference = inference
        self.link = link
        self.device = device
        self.dtype = dtype

    def fit(self, X, y, sample_weight=None, points=None):
        """Optimise the hyperparameters, then keep what prediction needs.

        Parameters
        ----------
        X : ndarray (n, d), or list of n objects
            Kept, not copied.
        y : ndarray (n,)
            Codes 0, 1, ... of the classes.
        sample_weight : ndarray (n,), default=None
            Positive.
        points : Points, default=None
            X as tensors, where several problems share them.
        """
        self._rng = check_random_state(self.random_state)
        self.X_train_, self.y_train_ = X, y
        self.classes_ = np.unique(y)
        self.sample_weight_ = sample_weight
        self.kernel_ = self._initial_kernel(fixed=True)
        self.optimizer_results_ = []
        device = self._device_for(len(y))
        covariance = self._covariance(self.kernel_, points or X, device)
        objective = self._objective(covariance)
        if self.optimizer is not None and self.kernel_.n_dims > 0:
            self.log_marginal_likelihood_value_ = self._maximise(objective)
        self._condition(covariance, objective)
        return self

    def _first_start(self):
        """Where inference starts: a former solution if `warm_start` says so."""
        start = getattr(self, "_start", None) if self.warm_start else None
        if start is None:
            return None
        # Laplace starts from an f, EP and VI from a precision and a shift.
        shape = (len(self.y_train_),)
        shape = shape if self.inference == "laplace" else (2, *shape)
        return start if np.shape(start) == shape else None

    def _objective(self, covariance):
        points = covariance.points
        likelihood = self._likelihood(points.device)
        start = self._unpack(self._first_start(), points)
        return Objective(covariance, likelihood, self._infer, start)

    def _condition(self, covariance, objective):
        """Everything that prediction needs, at kernel_.theta."""
        objective.last = None
        lml = objective(self.kernel_.theta, False)
        result = objective.last
        if result is None:
            raise NotPositiveDefiniteError(
                f"The kernel, {self.kernel_}, does not return a finite, positive "
                "semi-definite matrix on the training rows. Check its hyperparameters "
                "and bounds, and that the kernel is a valid covariance function."
            )
        if not self.optimizer_results_:
            self.log_marginal_likelihood_value_ = lml
        self._warn_unless_converged(result)
        self._start = self._pack(result.start)
        self._store(result, objective.K, objective.work)

    def _warn_unless_converged(self, result):
        if result.converged:
            return
        warnings.warn(
            f"inference={self.inference!r} did not converge: its residual is "
            f"{result.residual:.2g} after {result.n_iterations} iterations. Evidence, "
            "gradient and predictions are inexact. Raise the 'max_iter_predict' "
            f"parameter (now {self.max_iter_predict}), or give the kernel tighter "
            "bounds.",
            ConvergenceWarning,
            stacklevel=5,
        )

    def log_marginal_likelihood(
        self, theta=None, eval_gradient=False, clone_kernel=True
    ):
        """Approximate log marginal likelihood at theta [, its gradient]."""
        if wants_fitted_value(theta, eval_gradient):
            return self.log_marginal_likelihood_value_
        theta = self._checked_theta(theta)
        if not clone_kernel:
            self.kernel_.theta = theta
        device = self._device_for(len(self.y_train_))
        covariance = self._covariance(self.kernel_, self.X_train_, device)
        objective = self._objective(covariance)
        value = objective(theta, eval_gradient)
        if objective.last is not None:
            self._warn_unless_converged(objective.last)
            self._start = self._pack(objective.last.start)
        return value

    def _fitted_covariance(self):
        device = self._device_for(len(self.y_train_), fitted=True)
        return self._covariance(self.kernel_, self.X_train_, device)

    @staticmethod
    def _pack(start):
        """The start of an inference as one NumPy array, last axis the rows."""
        if isinstance(start, torch.Tensor):
            return as_numpy(start)
        return np.stack([as_numpy(part) for part in start])

    @staticmethod
    def _unpack(start, points):
        if start is None:
            return None
        return torch.as_tensor(start).to(points.device, points.dtype)


class BinaryGP(LatentGP):
    """Binary classification with a logit or probit link; see `LatentGP`.

    Attributes
    ----------
    kernel_ : kernel
    X_train_, y_train_ : training rows and codes 0 or 1
    alpha_ : ndarray (n,)
        K^-1 times the posterior mean of f.
    W_sr_ : ndarray (n,)
        Root of the site precisions: of W = -d2 log p for Laplace.
    L_ : ndarray (n, n)
        Lower Cholesky factor of B = I + W_sr K W_sr.
    pi_ : ndarray (n,)
        p(y = 1) at the posterior mean of f.
    log_marginal_likelihood_value_ : float
    optimizer_results_ : list of Bunch
    """

    def _likelihood(self, device):
        y = 2.0 * self._tensor("y_train_", device) - 1.0
        weighted = self.sample_weight_ is not None
        weight = self._tensor("sample_weight_", device) if weighted else None
        return Bernoulli(self.link, y, weight)

    def _infer(self, K, likelihood, start, work):
        if start is not None and self.inference != "laplace":
            start = Sites(*start)
        return METHODS[self.inference](
            K, likelihood, start, max_iter=self.max_iter_predict, work=work
        )

    def _store(self, result, K, work):
        posterior = result.posterior(K, work)
        mean = K @ result.alpha
        self.alpha_ = as_numpy(result.alpha)
        self.pi_ = as_numpy(LINKS[self.link].log_p(mean).exp())
        self.W_sr_ = as_numpy(posterior.s)
        self.L_ = as_numpy(posterior.L.tril_())

    def _fitted(self):
        """Covariance and posterior."""
        covariance = self._fitted_covariance()
        device = covariance.points.device
        alpha, L, s = (self._tensor(name, device) for name in ("alpha_", "L_", "W_sr_"))
        return covariance, Posterior(alpha[:, None], L, s=s)

    def latent_mean(self, X):
        """Posterior mean of f at X: (m,)."""
        return row_moments(*self._fitted(), X, None)[0][:, 0]

    def latent_moments(self, X):
        """Posterior mean and variance of f at X: (m,) each."""
        mean, variance = row_moments(*self._fitted(), X, "var")
        return mean[:, 0], variance[:, 0].double().clamp_(min=0)

    def latent_joint(self, X):
        """Posterior mean (m,) and covariance (m, m) of f at X."""
        mean, cov = joint_moments(*self._fitted(), X)
        return mean[:, 0], cov[..., 0].double()

    def log_proba(self, X):
        """Log of the probabilities of both classes at X: (m, 2)."""
        return class_log_probabilities(self.link, *self.latent_moments(X))

    def loo_log_proba(self):
        """Log probabilities (n, 2) for each training row without its own label."""
        covariance = self._fitted_covariance()
        device = covariance.points.device
        K = symmetrize_(covariance.gram()[0])
        alpha = self._tensor("alpha_", device)
        precision = self._tensor("W_sr_", device).square()
        sites = Sites(precision, alpha + precision * (K @ alpha))
        m, v = leave_one_out(K, sites, self._likelihood(device).copies)
        return class_log_probabilities(self.link, m.double(), v.double())
