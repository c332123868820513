"""Predicting: mean, deviation, covariance, and draws at new rows."""

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._linalg.draws import with_single_axis


class Predictions:
    """Mixin of a regressor: `predict` and `sample_y`."""

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
        return_cov : bool or "joint", default=False
            Whether the covariance of the rows is returned, too, of each target by
            itself. "joint": that of all targets, too. Not with `return_std`.
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
            "joint": (n_samples, n_targets, n_samples, n_targets), of any number of
            targets; zero between targets that were modelled apart.
        y_mean_grad, y_std_grad : arrays of shape (n_features,) or \
                (n_features, n_targets), optional

        Raises
        ------
        RuntimeError
            If both `return_std` and `return_cov` are set.
        ValueError
            If X, `return_cov`, `include_noise` or `noise_variance` is not as described,
            or a gradient is asked for several rows, or that of the deviation without
            the deviation.
        """
        if return_std and return_cov:
            raise RuntimeError(
                "At most one of return_std or return_cov can be requested."
            )
        spread = _spread(return_std, return_cov)
        X, kind = self._validate_rows(X, "predict")
        posterior, targets = self._posterior(), self._targets()
        known = include_noise, noise_variance
        mean, second = targets.moments(posterior, X, spread, *known)
        mean = self._shown(mean, X, kind)
        if posterior.is_prior:
            mean = mean.squeeze()  # scikit-learn's shape for one row of the prior
        answer = [mean]
        if spread is not None:
            second = np.sqrt(second) if return_std else second
            if spread == "joint":
                second = second[..., None]  # `_shown` leaves a last axis of 1 out
            answer.append(self._shown(second, X, kind))
        if return_mean_grad or return_std_grad:
            check_is_fitted(self, "X_train_")
            _check_one_row(X, return_std, return_std_grad)
            slopes = targets.slopes(posterior, X, std=return_std_grad)
            if return_mean_grad:
                answer.append(self._shown(slopes[0], X, kind)[0])
            if return_std_grad:
                answer.append(self._shown(slopes[1], X, kind)[0])
        return tuple(answer) if len(answer) > 1 else mean

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
        draws = self._targets().sample(self._posterior(), X, n_samples, rng)
        return self._shown(with_single_axis(draws), X, kind)


def _spread(return_std, return_cov):
    """What is asked for beside the mean, as `Targets.moments` calls it."""
    if isinstance(return_cov, str):
        if return_cov == "joint":
            return "joint"
        raise ValueError(
            "The 'return_cov' parameter must be True, False or 'joint'. Got "
            f"{return_cov!r} instead."
        )
    return "cov" if return_cov else "var" if return_std else None


def _check_one_row(X, return_std, of_std):
    """scikit-optimize asks for gradients of one row at a time, without an axis."""
    if of_std and not return_std:
        raise ValueError(
            "The 'return_std_grad' parameter is True while 'return_std' is False. "
            "Set both, or use predict_gradient."
        )
    if len(X) != 1:
        raise ValueError(
            "The 'return_mean_grad' and 'return_std_grad' parameters allow one row "
            f"of X. Got {len(X)} rows; use predict_gradient."
        )
