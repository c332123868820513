"""What our estimators share: arrays in, arrays out, theta found and kept."""

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import sklearn
import torch
from sklearn import get_config
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel
from sklearn.utils.validation import check_is_fitted, validate_data

from .._covariance import Covariance, hyperparameters
from .._covariance.acquaint import acquaint
from .._covariance.weights import networks, set_weights, weights_of
from .._data.arrays import (
    NUMPY,
    ArrayKind,
    as_numpy,
    check_no_dates,
    check_same_kind,
    float_dtype,
    is_valid_column,
    is_valid_table,
    resolve_device,
    resolve_dtype,
)
from .._data.rows import as_numbers
from .._inference import Prior
from .methods import METHODS, MIXED, OBJECTIVES
from .objective import Objective, UserObjective
from .optimize import (
    OPTIMIZERS,
    best,
    growing_subsets,
    lbfgsb,
    run_starts,
    starting_points,
    warn_at_bounds,
    warn_unless_converged,
)
from .progress import CallbackSupportMixin, watched
from .state import Binding, FittedArrays, Kept, kept_by, without_kept
from .summary import summarise, visual_block
from .together import batch_of_starts

# scikit-learn optimises its regressor's default kernel from version 1.9 on.
DEFAULT_KERNEL_IS_FREE = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 9)

# In place of round-off where weights of a network are trained, too: once a step gains
# less than 1e-5 of the objective thousands of them still gain less than a nat.
EPS_OF_WEIGHTS = 1e-6


def wants_fitted_value(theta, eval_gradient):
    """Whether a likelihood is that of `fit`, which has no gradient (ValueError)."""
    if theta is None and eval_gradient:
        raise ValueError("Gradient can only be evaluated for theta!=None")
    return theta is None


# Parameter values that have passed scikit-learn's checks, a good part of a small fit;
# forgotten when there are many, as in a search over numbers.
_PASSED, MOST_PASSED = set(), 1000


def _as_checked(estimator):
    """All that the checks of parameters look at, or None: constants, and types."""
    values = [type(estimator)]
    for name in _parameter_names(type(estimator)):
        value = getattr(estimator, name)
        kind = type(value)
        if kind in (float, int, bool, str, type(None)):
            values.append((kind, value))
        elif isinstance(value, Kernel):
            values.append(kind)
        else:
            return None
    return tuple(values)


@cache
def _parameter_names(cls):
    return cls._get_param_names()


