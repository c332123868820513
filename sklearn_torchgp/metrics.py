"""Scorers of predictive distributions, for `cross_validate` and the searches.

A mean alone is judged by R^2; these judge what a Gaussian process says beyond it. Each
is called as ``scorer(estimator, X, y)``, the estimator being a fitted
:class:`TorchGPRegressor`, a pipeline that ends in one, or a search that found one.
"""

import copy

import numpy as np
from scipy.stats import norm
from sklearn.utils.metadata_routing import MetadataRequest

from ._data.arrays import as_numpy

__all__ = ["crps", "interval_coverage", "neg_log_predictive_density"]


class Scorer:
    """A quantity of the predictive distributions of rows, as scikit-learn scores.

    Under metadata routing a known `noise_variance` of the scored rows arrives without
    being asked for; `sample_weight` after ``set_score_request(sample_weight=True)``.

    Parameters
    ----------
    quantity : callable
        ``quantity(regressor, X, y, noise_variance, **options)`` -> array (n_samples,)
        or (n_samples, n_targets).
    sign : {1, -1}
        -1 for a loss: a score is greater where it is better.
    **options : dict
        Of `quantity`.
    """

    def __init__(self, quantity, sign, **options):
        self._quantity, self._sign, self._options = quantity, sign, options
        self.__doc__ = quantity.__doc__
        self._requests = {"noise_variance": True, "sample_weight": None}

    def __call__(self, estimator, X, y, noise_variance=None, sample_weight=None):
        """The score: greater is better, so minus the value of a loss."""
        return self._sign * self.value(estimator, X, y, noise_variance, sample_weight)

    def value(self, estimator, X, y, noise_variance=None, sample_weight=None):
        """The mean of the quantity itself over rows and targets, whatever its sign.

        Parameters
        ----------
        estimator : TorchGPRegressor, Pipeline or search
        X : array-like of shape (n_samples, n_features), or list of object
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        noise_variance : float or array-like of shape (n_samples,) or \
                (n_samples, n_targets), default=None
            Known noise of these rows, in units of y squared, as in `predict`.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        value : float
        """
        regressor, X = _last_step(estimator, X)
        of = regressor, X, y, noise_variance
        values = np.asarray(as_numpy(self._quantity(*of, **self._options)))
        rows = values.reshape(len(values), -1).mean(axis=1)
        return float(np.average(rows, weights=as_numpy(sample_weight)))

    def with_options(self, **options):
        """The scorer with other options, such as ``coverage=0.5``."""
        other = copy.copy(self)
        other._options = {**self._options, **options}
        return other

    def set_score_request(self, **requests):
        """A copy that asks metadata routing for what is said here.

        Parameters
        ----------
        noise_variance, sample_weight : bool, str or None
            As in the methods of this name of estimators.

        Returns
        -------
        scorer : Scorer
            The scorer itself, of which there is one for everybody, is not changed.
        """
        unknown = set(requests) - set(self._requests)
        if unknown:
            raise TypeError(
                f"{sorted(unknown)} cannot be requested: {self!r} takes "
                f"{sorted(self._requests)}."
            )
        other = copy.copy(self)
        other._requests = {**self._requests, **requests}
        return other

    def get_metadata_routing(self):
        """What this scorer requests: a `MetadataRequest`."""
        request = MetadataRequest(owner=self)
        for name, alias in self._requests.items():
            request.score.add_request(param=name, alias=alias)
        return request

    def _accept_sample_weight(self):
        """scikit-learn asks scorers so where metadata routing is off."""
        return True

    def __repr__(self):
        options = [f"{name}={value!r}" for name, value in self._options.items()]
        minus = "-" if self._sign < 0 else ""
        return f"Scorer({', '.join([minus + self._quantity.__name__[1:], *options])})"


