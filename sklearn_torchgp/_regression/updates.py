"""More rows for a fitted regressor, and a start from what it knows."""

import numpy as np
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils.validation import validate_data

from .._data.arrays import ArrayKind, as_numpy, check_same_kind
from .._data.rows import Rows
from .._inference.exact.evidence import extend
from ..exceptions import NotPositiveDefiniteError


class Updates:
    """Mixin of a regressor: `partial_fit` and `warm_start`."""

    # Until `fit` says otherwise: dependents set L_ and kernel_ by hand.
    _factored_at = _theta_given = None

    def partial_fit(self, X, y, sample_weight=None, noise_variance=None):
        """Condition on more rows at the hyperparameters found, without a new `fit`.

        The Cholesky factor is extended, O(n^2 k) for k new rows to n old ones (where
        `kernel_` or `alpha` have changed since, it is made anew). The result is that of
        a fit to all rows with ``optimizer=None``, the scale of y (`normalize_y`) and a
        trend regressor being those of the first fit. Before any fit this is `fit`.

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
            new = self._new_rows(X, y, sample_weight, noise_variance)
            kind = ArrayKind(self.X_train_)
            rows = new.after(self._old_rows())
            self._rows_given = rows.given
            self._set_rows(rows, kind)
            self._extend(len(new.y), kind)
        return self

    def _new_rows(self, X, y, sample_weight, noise_variance):
        check_same_kind(X, self.X_train_, f"{type(self).__name__}.partial_fit()")
        X, y = validate_data(
            self,
            as_numpy(X),
            as_numpy(y),
            reset=False,
            multi_output=True,
            y_numeric=True,
            **self._input_rules(self.kernel),
        )
        if y.shape[1:] != self.y_train_.shape[1:]:
            raise ValueError(
                f"y has shape {y.shape}; after a fit to y of shape "
                f"{tuple(self.y_train_.shape)} it must be of shape "
                f"{(len(y), *self.y_train_.shape[1:])}."
            )
        rows = Rows.checked(X, y, sample_weight, noise_variance)
        self._apply_targets(rows)
        return rows

    def _old_rows(self):
        return Rows(
            as_numpy(self.X_train_),
            as_numpy(self.y_train_),
            as_numpy(self.sample_weight_train_),
            as_numpy(self.noise_variance_train_),
            given=self._rows_given,
        )

    def _extend(self, n_new, kind):
        """The posterior of all rows, from that of all but the last n_new."""
        device = self._device_for(self.X_train_.shape[0])
        old = self._posterior(device)
        covariance, observations = self._data(device)
        same_factors = len(observations.factors()) == old.n_factors
        try:
            if self._factored_at != self._factor_key() or not same_factors:
                raise NotPositiveDefiniteError("the old factor does not serve")
            lml = self._extend_factor(old, n_new, covariance, observations, kind)
        except NotPositiveDefiniteError:
            lml = self._factor(device, kind)
        self.log_marginal_likelihood_value_ = np.float64(lml)

    def _extend_factor(self, old, n_new, covariance, observations, kind):
        n = covariance.points.n
        first, last = slice(0, n - n_new), slice(n - n_new, n)
        points = covariance.points
        X = points.objects
        tail = self._covariance(self.kernel_, X[last], points.device)
        B = self._covariance(self.kernel_, X[first], points.device).cross(X[last])
        nugget = self._nugget(covariance, observations)[0]
        own = self._own_noise(covariance, observations)
        C = tail.gram()[0]
        lml, posterior = extend(old, B, C, observations, nugget, own)
        self._set_posterior(posterior, kind)
        return lml

    def _starting_kernel(self):
        """The kernel that `fit` starts from: a copy of its own, or of the last one."""
        kernel = self._initial_kernel()
        last = getattr(self, "kernel_", None)
        given, self._theta_given = self._theta_given, tuple(kernel.theta)
        warm = self.warm_start and last is not None and _form(last) == _form(kernel)
        # New values of the `kernel` parameter are where the user wants to start.
        if warm and given == self._theta_given:
            lower, upper = kernel.bounds.T if kernel.n_dims else (None, None)
            kernel.theta = np.clip(last.theta, lower, upper)
        return kernel


def _form(kernel):
    """What two kernels share whose theta mean the same."""
    params = kernel.get_params()
    types = {k: type(v) for k, v in params.items() if isinstance(v, Kernel)}
    free = [(h.name, h.n_elements) for h in kernel.hyperparameters if not h.fixed]
    return type(kernel), types, free
