"""Leave-one-out: each training row told by the others."""

import torch
from sklearn.utils.validation import check_is_fitted

from .._data.arrays import ArrayKind, as_numpy
from .._inference.exact.leave_one_out import copy_noise, leave_one_out, put_back


class LeaveOneOut:
    """Mixin of a regressor with `Criteria`: leave-one-out predictions and density."""

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
        theta = self.kernel_.theta if theta is None else theta
        return self._evaluate("loo", theta, eval_gradient)

    def loo_predict(self, return_std=False):
        """Predict each training row from all other rows, in closed form.

        Equal to n fits without one row each, at the hyperparameters, the scale of y
        and (where `mean` is a regressor) the trend found on all rows; costs one matrix
        inverse. A row is left out with all the copies its weight stands for; rows of
        weight zero were no training rows.

        Parameters
        ----------
        return_std : bool, default=False
            Whether the standard deviation of the left-out *noisy* observation is
            returned, too: White part, `alpha` and known noise are in it.

        Returns
        -------
        y_mean : array of shape (n_samples,) or (n_samples, n_targets)
        y_std : array of the shape of y_mean, optional
            Infinite, and y_mean NaN, for a row without which a trend is undetermined.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.

        Notes
        -----
        Equation 5.12 of Rasmussen and Williams (2006).
        """
        check_is_fitted(self, "X_train_")
        device = self._device_for(self.X_train_.shape[0], fitted=True)
        covariance, observations = self._data(device)
        own = self._own_noise(covariance, observations)
        mean, variance = leave_one_out(observations, self._posterior(device), own)
        X, kind = as_numpy(self.X_train_), ArrayKind(self.X_train_)
        if self._rows_given is not None:  # of merged rows, one copy each
            group, weight = map(torch.from_numpy, self._rows_given)
            noise, X = copy_noise(observations, own)[group], X[group.numpy()]
            rest = observations.weight[group] - weight.to(observations.weight)
            y = observations.y[group]
            mean, variance = put_back(mean[group], variance[group], y, noise, rest)
        moments = self._in_units_of_y(mean, variance.expand_as(mean), X)
        mean, variance = self._moments_of_y(*moments)
        if not return_std:
            return self._shown(mean, X, kind)
        return self._shown(mean, X, kind), self._shown(variance.sqrt_(), X, kind)