def _last_step(estimator, X):
    """The Gaussian process of a fitted pipeline or search, and X as that sees it."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    if hasattr(estimator, "steps"):
        if len(estimator.steps) > 1:
            X = estimator[:-1].transform(X)
        return _last_step(estimator[-1], X)
    if not hasattr(estimator, "log_predictive_density"):
        raise TypeError(
            f"A {type(estimator).__name__} has no predictive distribution to score. "
            "Score a TorchGPRegressor, a Pipeline that ends in one, or a search over "
            "these."
        )
    return estimator, X


def _neg_log_predictive_density(regressor, X, y, noise_variance):
    """Mean log predictive density of y: NLPD, negated, since greater is better.

    `value` is the NLPD itself, in nats, lower is better.
    """
    density = regressor.log_predictive_density(X, y, noise_variance=noise_variance)
    return -np.asarray(as_numpy(density))


def _interval_coverage(regressor, X, y, noise_variance, coverage):
    """Share of y inside the central interval of the nominal coverage, 0.95.

    To be compared with the nominal coverage, not maximised: report it beside a score
    that chooses. ``interval_coverage.with_options(coverage=0.5)`` is that of 50 %.
    """
    ends = regressor.predict_interval(X, coverage, noise_variance=noise_variance)
    low, high = np.moveaxis(np.asarray(as_numpy(ends)), 1, 0)
    y = np.asarray(as_numpy(y), dtype=float).reshape(low.shape)
    return (low <= y) & (y <= high)


def _crps(regressor, X, y, noise_variance):
    """Continuous ranked probability score, negated, since greater is better.

    `value` is the CRPS itself, in units of y, lower is better: E|Y - y| - E|Y - Y'| / 2
    with Y and Y' independent from the predictive distribution (Gneiting and Raftery
    2007). Closed form for a Gaussian; under a `target_transform` from quantiles, to
    about 1e-5 of its value.
    """
    if getattr(regressor, "target_transform", None) is not None:
        return _crps_from_quantiles(regressor, X, y, noise_variance)
    known = {"include_noise": True, "noise_variance": noise_variance}
    mean, std = regressor.predict(X, return_std=True, **known)
    mean, std = np.asarray(as_numpy(mean)), np.asarray(as_numpy(std))
    error = np.asarray(as_numpy(y), dtype=float).reshape(mean.shape) - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(std > 0, error / std, 0.0)
    spread = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)
    return np.where(std > 0, std * spread, np.abs(error))


def _crps_from_quantiles(regressor, X, y, noise_variance):
    """CRPS (n, ...) by the trapezoid rule over normal scores u, p = Phi(u).

    The quantiles are smooth in u, so that only the kink of |q - y| costs accuracy:
    where it divides its cell of width h as s : 1 - s, and the slope jumps by J, the
    rule (Euler and Maclaurin's) is J h^2 (s (1 - s) - 1/6) / 2 too high.
    """
    u = np.linspace(-7, 7, 141)
    p, weight = norm.cdf(u), norm.pdf(u) * (u[1] - u[0])
    q = regressor.predict_quantiles(X, p, noise_variance=noise_variance)
    q = np.moveaxis(np.asarray(as_numpy(q)), 1, -1)  # (n, [t,] 141)
    gap = q - np.asarray(as_numpy(y), dtype=float).reshape(q.shape[:-1])[..., None]
    far = np.abs(gap)
    left, right = far[..., :-1], far[..., 1:]
    kink = (gap[..., :-1] < 0) & (gap[..., 1:] > 0)
    width = np.where(kink, left + right, 1.0)
    excess = np.where(kink, left * right / width - width / 6, 0.0)
    to_y = far @ weight - excess @ (0.5 * (weight[:-1] + weight[1:]))
    return to_y - q @ ((2 * p - 1) * weight)


neg_log_predictive_density = Scorer(_neg_log_predictive_density, -1)
interval_coverage = Scorer(_interval_coverage, 1, coverage=0.95)
crps = Scorer(_crps, -1)
