"""Targets each with a map and a posterior of its own: together what one of several is.

What `Targets` says of one posterior of t functions is said here of t posteriors of one
function each, side by side on the last axis.
"""

from dataclasses import dataclass

import numpy as np

from .._linalg.draws import joint_draws
from .targets import check_include_noise, independent, known_noise


class EachPosterior:
    """Posteriors of one function each, of rows that need not be the same.

    Parameters
    ----------
    parts : list of Posterior
    observed : list of ndarray of int
        Which of all training rows the rows of each part are.
    n : int
        Number of training rows.
    joint : callable (X, noise) -> (mean (m, t), covariance (m, t, m, t)), default=None
        Where the functions are correlated.
    """

    is_prior = False

    def __init__(self, parts, observed, n, joint=None):
        self.parts, self.observed, self.n, self.joint = parts, observed, n, joint
        self.n_functions = len(parts)

    def factors(self):
        raise ValueError(
            "sample_paths goes with multi_output='shared'. With 'independent' draw "
            "from each of `estimators_`; with 'icm' draw at given rows, by sample_y."
        )


@dataclass(frozen=True)
class EachTarget:
    """The maps of several targets, one `Targets` each: the same methods.

    Posteriors are of the kind `EachPosterior`.
    """

    parts: tuple

    def moments(
        self, posterior, X, spread=None, include_noise=None, noise_variance=None
    ):
        known = self._known(noise_variance, X, posterior)
        if spread == "joint" and posterior.joint is not None:
            return self._joint_moments(posterior, X, include_noise, known)
        of_one = "cov" if spread == "joint" else spread
        found = self._each(
            posterior,
            lambda part, one, j: part.moments(one, X, of_one, include_noise, known(j)),
        )
        mean, second = _side_by_side(found)
        return mean, independent(second) if spread == "joint" else second

    def gaussian(self, posterior, X, spread=None, include_noise=None):
        return _side_by_side(
            self._each(
                posterior,
                lambda part, one, _: part.gaussian(one, X, spread, include_noise),
            )
        )

    def quantiles(self, posterior, X, probabilities, noise_variance=None):
        known = self._known(noise_variance, X, posterior)
        return np.concatenate(
            self._each(
                posterior,
                lambda part, one, j: part.quantiles(one, X, probabilities, known(j)),
            ),
            axis=-1,
        )

    def log_density(self, posterior, X, y, noise_variance=None):
        known = self._known(noise_variance, X, posterior)
        return np.concatenate(
            self._each(
                posterior,
                lambda part, one, j: part.log_density(one, X, y[:, [j]], known(j)),
            ),
            axis=-1,
        )

    def slopes(self, posterior, X, *, std):
        return _side_by_side(
            self._each(posterior, lambda part, one, _: part.slopes(one, X, std=std))
        )

    def leave_one_out(self, posterior):
        """NaN where there was nothing to leave out."""
        mean, variance = np.full((2, posterior.n, len(self.parts)), np.nan)

        def fill(part, one, j):
            rows = posterior.observed[j]
            told = part.leave_one_out(one)
            mean[rows, j], variance[rows, j] = (moment[:, 0] for moment in told)

        self._each(posterior, fill)
        return mean, variance

    def sample(self, posterior, X, n_samples, rng):
        if posterior.joint is None:
            draws = joint_draws(*self.gaussian(posterior, X, "cov"), n_samples, rng)
        else:
            mean, cov = self._joint(posterior, X)
            cov = cov.reshape(mean.size, mean.size, 1)
            draws = joint_draws(mean.reshape(-1, 1), cov, n_samples, rng)
            draws = draws.reshape(*mean.shape, n_samples)
        each = [part.draws(draws[:, [j]]) for j, part in enumerate(self.parts)]
        return np.concatenate(each, axis=1)

    def _each(self, posterior, function):
        pairs = zip(self.parts, posterior.parts, strict=True)
        return [function(part, one, j) for j, (part, one) in enumerate(pairs)]

    def _known(self, noise_variance, X, posterior):
        """j -> known noise of target j at new rows, in units of y squared, or None."""
        known = known_noise(noise_variance, X, posterior)
        if known is None:
            return lambda j: None
        return lambda j: known if known.ndim == 1 else known[:, j]

    def _joint_moments(self, posterior, X, include_noise, known):
        if any(part.transform.mean_needs for part in self.parts):
            raise ValueError(
                "The 'return_cov' parameter is 'joint', which does not go with a "
                "'target_transform' under multi_output='icm'. Use return_cov=True, or "
                "the covariance of draws from sample_y."
            )
        mean, cov = self._joint(posterior, X, include_noise)
        for j in range(len(self.parts)):
            if known(j) is not None:
                np.einsum("ii->i", cov[:, j, :, j])[...] += known(j)
        return mean, cov

    def _joint(self, posterior, X, include_noise=None):
        """Mean (m, t) and covariance (m, t, m, t) of T(y), as `gaussian` has them."""
        include_noise = check_include_noise(include_noise)
        mean, cov = posterior.joint(X, include_noise is not False)
        scales = np.array([float(np.ravel(part.scale)[0]) for part in self.parts])
        cov = cov * scales[:, None, None] * scales
        columns = []
        for j, part in enumerate(self.parts):
            columns.append(part.scaled(mean[:, [j]], None, X)[0])
            if include_noise:
                np.einsum("ii->i", cov[:, j, :, j])[...] += part.noise * scales[j] ** 2
        return np.concatenate(columns, axis=1), cov


def taken(X, rows):
    """Some of the rows, of a table or a list of objects."""
    return X[rows] if isinstance(X, np.ndarray) else [X[i] for i in rows]


def _side_by_side(found):
    """Pairs (first, second or None), each joined on the last axis."""
    first, second = zip(*found, strict=True)
    second = None if second[0] is None else np.concatenate(second, axis=-1)
    return np.concatenate(first, axis=-1), second
