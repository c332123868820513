"""Gaussian-process regression."""

from dataclasses import replace
from functools import partial
from numbers import Integral
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from ._data.arrays import ArrayKind, as_numpy, check_same_kind, resolve_dtype
from ._data.rows import Rows
from ._data.shards import weights_of_all
from ._linalg.memory import memory_for
from ._model.base import GPEstimator, checked_theta
from ._model.default import AUTO, is_auto
from ._model.elsewhere import brought
from ._model.initial import given_kernel, starting_kernel
from ._model.methods import check_regression, choose_method
from ._model.model import Model
from ._model.objective import Objective
from ._model.optimize import optimise
from ._model.plans import PLANS
from ._model.plans.plan import counts_copies
from ._model.state import FittedArrays, Kept, store
from ._regression.attributes import (
    learn_targets,
    likelihood_of,
    rows_of,
    set_rows,
    set_trend,
    targets_of,
)
from ._regression.conditioning import condition, extend, set_values
from ._regression.elsewhere import shards_elsewhere, targets_elsewhere
from ._regression.leave_one_out import LeaveOneOut
from ._regression.multioutput import check_multi_output, extend_outputs, fit_outputs
from ._regression.observations import (
    check_alpha,
    check_copies,
    check_n_targets,
    merged,
)
from ._regression.outputs import Outputs
from ._regression.predictions import Predictions
from ._regression.record import FitRecord
from ._regression.trend import check_mean

# What a regressor asks of y.
_NUMBERS = {"multi_output": True, "y_numeric": True}


