"""Gaussian-process regression."""

import warnings
from dataclasses import replace
from numbers import Integral

import numpy as np
import torch
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state

from ._data.arrays import as_numpy, resolve_dtype
from ._data.rows import Rows, is_table
from ._inference.exact.evidence import evidence
from ._inference.exact.plain import JITTER_LADDER, fit_with_jitter
from ._linalg.memory import memory_for
from ._model.base import GPEstimator
from ._model.optimize import OPTIMIZERS
from ._regression.criteria import CRITERIA, Criteria
from ._regression.leave_one_out import LeaveOneOut
from ._regression.outputs import Outputs
from ._regression.paths import Paths
from ._regression.predictions import Predictor
from ._regression.targets import Targets
from ._regression.trend import check_mean
from ._regression.updates import Updates
from .exceptions import JitterWarning, NotPositiveDefiniteError


class TorchGPRegressor(
    Targets,
    Updates,
    Criteria,
    LeaveOneOut,
    Outputs,
    Paths,
    Predictor,
    GPEstimator,
    GaussianProcessRegressor,
):
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
    optimizer : {"fmin_l_bfgs_b", "coarse-to-fine"}, callable or None, \
            default="fmin_l_bfgs_b"
        Maximiser of the log marginal likelihood. "coarse-to-fine" runs L-BFGS-B on an
        eighth and on half of the rows (random, where these are 300 or more) before
        all of them: the same tolerance at the end, with fewer evaluations on all rows;
        where the likelihood has several optima it may end in another. A callable is
        called as
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
    mean : {"zero", "constant", "linear"} or regressor, default="zero"
        The trend under the process. A constant or linear one (intercept and one
        coefficient for each feature) has a flat prior and is integrated out, so that
        the deviation grows where the trend is unsure: universal kriging (GPML 2.7). Any
        scikit-learn regressor is fitted first; the process models what it leaves.
    target_transform : transformer, default=None
        A monotone scikit-learn transformer (``PowerTransformer()``,
        ``FunctionTransformer(np.log, np.exp)``) that is fitted to y; the process then
        models the transformed y. Predictions are in units of y: mean, deviation and
        covariance by quadrature, quantiles by the exact inverse. The evidence, `alpha`,
        `trend_coef_` and `noise_variance_train_` are those of the transformed y.
    objective : {"lml", "loo"} or callable, default="lml"
        What `fit` maximises: the log marginal likelihood, or the sum of the log
        predictive densities of left-out rows (GPML 5.4.2), which minds a wrong kernel
        less. A callable is called as ``objective(estimator, theta, eval_gradient)``
        and returns the value or ``(value, gradient)``; it may use the estimator's
        `log_marginal_likelihood` and `loo_log_predictive_density`, for instance to
        add the log of a prior.
    warm_start : bool, default=False
        Whether `fit` starts from the hyperparameters of the last `fit`, where `kernel`
        still has the same form and values.
    device : {"auto", "cpu", "cuda", "cuda:<index>"} or torch.device, default="auto"
        Where the linear algebra runs. "auto" takes the GPU if there is one and the
        training set is large enough to gain from it.
    dtype : {"float64", "float32", "mixed"}, default="float64"
        Precision of the linear algebra; `predict` answers in the wider of this and
        the precision of X. In float32
        the diagonal of the covariance is enlarged by a factor 1 + eps (n + 50)
        (n = 1000: 1.3e-4), without which float32 cannot factor it; `jitter_` says
        how much that is. Rows equal in X, y and noise are there kept once, with their
        number as weight and in an order of their own (not with objective="loo").
        "mixed" optimises the hyperparameters on a float32 factor
        with weights refined to float64, and then factors once in float64. Its error
        grows with the condition number (``benchmarks/bench_dtype.py`` measures it);
        where that is too large it raises
        :class:`~sklearn_torchgp.exceptions.ConditioningError`.
    n_jobs : int, default=None
        Starts that run side by side, through joblib: None means 1 unless in a
        :func:`joblib.parallel_config` context, which also chooses the backend. The
        starts, and up to round-off the results, do not depend on it. On a GPU the
        starts of up to 512 rows are evaluated as one batch instead.

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
        At ``kernel_.theta``, whatever the objective.
    objective_value_ : float
        The value that `fit` reached for the objective.
    optimizer_results_ : list of Bunch
        One record per start: `theta_start`, `theta`, `value` (the log marginal
        likelihood reached), `n_iterations`, `n_evaluations`, `n_coarse_evaluations`
        (a dict from a number of rows to evaluations on so many), `converged`,
        `message`, `refusal` (why a theta could not be evaluated in mixed precision,
        or None), `seconds`. Empty without optimisation.
    trend_coef_ : array of shape (n_features,) or (n_targets, n_features)
        Coefficients of the trend (posterior mean) in units of y; zeros for a constant
        trend. Only with ``mean="constant"`` and ``mean="linear"``.
    trend_intercept_ : float or array of shape (n_targets,)
        Likewise.
    trend_estimator_ : regressor
        The fitted regressor. Only where `mean` is one.
    target_transform_ : transformer
        The fitted transformer. Only where there is one.
    sample_weight_train_, noise_variance_train_ : array or None
        Weights and known noise of the training rows, where they were given.
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
        "optimizer": [str, callable, None],
        "mean": "no_validation",
        "target_transform": "no_validation",
        "objective": [str, callable],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "dtype": [str],
        "n_jobs": [Integral, None],
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
        mean="zero",
        target_transform=None,
        objective="lml",
        warm_start=False,
        device="auto",
        dtype="float64",
        n_jobs=None,
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
        self.mean = mean
        self.target_transform = target_transform
        self.objective = objective
        self.warm_start = warm_start
        self.device = device
        self.dtype = dtype
        self.n_jobs = n_jobs

    def fit(self, X, y, sample_weight=None, noise_variance=None):
        """Fit the model: optimise the hyperparameters, factor the covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight w stands for w copies of itself, exactly, for any real
            w >= 0; zero leaves the row out. `normalize_y` then takes the weighted
            mean and deviation. Each copy has the noise of its row, and rows of a
            weight other than 0 and 1 need some.
        noise_variance : array-like of shape (n_samples,) or (n_samples, n_targets), \
                default=None
            Known noise of each observation, in units of y squared (whatever
            `normalize_y`), on top of `alpha` and any WhiteKernel. With a column for
            each target, each target has its own factor `L_`.

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
            kernel = self._starting_kernel()
            self._rng = check_random_state(self.random_state)
            X, y, kind = self._validate_training_data(
                X, y, multi_output=True, y_numeric=True
            )
            self._check_alpha(len(y))
            self._check_n_targets(y)
            rows = Rows.checked(X, y, sample_weight, noise_variance)
            merge = self.dtype == "float32" and self.objective != "loo"
            if merge and self._knows_copies(kernel, rows.X):
                rows = rows.merged(as_numpy(self.alpha))
            self._rows_kept, self._rows_given = rows.kept, rows.given
            self._fit_targets(rows, kind)
            copy = np.copy if self.copy_X_train else np.asarray
            rows.X, rows.y = copy(rows.X), copy(rows.y)
            self._set_rows(rows, kind)
            self.kernel_ = kernel
            n = len(rows.y)
            device = self._device_for(n)
            itemsize = torch.finfo(resolve_dtype(self.dtype)).bits // 8
            cure = "Fit fewer rows, or use dtype='float32' (half of it)."
            with memory_for(f"Fitting {n} rows", n * n * itemsize, device, cure):
                self._fit_hyperparameters(device)
                self._set_objective_values(self._factor(device, kind), device)
        return self

    def _check_params(self):
        super()._check_params()
        check_mean(self.mean)
        if not callable(self.objective) and self.objective not in CRITERIA:
            raise ValueError(
                f"The 'objective' parameter must be one of {sorted(CRITERIA)} or a "
                f"callable. Got {self.objective!r} instead."
            )
        if isinstance(self.optimizer, str) and self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"The 'optimizer' parameter must be one of {list(OPTIMIZERS)}, a "
                f"callable or None. Got {self.optimizer!r} instead."
            )
        if self.dtype == "mixed" and self.objective == "loo":
            raise ValueError(
                "The 'dtype' parameter is 'mixed', which goes with objective='lml' "
                "only. Use dtype='float64' for objective='loo'."
            )

    def _knows_copies(self, kernel, X):
        """Whether equal rows may be counted: numbers, and a kernel that tells noise."""
        cpu = torch.device("cpu")
        return is_table(X) and self._covariance(kernel, X[:1], cpu).tells_noise

    def _set_rows(self, rows, kind):
        """The training data in the caller's kind of array; `rows.y` is normalised."""
        for name, value in (
            ("X_train_", rows.X),
            ("y_train_", rows.y),
            ("sample_weight_train_", rows.weight),
            ("noise_variance_train_", rows.noise_variance),
        ):
            setattr(self, name, kind(value))

    def _check_n_targets(self, y):
        n_targets_seen = y.shape[1] if y.ndim > 1 else 1
        if self.n_targets is not None and n_targets_seen != self.n_targets:
            raise ValueError(
                "The number of targets seen in `y` is different from the parameter "
                f"`n_targets`. Got {n_targets_seen} != {self.n_targets}."
            )

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

    def _factor(self, device, kind):
        """L_, alpha_ and jitter_ at the final hyperparameters; returns the evidence."""
        covariance, observations = self._data(device)
        y, noise, jitter = observations.y, observations.noise, observations.jitter
        helped = bool(np.all(np.asarray(as_numpy(noise)) > 0))
        nugget = self._nugget(covariance, observations)[0]

        def evaluate(K, y, noise, jitter):
            return evidence(K, replace(observations, noise=noise), nugget)

        try:
            lml, posterior, self.jitter_, extra = fit_with_jitter(
                lambda: covariance.gram()[0],
                y,
                noise,
                jitter=jitter,
                ladder=JITTER_LADDER[y.dtype] if helped else (),
                evaluate=evaluate,
            )
        except NotPositiveDefiniteError as error:
            raise NotPositiveDefiniteError(
                f"The kernel, {self.kernel_}, is not returning a positive definite "
                "matrix. Try gradually increasing the 'alpha' parameter of your "
                "GaussianProcessRegressor estimator. Duplicated rows without noise, "
                "length scales far above the spread of X, and dtype='float32' are the "
                "usual causes."
            ) from error
        # A factor with jitter is not one to extend.
        self._factored_at = None if extra > 0 else self._factor_key()
        if extra > 0:
            self._warn_of_jitter()
        self._set_posterior(posterior, kind)
        return lml

    def _factor_key(self):
        """What L_ depends on beyond the rows: equal keys, the same factor."""
        alpha = tuple(np.ravel(as_numpy(self.alpha)))
        return clone(self.kernel_), alpha, self.dtype

    def _set_posterior(self, posterior, kind):
        alpha = posterior.alpha
        self.alpha_ = kind(alpha[:, 0] if self.y_train_.ndim == 1 else alpha)
        self.L_ = kind(posterior.L.tril_())
        self._set_trend(posterior.trend, kind)

    def _warn_of_jitter(self):
        warnings.warn(
            f"The covariance was not positive definite: {self.jitter_:.3g} was "
            f"added to its diagonal, beyond alpha={self.alpha}. Raise "
            "'alpha' or add a WhiteKernel; duplicated rows or a length scale far above "
            "the spread of X are the usual causes.",
            JitterWarning,
            stacklevel=4,
        )

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
