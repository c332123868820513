"""What a prediction can say beyond mean and deviation."""

import math

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data

from .._data.arrays import ArrayKind, as_numpy
from .._data.rows import is_table
from .._inference.prediction import row_gradients


class Outputs:
    """Mixin of a regressor: intervals, quantiles, densities and gradients.

    Where there are several targets each of these has a last axis for them.
    """

    def predict_interval(self, X, coverage=0.95, noise_variance=None):
        """Central interval of a new noisy observation of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
        coverage : float, default=0.95
            Probability of the interval, between 0 and 1.
        noise_variance : float or array-like of shape (n_samples,) or \
                (n_samples, n_targets), default=None
            Known noise of the new rows, on top of the White part and a scalar `alpha`.

        Returns
        -------
        interval : array of shape (n_samples, 2) or (n_samples, 2, n_targets)
            Lower and upper end.

        Raises
        ------
        ValueError
            If `coverage` is not between 0 and 1.
        """
        if not (_is_real(coverage) and 0 < coverage < 1):
            raise ValueError(
                "The 'coverage' parameter must be a number between 0 and 1, both "
                f"excluded. Got {coverage!r} instead."
            )
        tail = (1 - float(coverage)) / 2
        return self.predict_quantiles(X, [tail, 1 - tail], noise_variance)

    def predict_quantiles(self, X, quantiles, noise_variance=None):
        """Quantiles of a new noisy observation of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
        quantiles : array-like of shape (n_quantiles,)
            Probabilities between 0 and 1.
        noise_variance : float or array-like of shape (n_samples,) or \
                (n_samples, n_targets), default=None
            As in `predict_interval`.

        Returns
        -------
        values : array of shape (n_samples, n_quantiles) or \
                (n_samples, n_quantiles, n_targets)

        Raises
        ------
        ValueError
            If `quantiles` are not numbers between 0 and 1 in one dimension.
        """
        quantiles = _check_quantiles(quantiles)
        X, kind = self._validate_rows(X, "predict_quantiles")
        mean, variance = self._gaussian(X, "var", True, noise_variance)
        probabilities = quantiles[:, None]
        if self._target_map is not None:
            probabilities = self._target_map.quantiles(quantiles)
        z = torch.special.ndtri(torch.from_numpy(probabilities).to(mean))
        values = mean[:, None] + variance.sqrt()[:, None] * z
        if self._target_map is not None:
            flat = as_numpy(values.reshape(-1, values.shape[-1]))
            back = self._target_map.inside(flat).reshape(values.shape)
            values = torch.from_numpy(back)
        return self._shown(values, X, kind)

    def log_predictive_density(self, X, y, noise_variance=None):
        """Log density of noisy observations y, each row on its own.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        noise_variance : float or array-like of shape (n_samples,) or \
                (n_samples, n_targets), default=None
            As in `predict_interval`.

        Returns
        -------
        log_density : array of shape (n_samples,) or (n_samples, n_targets)
            In nats, y in its own units.

        Raises
        ------
        ValueError
            If y does not have a value for each row and target.
        """
        X, kind = self._validate_rows(X, "log_predictive_density")
        mean, variance = self._gaussian(X, "var", True, noise_variance)
        y = np.asarray(as_numpy(y), dtype=np.float64)
        shape = tuple(mean.shape)
        if y.shape != shape and (shape[1] > 1 or y.shape != shape[:1]):
            raise ValueError(
                f"y has shape {y.shape}; for {shape[0]} rows and {shape[1]} target(s) "
                f"it must be of shape {shape if shape[1] > 1 else shape[:1]}."
            )
        y, log_slope = y.reshape(shape), 0.0
        if self._target_map is not None:
            y, log_slope = self._target_map.log_density_terms(y)
        y = torch.from_numpy(np.array(y)).to(mean)
        log_density = -0.5 * (
            (y - mean).square() / variance + (2 * math.pi * variance).log()
        )
        log_density += torch.as_tensor(log_slope).to(mean)
        return self._shown(log_density, X, kind)

    def predict_gradient(self, X, return_std=False):
        """Gradient of the predicted mean, and deviation, with respect to the row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether the gradient of the deviation that `predict` returns (White part
            in, `alpha` not) is returned, too.

        Returns
        -------
        mean_gradient : array of shape (n_samples, n_features) or \
                (n_samples, n_features, n_targets)
        std_gradient : array of the same shape, optional
            Zero where the deviation is zero, which has a kink there.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError
            If rows are not vectors of numbers.

        Notes
        -----
        Closed form for scikit-learn's kernels except PairwiseKernel; other kernels and
        a trend regressor are differenced. Where a kernel has a kink at a training row
        (Matern with nu=0.5) that row's term is left out.
        """
        check_is_fitted(self, "X_train_")
        kind = ArrayKind(X)
        X, _ = self._validate_rows(X, "predict_gradient")
        if not is_table(np.asarray(X)):
            raise ValueError(
                "predict_gradient needs rows that are vectors of numbers: there is no "
                f"gradient in X of type {type(X).__name__} like these."
            )
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        transformed = self._target_map is not None
        slope, variance = self._gradients(X, variance=return_std or transformed)
        if variance is None:
            return self._shown(slope, X, kind)
        mean, now = self._gaussian(X, "var")
        std = now.sqrt()
        std_slope = torch.where(std[:, None] > 0, variance / (2 * std[:, None]), 0.0)
        if transformed:
            z = (as_numpy(part) for part in (mean, std, slope, std_slope))
            found = self._target_map.moment_gradients(*z)
            slope, std_slope = (torch.from_numpy(part) for part in found)
        if not return_std:
            return self._shown(slope, X, kind)
        return self._shown(slope, X, kind), self._shown(std_slope, X, kind)

    def _gradients_of_one_row(self, X, return_std, of_mean, of_std):
        """The gradients that scikit-optimize asks `predict` for, without an axis."""
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
        if not of_std:
            return (self.predict_gradient(X)[0],)
        mean, std = self.predict_gradient(X, return_std=True)
        return (mean[0], std[0]) if of_mean else (std[0],)

    def _gradients(self, X, *, variance):
        """d mean / dx and d variance / dx (m, d, t) in units of y, float64."""
        device = self._device_for(self.X_train_.shape[0], fitted=True)
        covariance = self._covariance(self.kernel_, self.X_train_, device)
        posterior = self._posterior(device, with_factor=variance)
        trend_slopes = None
        if posterior.trend is not None:
            trend_slopes = torch.from_numpy(self._trend_slopes()).to(posterior.alpha)
        mean, second = row_gradients(
            covariance,
            posterior,
            X,
            variance=variance,
            columns=lambda X: self._trend_columns_at(X, device),
            trend_slopes=trend_slopes,
        )
        _, scale = self._scale_of_y(device)
        mean = mean.double() * scale
        if hasattr(self, "trend_estimator_"):
            mean = mean + torch.from_numpy(self._regressor_slopes(X)).to(mean)
        return mean, None if second is None else second.double() * scale.square()


def _is_real(value):
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _check_quantiles(quantiles):
    try:
        values = np.asarray(as_numpy(quantiles), dtype=np.float64)
        good = values.ndim == 1 and values.size and ((values > 0) & (values < 1)).all()
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "The 'quantiles' parameter must be a list of numbers between 0 and 1, both "
            f"excluded. Got {quantiles!r} instead."
        )
    return values
