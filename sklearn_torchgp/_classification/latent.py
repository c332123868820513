"""What a classifier says about its latent functions."""

from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._linalg.draws import with_single_axis


class LatentOutputs:
    """Mixin of a classifier whose `base_estimator_` has moments of latent values."""

    def latent_mean_and_variance(self, X):
        """Mean and variance of the latent function.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object

        Returns
        -------
        latent_mean, latent_var : arrays of shape (n_samples,), or \
                (n_samples, n_classes) for ``multi_class="softmax"``

        Raises
        ------
        ValueError
            For several classes by several binary problems, as in scikit-learn: there
            is no one latent function. `predict_latent` has those of all problems.
        """
        check_is_fitted(self)
        if self.n_classes_ > 2 and not self._is_softmax():
            raise ValueError(
                "Returning the mean and variance of the latent function f is only "
                "supported for binary classification and for multi_class='softmax', "
                f"received {self.n_classes_} classes with multi_class="
                f"{self.multi_class!r}. predict_latent(X, return_std=True) returns "
                "those of all binary problems."
            )
        X, kind = self._rows(X, "latent_mean_and_variance")
        mean, variance = self.base_estimator_.latent_moments(X)
        return kind(_without_axis(mean)), kind(_without_axis(variance))

    def predict_latent(self, X, return_std=False, return_cov=False):
        """The latent functions at X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
        return_std : bool, default=False
            Whether the standard deviation is returned, too.
        return_cov : bool, default=False
            Whether the covariance between rows is returned, too. Not both.

        Returns
        -------
        mean : array of shape (n_samples,) or (n_samples, n_latent)
            Two classes have one latent function; ``one_vs_rest`` and ``softmax`` one
            for each class, ``one_vs_one`` one for each pair, in the order (0, 1),
            (0, 2), ..., (1, 2), ...
        std : array of the shape of mean, optional
        cov : array of shape (n_samples, n_samples) or \
                (n_samples, n_samples, n_latent), optional

        Raises
        ------
        RuntimeError
            If both `return_std` and `return_cov` are set.
        """
        if return_std and return_cov:
            raise RuntimeError(
                "At most one of return_std or return_cov can be requested."
            )
        X, kind = self._rows(X, "predict_latent")
        spread = "cov" if return_cov else "var" if return_std else None
        mean, second = self.base_estimator_.latent_moments(X, spread)
        mean = kind(_without_axis(mean))
        if spread is None:
            return mean
        return mean, kind(_without_axis(second.sqrt() if return_std else second))

    def sample_latent(self, X, n_samples=1, random_state=0):
        """Draw latent functions from the posterior and evaluate them at X.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features), or list of object
        n_samples : int, default=1
            Number of draws.
        random_state : int, RandomState instance or None, default=0
            The default draws the same functions in every call.

        Returns
        -------
        f_samples : array of shape (n_samples_X, n_samples) or \
                (n_samples_X, n_latent, n_samples)
            For ``softmax`` the functions of the classes are drawn jointly.
        """
        rng = check_random_state(random_state)
        X, kind = self._rows(X, "sample_latent")
        draws = self.base_estimator_.sample_latent(X, n_samples, rng)
        return kind(_without_axis(with_single_axis(draws)))


def _without_axis(values):
    """Without the last axis where there is one latent function."""
    return values[..., 0] if values.shape[-1] == 1 else values
