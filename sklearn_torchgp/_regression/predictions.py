"""Predicting: the Gaussian at new rows, and the methods that show it."""

import warnings

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._data.arrays import as_numpy, float_dtype, resolve_dtype
from .._data.rows import check_noise_variance
from .._inference.exact.posterior import Posterior
from .._inference.prediction import joint_moments, prior_moments, row_moments
from .._linalg.draws import joint_draws
from .._linalg.memory import memory_for


class Predictor:
    """Mixin with `predict` and `sample_y` of a regressor that holds its posterior.

    Everything that is said about new rows starts from `_gaussian`.
    """

    # Under metadata routing a Pipeline or a search hands these on unasked.
    __metadata_request__predict = {
        "return_std": True,
        "return_cov": True,
        "include_noise": True,
    }

    def predict(
        self,
        X,
        return_std=False,
        return_cov=False,
        include_noise=None,
        noise_variance=None,
        return_mean_grad=False,
        return_std_grad=False,
    ):
        """Predict from the posterior, or from the prior if not fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
            Rows to predict at.
        return_std : bool, default=False
            Whether the standard deviation is returned, too.
        return_cov : bool, default=False
            Whether the joint covariance is returned, too. Not both.
        include_noise : bool, default=None
            What the deviation or covariance is that of. True: of a new noisy
            observation, with the kernel's White part and a scalar `alpha`. False: of
            the latent function, with neither. None is scikit-learn's meaning: with
            the White part, without `alpha`.
        noise_variance : float or array-like of shape (n_samples,) or \
                (n_samples, n_targets), default=None
            Known noise of the new rows, in units of y squared, added to the variance
            whatever `include_noise` says. None: no known noise.
        return_mean_grad, return_std_grad : bool, default=False
            Whether the gradients of the mean and of the deviation follow, each of
            shape (n_features,): what scikit-optimize asks for, one row at a time. For
            any number of rows see `predict_gradient`.

        Returns
        -------
        y_mean : array of shape (n_samples,) or (n_samples, n_targets)
        y_std : array of the shape of y_mean, optional
        y_cov : array of shape (n_samples, n_samples) or \
                (n_samples, n_samples, n_targets), optional
        y_mean_grad, y_std_grad : arrays of shape (n_features,) or \
                (n_features, n_targets), optional

        Raises
        ------
        RuntimeError
            If both `return_std` and `return_cov` are set.
        ValueError
            If X, `include_noise` or `noise_variance` is not as described, or a gradient
            is asked for several rows, or that of the deviation without the deviation.
        """
        if return_std and return_cov:
            raise RuntimeError(
                "At most one of return_std or return_cov can be requested."
            )
        if return_mean_grad or return_std_grad:
            moments = self.predict(
                X, return_std, return_cov, include_noise, noise_variance
            )
            moments = moments if isinstance(moments, tuple) else (moments,)
            return *moments, *self._gradients_of_one_row(
                X, return_std, return_mean_grad, return_std_grad
            )
        spread = "cov" if return_cov else "var" if return_std else None
        X, kind = self._validate_rows(X, "predict")
        # The mean of a transformed target depends on its variance, too.
        transformed = self._target_map is not None
        needed = "var" if transformed and spread is None else spread
        mean, second = self._gaussian(X, needed, include_noise, noise_variance)
        mean, second = self._moments_of_y(mean, second)
        mean = self._shown(mean, X, kind)
        if not hasattr(self, "X_train_"):
            mean = mean.squeeze()  # scikit-learn's shape for one row of the prior
        if spread is None:
            return mean
        return mean, self._shown(second.sqrt_() if return_std else second, X, kind)

    def _gaussian(self, X, spread=None, include_noise=None, noise_variance=None):
        """Mean (m, t), and variance (m, t) or covariance (m, m, t) or None.

        In units of y (or of what `target_transform` makes of it), in float64; X is
        validated, `spread` is None, "var" or "cov".
        """
        if self.target_transform is not None:
            check_is_fitted(self, "X_train_")  # there is no transform to go back by yet
        include_noise = _check_include_noise(include_noise)
        fitted = hasattr(self, "X_train_")
        moments = self._posterior_moments if fitted else self._prior_moments
        m = len(X)
        itemsize = torch.finfo(resolve_dtype(self.dtype)).bits // 8
        cure = (
            "Predict fewer rows at a time, or ask for the std, which needs no matrix."
        )
        with memory_for(
            f"A covariance of {m} rows", m * m * itemsize, self.device, cure
        ):
            mean, second = moments(X, spread, noise=include_noise is not False)
        known = check_noise_variance(noise_variance, len(X), mean.shape[1])
        if second is None:
            return mean, None
        second = second.expand(*second.shape[:-1], mean.shape[1]).clone()
        diagonal = second if spread == "var" else torch.diagonal(second).mT
        alpha = np.asarray(as_numpy(self.alpha), dtype=np.float64)
        if include_noise and alpha.size == 1:
            diagonal += alpha.item() * self._scale_of_y(mean.device)[1].square()
        if known is not None:
            diagonal += self._known_at(known, mean)
        return mean, second

    def _prior_moments(self, X, spread, *, noise):
        kernel = self._initial_kernel(fixed=True)
        covariance = self._covariance(kernel, X, self._device_for(len(X)))
        n_targets = self.n_targets or 1
        mean, second = prior_moments(covariance, n_targets, spread, noise=noise)
        return mean.double(), None if second is None else second.double()

    def _posterior_moments(self, X, spread, *, noise):
        """Moments in units of y, without what is no part of the kernel."""
        device = self._device_for(self.X_train_.shape[0], fitted=True)
        covariance = self._covariance(self.kernel_, self.X_train_, device)
        posterior = self._posterior(device, with_factor=spread is not None)

        def columns(X):
            return self._trend_columns_at(X, device)

        of, options = (covariance, posterior, X), {"noise": noise, "columns": columns}
        if spread == "cov":
            return self._in_units_of_y(*joint_moments(*of, **options), X)
        mean, second = row_moments(*of, spread, **options)
        if spread and (second < 0).any():
            warnings.warn(
                "Predicted variances smaller than 0. Setting those variances to 0.",
                stacklevel=4,
            )
            second.clamp_(min=0)
        return self._in_units_of_y(mean, second, X)

    def _posterior(self, device, *, with_factor=True):
        alpha = self._tensor("alpha_", device)
        alpha = alpha[:, None] if alpha.ndim == 1 else alpha
        L = self._tensor("L_", device) if with_factor else None
        return Posterior(alpha, L, self._trend_posterior(device))

    def _shown(self, values, X, kind):
        """As the caller's kind of array; the axis of a single target is dropped."""
        dtype = torch.promote_types(float_dtype(X), resolve_dtype(self.dtype))
        single = values.shape[-1] == 1
        return kind((values[..., 0] if single else values).to(dtype))

    def _shown_draws(self, draws, X, kind):
        """Draws (m, t, s) as the caller's kind of array; one target has no axis."""
        dtype = torch.promote_types(float_dtype(X), resolve_dtype(self.dtype))
        return kind((draws[:, 0] if draws.shape[1] == 1 else draws).to(dtype))

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
        X, kind = self._validate_rows(X, "sample_y")
        mean, cov = self._gaussian(X, "cov")
        draws = joint_draws(as_numpy(mean), as_numpy(cov), n_samples, rng)
        return self._shown_draws(self._draws_of_y(torch.from_numpy(draws)), X, kind)


def _check_include_noise(value):
    if value is None or isinstance(value, (bool, np.bool_)):
        return value if value is None else bool(value)
    raise ValueError(
        "The 'include_noise' parameter must be None (scikit-learn's meaning), True "
        f"(a noisy observation) or False (the latent function). Got {value!r} instead."
    )
