"""What our estimators share: arrays in, arrays out, theta found and kept."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from .._covariance import Covariance, hyperparameters
from .._covariance.acquaint import acquaint
from .._covariance.weights import networks, set_weights, weights_of
from .._data.arrays import as_numpy, resolve_device, resolve_dtype
from .._inference import Prior
from .default import default_model, feature_units, is_auto
from .initial import initial_kernel
from .lbfgsb import lbfgsb
from .log_prior import LogPrior
from .methods import METHODS
from .objective import Objective, UserObjective
from .optimize import OPTIMIZERS
from .progress import CallbackSupportMixin
from .state import Binding, FittedArrays, Kept, kept_by, without_kept
from .summary import summarise, visual_block
from .validation import Validation

# In place of round-off where weights of a network are trained, too: once a step gains
# less than 1e-5 of the objective thousands of them still gain less than a nat.
EPS_OF_WEIGHTS = 1e-6


def wants_fitted_value(theta, eval_gradient):
    """Whether a likelihood is that of `fit`, which has no gradient (ValueError)."""
    if theta is None and eval_gradient:
        raise ValueError("Gradient can only be evaluated for theta!=None")
    return theta is None


def checked_theta(theta, n_dims):
    """theta as float64 of this length; else ValueError."""
    theta = np.asarray(as_numpy(theta), dtype=np.float64)
    if theta.shape != (n_dims,):
        raise ValueError(
            "theta has not the correct number of entries. Should be "
            f"{n_dims}; given are {theta.size} (shape {theta.shape})."
        )
    return theta


class GPEstimator(Validation, CallbackSupportMixin):
    """Mixin before a scikit-learn Gaussian-process estimator.

    Fitted attributes are the live state: each method reads them anew, so that
    assigning one (`kernel_`, `X_train_`, ...) takes effect at once. Methods that say
    things about new rows need no more of an estimator than `_validate_rows`, `_model`,
    `_posterior`, `_targets` (of a regressor) and `_shown`.
    """

    objective = "lml"
    priors = _log_prior = None
    _learns_noise = False  # whether kernel="auto" has some
    _outputs = None  # models inside, of a regressor that has one for each target, say
    _methods = METHODS  # values of `method`
    verbose, _watch = 0, None  # who watches a `fit`, and how: see `progress`

    def _initial_kernel(self, *, fixed=False):
        """A copy of the kernel to optimise; fixed: the default without free parts."""
        return initial_kernel(self.kernel, fixed=fixed)

    def _default_model(self, X, weight):
        """What kernel="auto" stands for on these rows; None for any other kernel."""
        if not is_auto(self.kernel):
            return None
        return default_model(feature_units(X, weight), noise=self._learns_noise)

    def _set_priors(self, kernel, default):
        """The log prior of a kernel: those of its Default, if any, and the user's."""
        priors = {**(default.priors if default else {}), **(self.priors or {})}
        vars(self).pop("_log_prior", None)  # of an earlier fit
        if priors:
            self._log_prior = LogPrior(priors, kernel)

    @property
    def log_posterior_(self):
        """The evidence plus the log prior of the hyperparameters of `kernel_`."""
        if self._outputs is not None:
            return sum(one.log_posterior_ for one in self._outputs.estimators)
        evidence = self.log_marginal_likelihood_value_
        if self._log_prior is None:
            return evidence
        return evidence + self._log_prior(hyperparameters.theta(self.kernel_))

    def _acquaint(self, kernel, X=None, y=None):
        """Tell a kernel that asks for it of the names of the features, and the data."""
        acquaint(kernel, names=vars(self).get("feature_names_in_"), X=X, y=y)

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
        if is_auto(self.kernel):  # of features and y with unit deviation
            units = np.ones(np.shape(X)[1])
            kernel = default_model(units, noise=self._learns_noise).kernel
        else:
            kernel = self._initial_kernel(fixed=True)
        return self._covariance(kernel, X, self._device_for(len(X)))

    def _has_own_objective(self):
        """Whether the user, or a subclass, brings what is maximised."""
        own = type(self).log_marginal_likelihood
        overridden = own is not GPEstimator.log_marginal_likelihood
        return callable(self.objective) or (self.objective == "lml" and overridden)

    def _what_is_maximised(self):
        """What lines of `verbose` call it."""
        if self.objective != "lml":
            return "objective"
        has_prior = self.priors or is_auto(self.kernel)
        return "log posterior" if has_prior else "LML"

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

    def _optimises_itself(self):
        """Whether the optimiser is one of ours, neither a subclass's nor the user's."""
        own = type(self)._constrained_optimization
        return (
            own is GPEstimator._constrained_optimization
            and self.optimizer in OPTIMIZERS
        )

    def _vector(self):
        """What is optimised: theta, and the weights of the kernel's networks."""
        theta = hyperparameters.theta(self.kernel_)
        if self._has_own_objective() or not networks(self.kernel_):
            return theta
        return np.r_[theta, weights_of(self.kernel_)]

    def _kernel_at(self, vector):
        """A copy of `kernel_` at such a vector."""
        kernel, p = deepcopy(self.kernel_), hyperparameters.n_dims(self.kernel_)
        kernel.theta = vector[:p]
        n_weights = len(weights_of(kernel))
        if n_weights and len(vector) >= p + n_weights:  # none in an objective of theta
            set_weights(kernel, vector[p : p + n_weights])
        return kernel

    def _key_of_kernel(self):
        """What equals that of an equal kernel_; a clone has no trained weights."""
        kernel = self.kernel_
        key = hyperparameters.key(kernel)
        if key is not None:
            return key
        return deepcopy(kernel) if networks(kernel) else hyperparameters.copied(kernel)

    def _model_of_rows(self, rows):
        """The model of some of the training rows, equal ones not yet merged."""
        return self._model(self._method(self.objective)).rows(rows)

    def _attributes_at(self, vector):
        """Fitted attributes as if that were the optimum; None if nobody can say.

        For callbacks that ask for them within `fit`; see `_vector`.
        """
        return None

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
        if self._outputs is not None:
            name = "log_marginal_likelihood"
            return self._outputs.summed(name, theta, eval_gradient, clone_kernel)
        if not hasattr(self, "kernel_"):
            check_is_fitted(self, "kernel_")  # raises, in scikit-learn's words
        model = self._model()
        theta = checked_theta(theta, model.covariance.n_dims)
        found = self._log_evidence(model, theta, eval_gradient)
        if not clone_kernel:
            self.kernel_.theta = theta
        return found

    def _log_evidence(self, model, theta, eval_gradient):
        start = self._start_of(model)
        with kept_by(self).workspace(model.covariance.points) as work:
            return Objective(model, start, work=work)(theta, eval_gradient)

    def _start_of(self, model):
        """Where the method goes from at any theta, if that changes its value."""
        start = getattr(model.method, "start", None)
        if start is None:
            return None
        arrays = FittedArrays(self, model.covariance.points.device)
        return start(model.covariance, arrays)

    def _constrained_optimization(self, obj_func, initial_theta, bounds):
        """Minimise obj_func from initial_theta; returns (theta, value).

        Subclasses may override it; `obj_func(theta, eval_gradient=True)` returns the
        negative objective and its gradient.
        """
        if callable(self.optimizer):
            return self.optimizer(obj_func, initial_theta, bounds=bounds)
        if self.optimizer in OPTIMIZERS:
            low = self.dtype == "float32"
            eps = torch.finfo(torch.float32 if low else torch.float64).eps
            eps = getattr(obj_func, "eps", None) or eps
            # Low precision has no small decreases, whatever the slope.
            precision = {"eps": eps, "must_be_flat": eps > 1e-10}
            if len(initial_theta) > hyperparameters.n_dims(self.kernel_):
                precision = {"eps": EPS_OF_WEIGHTS}
            return lbfgsb(obj_func, initial_theta, bounds, **precision)
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
            marginal likelihood, log posterior (where there are priors), noise of a new
            observation (standard deviation), dtype, device, evaluations and seconds of
            the optimiser, jitter.
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
