"""One problem of classification: labels behind one latent function, or one for each."""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._covariance import Points
from .._data.arrays import as_numpy, resolve_dtype
from .._data.shards import GONE
from .._likelihoods import (
    Bernoulli,
    MultinomialProbit,
    Softmax,
    mode_probabilities,
    softmax_average,
)
from .._linalg.draws import joint_draws
from .._linalg.memory import memory_for
from .._linalg.threads import one_blas_thread
from .._model.base import GPEstimator
from .._model.methods import METHODS_OF_CLASSIFIERS, classification_method
from .._model.model import Model
from .._model.objective import Objective
from .._model.optimize import optimise
from .._model.plans.inducing import (
    coarse,
    courses,
    keep_points,
    memory_with_sites,
    sites_method,
)
from .._model.progress import cure
from .._model.stages import Stage
from .._model.state import FittedArrays, Kept, kept_by, store
from ..exceptions import NotPositiveDefiniteError, callers_level


@dataclass(frozen=True)
class Settings:
    """Parameters of :class:`TorchGPClassifier` that hold for every problem.

    `softmax` says whether all classes are one problem.
    """

    kernel: Any = None
    optimizer: Any = "fmin_l_bfgs_b"
    n_restarts_optimizer: int = 0
    max_iter_predict: int = 100
    warm_start: bool = False
    random_state: Any = None
    inference: str = "laplace"
    link: str = "logit"
    softmax: bool = False
    method_: str = "exact"
    inducing_points: Any = 512
    optimizer_rows: int | None = 5000
    device: Any = "auto"
    dtype: str = "float64"
    priors: Any = None


class LatentGP(GPEstimator, BaseEstimator):
    """A fitted problem: theta, and what prediction needs.

    Rows and labels come validated; answers are float64 tensors. C is the number of
    classes, and q of latent functions: C for softmax, 1 for a binary problem.

    Parameters
    ----------
    settings : Settings

    Attributes
    ----------
    kernel_ : kernel
        Shared by all classes.
    X_train_, y_train_ : training rows and codes 0, 1, ...
    alpha_ : ndarray (n,), or (C, n) for softmax
        K^-1 times the posterior mean (softmax: mode) of f.
    W_sr_ : ndarray (n,)
        Root of the site precisions: of W = -d2 log p for Laplace.
    L_ : ndarray (n, n)
        Lower Cholesky factor of B = I + W_sr K W_sr.
    pi_ : ndarray (n,)
        p(y = 1) at the posterior mean of f.
    D_ : ndarray (C, n), softmax in place of the last three
        Site precisions: of Laplace the weighted probabilities at the mode.
    E_ : ndarray (C, n, n), likewise
        (K + D_c^-1)^-1.
    M_ : ndarray (n, n), likewise
        Lower Cholesky factor of the sum of E_ over classes.
    log_marginal_likelihood_value_ : float
    optimizer_results_ : list of Bunch
    """

    # The last solution, and the inference that found it.
    _start = None, None
    _shards = None  # see `Model`

    def __init__(self, settings=None):
        self.settings = settings
        if settings is not None:  # as attributes, where GPEstimator reads them
            vars(self).update(vars(settings))

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        points=None,
        before=None,
        watch=None,
        shards=None,
    ):
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
        before : LatentGP, default=None
            Whose solution is where `warm_start` starts.
        watch : Watch, default=None
            Hears of starts and iterations.
        shards : Shards, default=None
            Of all rows, where these are a draw of them.
        """
        self._rng, self._kept = check_random_state(self.random_state), Kept()
        self._shards = shards
        self.X_train_, self.y_train_ = X, y
        self.classes_ = np.unique(y)
        self.sample_weight_ = sample_weight
        default = self._default_model(X, sample_weight)
        self.kernel_ = default.kernel if default else self._initial_kernel(fixed=True)
        self._acquaint(self.kernel_, X, y)
        self._set_priors(self.kernel_, default)
        if before is not None:
            self._start = before._start
        n, device = len(y), self._device_for(len(y))
        through = self.method_ == "inducing"
        need = n * n * resolve_dtype(self.dtype).itemsize, partial(cure, self, n)
        if through:
            need = memory_with_sites(self, n)
        with memory_for(f"Fitting {n} rows", need[0], device, need[1]):
            if through:
                return self._fit_through_points(points, watch, default)
            model = self._model(points)
            objective = self._objective(model, self._first_start(model))
            reached = optimise(
                self, lambda: [Stage(None, objective)], watch=watch, default=default
            )
            evidence = self._condition(objective)
        self.log_marginal_likelihood_value_ = evidence if reached is None else reached
        return self

    def _fit_through_points(self, points, watch, default):
        """The same, with inducing points that are found with the hyperparameters."""
        self._seed = self._rng.randint(np.iinfo(np.int32).max)
        every = coarse(self._model(points))
        stages = partial(courses, self, every)
        optimise(self, stages, watch=watch, n_common=1, default=default)
        keep_points(self)
        objective = self._objective(self._model(points))
        self.log_marginal_likelihood_value_ = self._condition(objective)
        if self._shards is not None:
            self._shards = GONE
        return self

    @property
    def _methods(self):
        """Values of `method` that go with the inference."""
        through = self.inference == "vi" and not self.softmax
        return METHODS_OF_CLASSIFIERS if through else METHODS_OF_CLASSIFIERS[:1]

    def at(self, vector):
        """The problem as if `fit` had ended there: one more inference."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), _kept=Kept())
        other.kernel_ = self._kernel_at(vector)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evidence = other._condition(other._objective(other._model()))
        other.log_marginal_likelihood_value_ = evidence
        return other

    def points(self, X):
        """Rows as tensors, for several problems to share."""
        device = self._device_for(len(X))
        return Points(X, dtype=resolve_dtype(self.dtype), device=device)

    def _model(self, points=None):
        device = self._device_for(len(self.y_train_), fitted=True)
        if points is not None:
            model = self._bind(device, points)
        else:
            model = self._bound(self._bind, device)
        through = self.method_ == "inducing"
        if not through:
            return model
        return replace(model, method=sites_method(self), shards=self._shards)

    # What `_bind` reads beside `kernel_`.
    _binds = (
        "X_train_", "y_train_", "sample_weight_", "classes_", "inference", "link",
        "softmax", "max_iter_predict", "dtype",
    )  # fmt: skip

    def _bind(self, device, points=None):
        rows = self.X_train_ if points is None else points
        of = self.inference, self.softmax, self.max_iter_predict
        return Model(
            self._covariance(self.kernel_, rows, device),
            self._likelihood(FittedArrays(self, device)),
            classification_method(*of),
        )

    def _model_of_rows(self, rows):
        few, X, weight = object.__new__(type(self)), self.X_train_, self.sample_weight_
        vars(few).update(vars(self), _kept=Kept(), _shards=None)
        few.X_train_ = X[rows] if isinstance(X, np.ndarray) else [X[i] for i in rows]
        few.y_train_ = self.y_train_[rows]
        few.sample_weight_ = None if weight is None else weight[rows]
        return few._model()

    def _likelihood(self, arrays):
        codes, weight = arrays["y_train_"], arrays.get("sample_weight_")
        if not self.softmax:
            return Bernoulli(self.link, 2.0 * codes - 1.0, weight)
        one_hot = torch.nn.functional.one_hot(codes.long(), len(self.classes_))
        y = one_hot.mT.to(codes)
        if self.link == "probit":
            return MultinomialProbit(y)
        # Laplace's Gaussian is not to be averaged over: see `mode_probabilities`.
        average = mode_probabilities if self.inference == "laplace" else softmax_average
        return Softmax(y, weight, average)

    def _first_start(self, model):
        """Where inference starts: a former solution if `warm_start` says so."""
        inference, start = self._start
        same = inference == self.inference and np.shape(start)[-1:] == (model.n,)
        if not (self.warm_start and same):
            return None
        points = model.covariance.points
        return torch.as_tensor(start).to(points.device, points.dtype)

    def _condition(self, objective):
        """Everything that prediction needs, at kernel_.theta; returns the evidence."""
        objective.strict, objective.last = False, None
        evidence = objective(self._vector(), False)
        if objective.last is None:
            raise NotPositiveDefiniteError(
                f"The kernel, {self.kernel_}, does not return a finite, positive "
                "semi-definite matrix on the training rows. Check its hyperparameters "
                "and bounds, and that the kernel is a valid covariance function."
            )
        self._take_note(objective.last)
        with one_blas_thread():
            store(self, objective.last.posterior().arrays, as_numpy)
        return evidence

    def _take_note(self, found):
        """Keep the solution as a start, and warn if it is none."""
        if self.method_ == "exact":
            self._start = self.inference, as_numpy(found.start)
        if found.converged:
            return
        warnings.warn(
            f"inference={self.inference!r} did not converge: its residual is "
            f"{found.residual:.2g} after {found.n_iterations} iterations. Evidence, "
            f"gradient and predictions are inexact. {self._cure(found)}",
            ConvergenceWarning,
            stacklevel=callers_level(),
        )

    def _cure(self, found):
        """What helps an inference that did not converge."""
        if found.n_iterations >= self.max_iter_predict:
            return (
                f"Raise the 'max_iter_predict' parameter (now {found.n_iterations}), "
                "scale the features, or give the kernel tighter bounds."
            )
        if self.dtype != "float64":
            return "Round-off stopped it: set dtype='float64'."
        return (
            "Round-off stopped it, so more iterations do not help. Scale the features "
            f"(StandardScaler), or bound the variance of the kernel, {self.kernel_}."
        )

    def _log_evidence(self, model, theta, eval_gradient):
        start = self._first_start(model)
        with kept_by(self).workspace(model.covariance.points) as work:
            objective = Objective(model, start, strict=False, work=work)
            answer = objective(theta, eval_gradient)
        if objective.last is not None:
            self._take_note(objective.last)
        return answer

    def latent_moments(self, X, spread="var"):
        """Posterior mean (m, q) of the latent functions at X, and their spread.

        `spread` is None, "var": variances (m, q), or "cov": (m, m, q).
        """
        mean, spread_ = self._posterior().moments(X, spread)
        return mean, spread_.clamp(min=0) if spread == "var" else spread_

    def log_proba(self, X):
        """Log of the class probabilities at X: (m, C)."""
        posterior = self._posterior()
        likelihood = posterior.likelihood
        moments = posterior.few_moments(X, likelihood.spread)
        if moments is not None:
            return torch.from_numpy(likelihood.few_log_proba(*moments))
        return likelihood.log_proba(*posterior.moments(X, likelihood.spread))

    def loo_log_proba(self):
        """Log probabilities (n, C) for each training row without its own label."""
        posterior = self._posterior()
        return posterior.likelihood.log_proba(*posterior.leave_one_out())

    def sample_latent(self, X, n_samples, rng):
        """Joint draws of the latent functions at X: ndarray (m, q, n_samples)."""
        if not self.softmax:
            moments = map(as_numpy, self.latent_moments(X, "cov"))
            return joint_draws(*moments, n_samples, rng)
        mean, cov = map(as_numpy, self._posterior().joint_moments(X))
        size = mean.size
        moments = mean.reshape(size, 1), cov.reshape(size, size, 1)
        draws = joint_draws(*moments, n_samples, rng)
        return draws.reshape(*mean.shape, n_samples).swapaxes(0, 1)