class GPEstimator(CallbackSupportMixin):
    """Mixin before a scikit-learn Gaussian-process estimator.

    Fitted attributes are the live state: each method reads them anew, so that
    assigning one (`kernel_`, `X_train_`, ...) takes effect at once. Methods that say
    things about new rows need no more of an estimator than `_validate_rows`, `_model`,
    `_posterior`, `_targets` (of a regressor) and `_shown`.
    """

    objective = "lml"
    _methods = METHODS  # values of `method`
    verbose, _watch = 0, None  # who watches a `fit`, and how: see `progress`

    def _check_params(self):
        if not get_config()["skip_parameter_validation"]:
            values = _as_checked(self)
            if values is None or values not in _PASSED:
                self._validate_params()
                if len(_PASSED) >= MOST_PASSED:
                    _PASSED.clear()
                _PASSED.add(values)
        resolve_dtype(self.dtype)

    @contextmanager
    def _all_or_nothing(self, **given):
        """Leave the estimator as it was if the body does not come to its end.

        What a `fit` was `given` is for those who watch it, if there are any.
        """
        before = dict(vars(self))
        try:
            if given and (self.verbose or "_skl_callbacks" in before):
                with watched(self, **given):
                    yield
            else:
                yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _input_rules(self, kernel):
        """What `validate_data` should ask of X for this kernel."""
        if kernel is None or kernel.requires_vector_input:
            return {"dtype": "numeric", "ensure_2d": True}
        return {"dtype": None, "ensure_2d": False}

    def _validate_training_data(self, X, y, **rules):
        """X and y as validated NumPy arrays, and the kind of array that X was."""
        plain = is_valid_table(X) and is_valid_column(y, len(X))
        if plain and "feature_names_in_" not in vars(self) and rules.get("reset", True):
            self.n_features_in_ = X.shape[1]
            return X, y, NUMPY
        kind = ArrayKind(X)
        X, y = validate_data(
            self, as_numpy(X), as_numpy(y), **self._input_rules(self.kernel), **rules
        )
        check_no_dates(X)
        return X, as_numbers(y) if rules.get("y_numeric") else y, kind

    def _validate_rows(self, X, method):
        """New rows as a validated NumPy array, and the kind of array that X was."""
        if self._is_valid(X):
            return X, NUMPY
        kind = ArrayKind(X)
        if hasattr(self, "X_train_"):
            name = f"{type(self).__name__}.{method}()"
            check_same_kind(X, self.X_train_, name)
        rules = self._input_rules(self.kernel)
        X = validate_data(self, as_numpy(X), reset=False, **rules)
        check_no_dates(X)
        return X, kind

    def _is_valid(self, X):
        """Whether validation of new rows X would end with X itself."""
        fitted = vars(self)
        seen = fitted.get("X_train_", fitted.get("_no_rows"))
        return (
            type(seen) is np.ndarray
            and "feature_names_in_" not in fitted
            and is_valid_table(X)
            and X.shape[1] == fitted.get("n_features_in_")
        )

    def _initial_kernel(self, *, fixed=False):
        """A copy of the kernel to optimise; fixed: the default without free parts."""
        if self.kernel is not None:
            return hyperparameters.copied(self.kernel)
        bounds = {"bounds": "fixed"} if fixed else {}
        amplitude = {f"constant_value_{k}": v for k, v in bounds.items()}
        scale = {f"length_scale_{k}": v for k, v in bounds.items()}
        return ConstantKernel(1.0, **amplitude) * RBF(1.0, **scale)

    def _acquaint(self, kernel, X=None, y=None):
        """Tell a kernel that asks for it of the names of the features, and the data."""
        acquaint(kernel, names=getattr(self, "feature_names_in_", None), X=X, y=y)

    def _device_for(self, n_rows, *, fitted=False):
        return resolve_device(self.device, n_rows, dtype=self.dtype, fitted=fitted)

    def _covariance(self, kernel, X, device):
        X = as_numpy(X)
        return Covariance(kernel, X, dtype=resolve_dtype(self.dtype), device=device)

    def _bound(self, bind, device):
        """``bind(device)``, or what it answered where nothing has changed since.

        It depends on `kernel_`, on the attributes named in `_binds` and the device.
        """
        kept = kept_by(self)
        binding = kept.binding
        if binding is None or not binding.holds(self, device):
            binding = Binding(self, self._binds, device)  # before: no change is missed
            binding.made = bind(device)
            kept.binding = binding
        return binding.made

    def _posterior(self):
        """What the data say of the latent function; before `fit`, the prior."""
        if not hasattr(self, "X_train_"):
            return Prior(self._prior_covariance, getattr(self, "n_targets", None) or 1)
        model = self._model()
        device = model.covariance.points.device
        return model.posterior(FittedArrays(self, device))

    def _prior_covariance(self, X):
        kernel = self._initial_kernel(fixed=True)
        return self._covariance(kernel, X, self._device_for(len(X)))

    def _shown(self, values, X, kind):
        """As the caller's kind of array; the last axis is dropped if it is of one."""
        precision = resolve_dtype(self.dtype)
        wide = torch.float64 in (float_dtype(X), precision)
        values = values[..., 0] if values.shape[-1] == 1 else values
        return kind(values.astype(np.float64 if wide else np.float32, copy=False))

    def _has_own_objective(self):
        """Whether the user, or a subclass, brings what is maximised."""
        own = type(self).log_marginal_likelihood
        overridden = own is not GPEstimator.log_marginal_likelihood
        return callable(self.objective) or (self.objective == "lml" and overridden)

    def _objective(self, model, start=None):
        """vector, eval_gradient -> what `fit` maximises [, gradient].

        Here meet a callable `objective`, a `log_marginal_likelihood` that a subclass
        overrides, and the value of the model.
        """
        if callable(self.objective):
            return UserObjective(self.objective, self)
        if self._has_own_objective():
            return lambda theta, eval_gradient: self.log_marginal_likelihood(
                theta, eval_gradient=eval_gradient, clone_kernel=False
            )
        return Objective(replace(model, trains=True), start)

    def _vector(self):
        """What is optimised: theta, and the weights of the kernel's networks."""
        weights = np.empty(0) if self._has_own_objective() else weights_of(self.kernel_)
        return np.r_[hyperparameters.theta(self.kernel_), weights]

    def _copy_of_kernel(self):
        """A copy of kernel_ with all that it is: a clone has no trained weights."""
        if networks(self.kernel_):
            return deepcopy(self.kernel_)
        return hyperparameters.copied(self.kernel_)

    def _stages(self):
        """What to maximise: in float32 or on few rows first, if so asked, then all."""
        n, stages = self.X_train_.shape[0], []
        if self._has_own_objective():
            return [(n, self._objective(None))]
        if self.dtype == "mixed":
            stages.append(("float32", self._objective(self._model(MIXED))))
        if self.optimizer == "coarse-to-fine":
            model = self._model(OBJECTIVES[self.objective])
            for rows in growing_subsets(n):
                stages.append((len(rows), self._objective(model.rows(rows))))
        return [*stages, (n, self._objective(self._training_model()))]

    def _model_of_rows(self, rows):
        """The model of some of the training rows."""
        return self._training_model().rows(rows)

    def _attributes_at(self, theta):
        """Fitted attributes as if theta were the optimum; None if nobody can say."""
        return None

    def _together(self):
        """The evaluation of all starts as one batch, where that pays; else None."""
        # An override need not bear several threads.
        minimise = type(self)._constrained_optimization
        if (
            self.n_restarts_optimizer == 0
            or minimise is not GPEstimator._constrained_optimization
            or self.optimizer != "fmin_l_bfgs_b"
            or self.dtype == "mixed"
            or self.objective != "lml"
            or self._has_own_objective()
            or networks(self.kernel_)
        ):
            return None
        return batch_of_starts(self._training_model(), self.X_train_.shape[0])

    def _optimise(
        self, make_stages, n_jobs=None, together=None, watch=None, n_common=None
    ):
        """Optimise kernel_.theta; returns the value reached, None if nothing was done.

        Stages, common ones, jobs and watch are as `run_starts` takes them;
        ``together()`` says what it takes.
        """
        self.optimizer_results_ = []
        if self.optimizer is None:
            return None
        vector = self._vector()
        p = hyperparameters.n_dims(self.kernel_)
        weights = vector[p:]
        if not len(vector):
            return None
        starts = starting_points(self.kernel_, self.n_restarts_optimizer, self._rng)
        bounds = hyperparameters.bounds(self.kernel_)
        if len(weights):
            starts = [np.r_[start, weights] for start in starts]
            free = np.tile([-np.inf, np.inf], (len(weights), 1))
            bounds = np.vstack([bounds.reshape(-1, 2), free])
        if watch is not None:
            watch.announce(self, len(starts))
        self.optimizer_results_ = run_starts(
            make_stages,
            self._constrained_optimization,
            starts,
            bounds,
            n_jobs,
            together and together(),
            watch,
            n_common,
        )
        winner = best(self.optimizer_results_)
        if len(weights):
            set_weights(self.kernel_, winner.theta[p:])
            for record in self.optimizer_results_:
                record.theta_start, record.theta = (
                    record.theta_start[:p],
                    record.theta[:p],
                )
                record.path = [(vector[:p], value) for vector, value in record.path]
        if p:
            self.kernel_.theta = winner.theta
        warn_unless_converged(self.optimizer_results_)
        warn_at_bounds(self.kernel_)
        return np.float64(winner.value)

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
        theta = self._checked_theta(theta)
        if not clone_kernel:
            self.kernel_.theta = theta
        return self._log_evidence(theta, eval_gradient)

    def _log_evidence(self, theta, eval_gradient):
        model = self._model()
        with kept_by(self).workspace(model.covariance.points) as work:
            return Objective(model, work=work)(theta, eval_gradient)

    def _checked_theta(self, theta):
        """theta as float64 of the length that kernel_ has; else ValueError."""
        check_is_fitted(self, "kernel_")
        theta = np.asarray(as_numpy(theta), dtype=np.float64)
        n_dims = hyperparameters.n_dims(self.kernel_)
        if theta.shape != (n_dims,):
            raise ValueError(
                "theta has not the correct number of entries. Should be "
                f"{n_dims}; given are {theta.size} (shape {theta.shape})."
            )
        return theta

    def _constrained_optimization(self, obj_func, initial_theta, bounds):
        """Minimise obj_func from initial_theta; returns (theta, value).

        Subclasses may override it; `obj_func(theta, eval_gradient=True)` returns the
        negative objective and its gradient.
        """
        if callable(self.optimizer):
            return self.optimizer(obj_func, initial_theta, bounds=bounds)
        if self.optimizer in OPTIMIZERS:
            exact = self.dtype == "float64"
            eps = torch.finfo(torch.float64 if exact else torch.float32).eps
            if len(initial_theta) > self.kernel_.n_dims:
                eps = EPS_OF_WEIGHTS
            return lbfgsb(obj_func, initial_theta, bounds, eps=eps)
        raise ValueError(
            f"Unknown optimizer {self.optimizer!r}. The 'optimizer' parameter must be "
            f"one of {list(OPTIMIZERS)}, a callable or None."
        )

    def summary(self):
        """What was fitted: prints as a table.

        Returns
        -------
        summary : Summary
            With `as_dict()`: hyperparameters (value, bounds, whether at one), log
            marginal likelihood, noise of a new observation (standard deviation), dtype,
            device, evaluations and seconds of the optimiser, jitter.
        """
        return summarise(self)

    def _sk_visual_block_(self):
        return visual_block(self)

    def __getstate__(self):
        """Tensors travel as CPU tensors; what is kept for speed stays behind."""
        return without_kept(super().__getstate__())

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "X_train_"):
            self._kept = Kept()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags
