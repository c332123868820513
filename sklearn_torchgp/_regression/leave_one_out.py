"""Leave-one-out: each training row told by the others."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._data.arrays import ArrayKind, as_numpy


class LeaveOneOut:
    """Mixin of a regressor: `loo_predict`."""

    def loo_predict(self, return_std=False):
        """Predict each training row from all other rows, in closed form.

        Equal to n fits without one row each, at the hyperparameters, the scale of y
        and (where `mean` is a regressor) the trend found on all rows; costs one matrix
        inverse. A row is left out with all the copies its weight stands for; rows of
        weight zero were no training rows. With ``multi_output="icm"`` each observation
        is told by all others, those of other targets in its row among them.

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
            Both are NaN where y was missing.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.

        Notes
        -----
        Equation 5.12 of Rasmussen and Williams (2006).
        """
        check_is_fitted(self, "X_train_")
        mean, variance = self._targets().leave_one_out(self._posterior())
        X, kind = as_numpy(self.X_train_), ArrayKind(self.X_train_)
        if not return_std:
            return self._shown(mean, X, kind)
        return self._shown(mean, X, kind), self._shown(np.sqrt(variance), X, kind)