class TorchGPRegressor(
    Predictions, Outputs, LeaveOneOut, GPEstimator, GaussianProcessRegressor
):
    """Gaussian-process regression on PyTorch linear algebra, CPU or GPU.

    A drop-in for :class:`sklearn.gaussian_process.GaussianProcessRegressor`: same
    parameters, same attributes, same numbers.

    Parameters
    ----------
    kernel : scikit-learn kernel or "auto", default=None
        The covariance function. None means ``ConstantKernel(1.0) * RBF(1.0)``, with
        hyperparameters optimised (before scikit-learn 1.9: fixed, as there). Kernels of
        scikit-learn run on torch; others through their own NumPy code (see
        :func:`register_kernel`). "auto" is a good start for a table of numbers in any
        units: amplitude times an anisotropic Matern kernel (nu = 5/2, or RBF where that
        has the higher posterior), a shorter, rough part (nu = 1/2) of one length scale
        for all features (:class:`~sklearn_torchgp.kernels.TiedMatern`) and noise, with
        bounds and starts from the deviation of each feature, weak priors, and y
        standardised as by `normalize_y`. Several starts are tried on at most 300 rows;
        the best goes on.
    alpha : float or array of shape (n_samples,), default=1e-10
        Added to the diagonal of the training covariance: the variance of known
        noise in (normalised) units of y squared, or numerical help. With 0 the
        factorisation gets no help at all and a singular matrix is an error.
    optimizer : {"fmin_l_bfgs_b", "coarse-to-fine"}, callable or None, \
            default="fmin_l_bfgs_b"
        Maximiser of the log marginal likelihood. "coarse-to-fine" runs L-BFGS-B on an
        eighth and on half of the rows (random, where these are 300 or more) before
        all of them, to the same tolerance at the end. It promises neither less work
        nor the same optimum. On 14 data sets (``benchmarks/bench_evaluations.py``) it
        took fewer evaluations on all rows in 13; with those on subsets, at their cost,
        it was 0.46 to 1.25 times the work, less in 9. Where the likelihood has several
        optima it may end in another: higher in 3 sets, by 8.1 nats at most, and lower
        in 4, by 4.4 nats at most. A callable is called as
        ``optimizer(obj_func, initial_theta, bounds=bounds)`` and returns
        ``(theta, value)``; ``obj_func(theta, eval_gradient=True)`` is the negative
        log marginal likelihood. None keeps the kernel as it is.
    n_restarts_optimizer : int, default=0
        Further starts, drawn log-uniformly within the kernel's bounds.
    normalize_y : bool, default=False
        Whether each target is scaled to zero mean and unit variance (of what is known
        of it) for the fit and predictions are scaled back.
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
    priors : dict, default=None
        Names of ``kernel.get_params()`` -> a distribution of
        :mod:`sklearn_torchgp.priors`, or a list with one for each (free) element.
        `fit` maximises the objective, whichever it is, plus their log densities: with
        "lml" the log posterior. The densities are of the hyperparameters themselves,
        without the Jacobian of their logarithms. Each stage of a fit, on however many
        rows, has the whole of them. Those of kernel="auto" are replaced by name.
    warm_start : bool, default=False
        Whether `fit` starts from the hyperparameters of the last `fit`, where `kernel`
        still has the same form and values.
    multi_output : {"shared", "independent", "icm"}, default="shared"
        Of several targets. "shared": one kernel, of which all are draws, as in
        scikit-learn. "independent": a model of each target with hyperparameters of its
        own (`n_jobs` then are targets side by side). "icm": one model in which they are
        correlated, the intrinsic coregionalisation model. Its covariance of target i at
        x and j at z is k(x, z) B_ij, with B = W W' + diag(kappa) of the given `rank`
        learned with the rest, and noise of each target on top: see Notes.
    rank : int, default=1
        Of multi_output="icm": columns of W, functions that the targets share; 0 for
        none.
    missing : {"error", "mask"}, default="error"
        What NaN in y is. "mask": a value that was not observed and is left out of the
        evidence, for "independent" and "icm". Rows without any value are left out.
    method : {"exact", "vecchia", "inducing", "auto"}, default="exact"
        How the covariance of the rows is treated. "exact": one Cholesky factor of the
        whole matrix, O(n^2) memory and O(n^3) time. "vecchia": each row given the
        nearest rows before it in a random order, O(n) memory and time, for tables of
        numbers. "inducing": all rows seen through m inducing points, O(m^2) memory and
        O(n m^2) time, for targets that are smooth and noisy; a lower bound of the
        evidence. Where structure is local, "vecchia" or boosted trees are better.
        "auto": exact up to 5000 rows, Vecchia's approximation beyond;
        `method_` and `method_reason_` say what it was. Nothing else is ever switched.
    n_neighbors : int, default=32
        Of method="vecchia", as the next two: rows that a row is conditioned on in the
        evidence. A number above that of the rows means all of them, here and below;
        then everything is as in exact inference.
    n_neighbors_predict : int, default=128
        Rows that a new row, or one left out, is conditioned on.
    optimizer_rows : int or None, default=5000
        The hyperparameters are learned from so many terms of the evidence, drawn at
        random, with neighbours among all rows; then a few steps are taken on all of
        them. None: on all from the start. With method="inducing" they are learned with
        the points on twice as many rows.
    inducing_points : int or array of shape (m, n_features), default=512
        Of method="inducing". A number: so many are chosen among the rows and, where
        the hyperparameters are optimised, moved with them to the best bound; more than
        there are different rows means all of these. An array: they are used as given.
    device : {"auto", "cpu", "cuda", "cuda:<index>"} or torch.device, default="auto"
        Where the linear algebra runs. "auto" takes the GPU if there is one and the
        training set is large enough to gain from it.
    dtype : {"float64", "float32", "mixed"}, default="float64"
        Precision of the linear algebra; `predict` answers in the wider of this and
        the precision of X. In float32 the diagonal of the covariance is enlarged by a
        factor 1 + eps (n + 50) (n = 1000: 1.3e-4), without which float32 cannot factor
        it; `jitter_` says how much that is. It is noise to the model, like a
        WhiteKernel's: in the evidence, and in deviations, intervals, quantiles and
        densities of new observations (not with ``include_noise=False``). Data with
        less noise than that ask for float64 or "mixed": the latent function's own
        deviations are those of the noisier model (1500 rows of naval, noise 1e-9 of
        the signal: 12 times float64's; bike, 2e-8: 1.5 times; energy, 5e-5: equal), and
        come out up to 8 % too small beside it. The weights of the mean are refined in
        float64. Rows equal in X, y and noise are kept once, with their number as weight
        and in an order of their own (not with objective="loo"), and `y_train_` is
        centred where `mean` is "constant" or "linear".
        "mixed" optimises the hyperparameters on a float32 factor with weights refined
        to float64, as far as that can carry the covariance, and ends in float64: the
        same optimum, and all answers are float64's.
    n_jobs : int, default=None
        Starts that run side by side, through joblib: None means 1 unless in a
        :func:`joblib.parallel_config` context, which also chooses the backend. The
        starts, and up to round-off the results, do not depend on it. On a GPU the
        starts of up to 512 rows are evaluated as one batch instead.
    verbose : int, default=0
        1 prints a line for each iteration of the optimiser: evaluations, value of the
        objective, norm of its gradient, seconds; and, before a fit that will take
        minutes, what one evaluation costs and what to use instead. scikit-learn's
        callbacks (from 1.9, ``set_callbacks(ProgressBar())``) hear of the same
        iterations, and may stop a start.

    Attributes
    ----------
    X_train_ : array of shape (n_samples, n_features), or list of object
        Training rows; of Dask arrays perhaps some of them: see Notes.
    y_train_ : array of shape (n_samples,) or (n_samples, n_targets)
        Training targets, normalised if `normalize_y`.
    kernel_ : kernel, or list of kernel
        The kernel with optimised hyperparameters; a list of those of all targets with
        multi_output="independent".
    L_ : array of shape (n_samples, n_samples)
        Lower Cholesky factor of the training covariance. Exact inference only.
    alpha_ : array of shape (n_samples,) or (n_samples, n_targets)
        Training covariance^-1 y_train_. Exact inference only.
    order_ : array of int of shape (n_samples,)
        The order of the training rows. Only with method="vecchia", as the next one.
    neighbors_ : array of int of shape (n_samples, n_neighbors)
        Row i: the training rows that row ``order_[i]`` is conditioned on in the
        evidence, -1 where there are fewer. Training rows equal in X and noise are kept
        once, as their mean with their number as weight: this is exact.
    inducing_points_ : array of shape (m, n_features)
        Where they are. Only with method="inducing", which keeps training rows equal in
        X and noise once, too.
    method_ : {"exact", "vecchia", "inducing"}
        What `method` came to.
    method_reason_ : str
        A sentence why.
    log_marginal_likelihood_value_ : float
        At ``kernel_.theta``, whatever the objective.
    log_posterior_ : float
        `log_marginal_likelihood_value_` plus the log density of the priors at
        ``kernel_.theta``; without priors equal to it.
    objective_value_ : float
        The value that `fit` reached for the objective, without the priors.
    optimizer_results_ : list of Bunch
        One record per start: `theta_start`, `theta`, `value` (reached by what was
        maximised, priors included), `n_iterations`, `n_evaluations`,
        `n_coarse_evaluations` (a dict from a number of rows, or "float32", to
        evaluations before those), `n_failed_evaluations` (without a value: no Cholesky
        factor, or inference that did not converge), `converged`, `message`, `path`
        (list of (theta, value): the evaluations on all rows; empty for an optimiser
        that does not report), `seconds`. Empty without optimisation.
    trend_coef_ : array of shape (n_features,) or (n_targets, n_features)
        Coefficients of the trend (posterior mean) in units of y; zeros for a constant
        trend. Only with ``mean="constant"`` and ``mean="linear"``.
    trend_intercept_ : float or array of shape (n_targets,)
        Likewise.
    trend_estimator_ : regressor
        The fitted regressor. Only where `mean` is one.
    target_transform_ : transformer
        The fitted transformer. Only where there is one.
    estimators_ : list of TorchGPRegressor
        The models inside. With multi_output="independent" that of each target, fitted
        to the rows that have it; with "icm" a single one, fitted to rows (x, j) with
        a single target, y_j(x), those of target 0 first. Only with these two, which
        have no `L_`, `alpha_` and trend of their own: the models inside have. Assign to
        their attributes, not to copies here, to change what is predicted.
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

    While a matrix is factored or inverted, and throughout an optimisation, NumPy's and
    SciPy's OpenBLAS has one thread: a second pool of threads would spin on the cores
    that torch works on. That is a setting of the whole process. It is given back as it
    was found when the call ends; a limit that another Python thread sets meanwhile is
    lost. torch's own threads are left alone.

    What several targets allow, by `multi_output`:

    ==================================  ============  =============  ===================
    what                                "shared"      "independent"  "icm"
    ==================================  ============  =============  ===================
    missing="mask"                      error         yes            yes
    mean="constant", "linear"           yes           yes            error
    mean is a regressor                 yes           one each       one each
    target_transform                    one map       one each       one each
    rows that are objects               yes           yes            error
    predict with std, or covariance     yes           yes            yes
    predict with return_cov="joint"     zeros across  zeros across   no target_transform
    sample_y                            apart         apart          correlated
    quantiles, intervals, densities     of each       of each        of each
    predict_gradient, partial_fit       yes           yes            yes
    loo_predict leaves out              a row         a value        a value
    sample_paths                        yes           error          error
    theta of log_marginal_likelihood    of `kernel_`  all in a row   of `kernel_`
    `L_`, `alpha_`                      yes           error          error
    ==================================  ============  =============  ===================

    What "independent" and "icm" do not have themselves, the models in `estimators_`
    have: ``model.estimators_[0].sample_paths()`` draws functions of the first target.

    With "icm" `kernel_` is a kernel of rows (x, j),
    ``Columns(kernel, slice(None, -1)) * Columns(Coregion(...), -1)`` plus white noise
    of each target. The given kernel's WhiteKernel terms are the start, and the bounds,
    of that noise (without any it is learned from a tenth of a target's mean square),
    and its constant factors stay as they are, B saying how much each target varies. B
    starts at what the targets correlate by in the training rows. A `kernel` that has a
    `Coregion` in it is taken for all of this, noise included: sums of such products, or
    a B that is given. Memory and time are those of as many rows as y has values.

    `fit` takes Dask arrays, of chunks along the rows, with method="inducing" and
    "vecchia" (X, y, weights and noise, each in chunks of its own). With a
    ``distributed.Client`` in place the rows stay with the workers under "inducing".
    Those that hyperparameters and points are learned on are drawn (twice
    `optimizer_rows`; with None, 8000 for the choice of the points, and the units of
    kernel="auto"), and are `X_train_` after the fit; where that is all of them the fit
    goes on here. Of the others the workers say what they amount to in m^2 + m numbers a
    pass. `predict`, `sample_y` and `partial_fit` need no more; `loo_predict` is of the
    rows in `X_train_`; `sample_paths`, and the evidence at another theta, are errors.
    Under "vecchia" each worker gets all rows, as this process does, and a share of the
    terms, of which a gradient comes back. Without a Client the arrays are computed, by
    Dask's threads. Fitted estimators are plain: ``X.map_blocks(model.predict)``. Starts
    then run one after the other, whatever `n_jobs`.

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
        "kernel": [StrOptions({AUTO}), Kernel, None],
        "priors": "no_validation",
        "alpha": [
            *GaussianProcessRegressor._parameter_constraints["alpha"],
            torch.Tensor,
        ],
        "optimizer": [str, callable, None],
        "mean": "no_validation",
        "target_transform": "no_validation",
        "objective": [str, callable],
        "warm_start": ["boolean"],
        "multi_output": [str],
        "rank": "no_validation",
        "missing": [str],
        "method": [str],
        "n_neighbors": "no_validation",
        "n_neighbors_predict": "no_validation",
        "optimizer_rows": "no_validation",
        "inducing_points": "no_validation",
        "device": [str, torch.device],
        "dtype": [str],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    # Until `fit` says otherwise: dependents set the training data by hand.
    sample_weight_train_ = None
    noise_variance_train_ = None
    _fit_record = FitRecord()
    _learns_noise = True

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
        priors=None,
        warm_start=False,
        multi_output="shared",
        rank=1,
        missing="error",
        method="exact",
        n_neighbors=32,
        n_neighbors_predict=128,
        optimizer_rows=5000,
        inducing_points=512,
        device="auto",
        dtype="float64",
        n_jobs=None,
        verbose=0,
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
        self.priors = priors
        self.warm_start = warm_start
        self.multi_output = multi_output
        self.rank = rank
        self.missing = missing
        self.method = method
        self.n_neighbors = n_neighbors
        self.n_neighbors_predict = n_neighbors_predict
        self.optimizer_rows = optimizer_rows
        self.inducing_points = inducing_points
        self.device = device
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None, noise_variance=None):
        """Fit the model: optimise the hyperparameters, factor the covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
            Training rows. Dask arrays: see Notes of the class.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets; NaN where there is none, with ``missing="mask"``.
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
        metadata = {"sample_weight": sample_weight, "noise_variance": noise_variance}
        with self._all_or_nothing(X=X, y=y, **metadata):
            self._check_params()
            self._kept, given = Kept(), (X, y, sample_weight, noise_variance)
            self._rng = check_random_state(self.random_state)
            (X, y, sample_weight, noise_variance), others = brought(self, *given)
            if self.multi_output != "shared":
                return fit_outputs(self, X, y, sample_weight, noise_variance)
            X, y, kind = self._validate_training_data(X, y, **_NUMBERS)
            check_alpha(self.alpha, len(y))
            check_n_targets(self.n_targets, y)
            rows = Rows.checked(X, y, sample_weight, noise_variance)
            default = self._default_model(rows.X, rows.weight)
            kernel = starting_kernel(self, default)
            self._acquaint(kernel)
            self._set_priors(kernel, default)
            self.method_, self.method_reason_ = choose_method(self, rows.X)
            weight = weights_of_all(rows.weight, others)
            if weight is not None:
                cpu = torch.device("cpu")
                check_copies(self._covariance(kernel, rows.X, cpu), weight)
            self.kernel_, plan = kernel, self._plan
            self._set_training_rows(rows, kind, others)
            n = self.y_train_.shape[0]
            device = self._device_for(n)
            n_numbers, cure = plan.memory(self, n)
            n_bytes = n_numbers * resolve_dtype(self.dtype).itemsize
            with memory_for(f"Fitting {n} rows", n_bytes, device, cure):
                reached = optimise(
                    self,
                    partial(plan.stages, self),
                    n_jobs=self.n_jobs if self._fit_record.shards is None else None,
                    together=partial(plan.together, self),
                    watch=self._watch,
                    n_common=plan.n_common(self),
                    default=default,
                )
                plan.settle(self)
                set_values(self, reached, condition(self, kind))
            self._fit_record = self._fit_record.without_shards()
        return self

    def partial_fit(self, X, y, sample_weight=None, noise_variance=None):
        """Condition on more rows at the hyperparameters found, without a new `fit`.

        The Cholesky factor is extended, O(n^2 k) for k new rows to n old ones (where
        `kernel_` or `alpha` have changed since, it is made anew); with
        method="inducing" what the new rows say of the points is added. The result is
        that of a fit to all rows with ``optimizer=None``, the scale of y
        (`normalize_y`) and a trend regressor being those of the first fit. Before any
        fit this is `fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
        noise_variance : array-like of shape (n_samples,) or (n_samples, n_targets), \
                default=None
            Both as in `fit`; rows for which none was given have weight 1 and no known
            noise.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            For bad data, or where `alpha` is an array. After any exception the
            estimator is as it was before the call.
        numpy.linalg.LinAlgError
            As in `fit`.
        """
        if np.size(as_numpy(self.alpha)) > 1:
            raise ValueError(
                f"The 'alpha' parameter is an array of {np.size(as_numpy(self.alpha))} "
                "values, which cannot grow with the rows: partial_fit allows a single "
                "number only. Give the noise of each row as noise_variance, to fit and "
                "to partial_fit."
            )
        if not hasattr(self, "X_train_"):
            return self.fit(X, y, sample_weight, noise_variance)
        with self._all_or_nothing():
            self._check_params()
            if self._outputs is not None:
                return extend_outputs(self, X, y, sample_weight, noise_variance)
            new = self._new_rows(X, y, sample_weight, noise_variance)
            rows = new.after(rows_of(self))
            self._device_for(len(rows.y))
            extend(self, rows, ArrayKind(self.X_train_))
        return self

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

    def loo_log_predictive_density(self, theta=None, eval_gradient=False):
        """Sum of the log densities of the training targets, each left out in turn.

        The objective "loo" (GPML 5.11): in the units of y_train_, each row predicted
        from all others as in `loo_predict`; under weights, each copy of a row counts.
        In float32 equal rows are one row with a weight, unless `objective` is "loo".

        Parameters
        ----------
        theta : array-like of shape (n_kernel_params,), default=None
            Logarithms of the free hyperparameters. None: those of `kernel_`.
        eval_gradient : bool, default=False
            Whether the gradient with respect to theta is returned, too.

        Returns
        -------
        value : numpy.float64
            -inf where the covariance is not positive definite.
        gradient : ndarray of shape (n_kernel_params,), optional

        Raises
        ------
        ValueError
            If theta has the wrong length.
        """
        check_is_fitted(self, "X_train_")
        if self._outputs is not None:
            return self._outputs.summed(
                "loo_log_predictive_density", theta, eval_gradient
            )
        theta = self.kernel_.theta if theta is None else theta
        model = self._model(self._method("loo"))
        theta = checked_theta(theta, model.covariance.n_dims)
        return Objective(model, self._start_of(model))(theta, eval_gradient)

    # --- which model this is ---------------------------------------------------------

    def _model(self, method=None):
        """The training rows as they are; by default with the conditioning method."""
        device = self._device_for(self.X_train_.shape[0], fitted=True)
        covariance, likelihood = self._bound(self._bind, device)
        method = method or self._method(ladder=True)
        shards = self._fit_record.shards
        return Model(covariance, likelihood, method, shards=shards)

    # What `_bind` reads beside `kernel_`.
    _binds = (
        "X_train_", "y_train_", "sample_weight_train_", "noise_variance_train_",
        "_y_train_std", "_fit_record", "alpha", "dtype",
    )  # fmt: skip

    def _bind(self, device):
        """Covariance and likelihood of the training rows."""
        likelihood = likelihood_of(self, FittedArrays(self, device)["y_train_"])
        return self._covariance(self.kernel_, self.X_train_, device), likelihood

    @property
    def _plan(self):
        """Of what the last `fit` chose; before any, exact inference."""
        return PLANS[vars(self).get("method_", "exact")]

    def _method(self, objective="lml", **options):
        return self._plan.method(self, objective, **options)

    def __getattr__(self, name):
        words = f"{type(self).__name__!r} object has no attribute {name!r}"
        plan = vars(self).get("_outputs") or PLANS.get(vars(self).get("method_"))
        if plan is not None and name in plan.absent:
            words = f"This {type(self).__name__} has no {name!r}: {plan.absent[name]}"
        raise AttributeError(words)

    def _posterior(self):
        if self._outputs is not None:
            return self._outputs.posterior()
        return super()._posterior()

    def _targets(self):
        """The map between y and the process."""
        if self._outputs is not None:
            return self._outputs.targets()
        if self.target_transform is not None:
            check_is_fitted(self, "X_train_")  # there is no transform to go back by yet
        return targets_of(self)

    # --- fit, step by step -----------------------------------------------------------

    @property
    def _normalizes_y(self):
        return self.normalize_y or is_auto(self.kernel)

    def _check_params(self):
        super()._check_params()
        check_mean(self.mean)
        check_regression(self)
        check_multi_output(self)

    def _set_training_rows(self, rows, kind, others):
        """The map of the targets and the rows of the process, as fitted attributes.

        There may be `others`: see `brought`.
        """
        plan, kernel = self._plan, self.kernel_
        rows = plan.given_rows(self, rows, kernel)
        rows = learn_targets(self, rows, kind, targets_elsewhere(self, others))
        self._acquaint(kernel, rows.X, rows.y)
        rows = plan.process_rows(self, rows, kernel)
        self._fit_record = self._fit_record.changed(
            kernel_given=given_kernel(self),
            kept=rows.kept,
            seed=plan.seed(self._rng),
            **rows.merging,
        )
        copy = np.copy if self.copy_X_train else np.asarray
        set_rows(self, replace(rows, X=copy(rows.X), y=copy(rows.y)), kind)
        if others is not None:
            merges = counts_copies(self, kernel, rows.X)
            shards = shards_elsewhere(self, others, merges)
            self._fit_record = self._fit_record.changed(shards=shards)

    def _training_model(self):
        """The model whose value is the objective."""
        model = self._model(self._method(self.objective))
        # Leaving out a row with its copies is not leaving out one of equal rows.
        return merged(model) if self.objective == "lml" else model

    def _keep(self, posterior, kind):
        """The posterior as fitted attributes."""
        arrays = dict(posterior.arrays)
        if self.y_train_.ndim == 1 and "alpha_" in arrays:
            arrays["alpha_"] = arrays["alpha_"][:, 0]
        store(self, arrays, kind)
        if posterior.trend is not None:
            set_trend(self, posterior.trend, kind)

    def _attributes_at(self, vector):
        """What a prediction needs if that were the optimum: one factorisation.

        None of several models, of which one says nothing of the others.
        """
        if self.multi_output != "shared":
            return None
        other = object.__new__(type(self))
        vars(other).update(vars(self), _kept=Kept())
        other.kernel_ = self._kernel_at(vector)
        with catch_warnings():
            simplefilter("ignore")
            evidence = condition(other, ArrayKind(self.X_train_))
        set_values(other, None, evidence)
        after = vars(other).items()
        return {name: v for name, v in after if vars(self).get(name) is not v}

    def _new_rows(self, X, y, sample_weight, noise_variance):
        """Rows for `partial_fit`, checked, with y of the process."""
        check_same_kind(X, self.X_train_, f"{type(self).__name__}.partial_fit()")
        X, y, _ = self._validate_training_data(X, y, reset=False, **_NUMBERS)
        if y.shape[1:] != self.y_train_.shape[1:]:
            raise ValueError(
                f"y has shape {y.shape}; after a fit to y of shape "
                f"{tuple(self.y_train_.shape)} it must be of shape "
                f"{(len(y), *self.y_train_.shape[1:])}."
            )
        rows = Rows.checked(X, y, sample_weight, noise_variance)
        return self._targets().of(rows)
