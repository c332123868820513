"""Targets: from y as given to what the Gaussian process sees, and back.

    process = (T(y) - regressor(X) - offset) / scale,

each step only where asked for. All arrays are float64 ndarrays; t targets are columns.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._data.arrays import as_numpy
from .._data.rows import check_noise_variance
from .._linalg.draws import joint_draws
from .._linalg.memory import memory_for
from .._linalg.precision import double
from ..exceptions import callers_level
from .target_transform import IDENTITY, Identity, TargetMap
from .trend import fit_regressor


@dataclass(frozen=True)
class Targets:
    """The map between y and the process, and the Gaussian of y at new rows.

    `include_noise` is what a variance is that of: True, of a new noisy observation,
    with the kernel's White part and `noise`; False, of the latent function, with
    neither; None, scikit-learn's meaning, with the White part alone. `noise_variance`,
    known noise of the new rows in units of y squared, is added whatever it says.

    Attributes
    ----------
    offset, scale : ndarray (t,) or (), float
    regressor : fitted regressor, or None
    transform : TargetMap or Identity
        T.
    noise : float
        Variance of an observation beyond the White part, in units of the process.
    """

    offset: Any = 0.0
    scale: Any = 1.0
    regressor: Any = None
    transform: Any = IDENTITY
    noise: float = 0.0

    @classmethod
    def fit(cls, rows, *, mean, target_transform, normalize_y, in_float32=False):
        """The Targets learnt from rows, and the rows with y of the process.

        What float32 is to hold is centred before where a trend takes a constant up
        anyway: of y = 1e7 + sin x nothing but 1e7 would be left.
        """
        transform = IDENTITY
        if target_transform is not None:
            y = rows.y.reshape(len(rows.y), -1).astype(np.float64)
            transform = TargetMap(target_transform, y, rows.weight)
        rows = _transformed(rows, transform)
        regressor = fit_regressor(mean, rows)
        if normalize_y:
            offset, scale = _mean_and_scale(_less(regressor, rows), rows.weight)
        else:
            shape = (rows.y.shape[1],) if rows.y.ndim == 2 else 1
            offset, scale = np.zeros(shape), np.ones(shape)
            if in_float32 and regressor is None and mean != "zero":
                offset = offset + rows.y.mean(axis=0, dtype=np.float64)
        targets = cls(offset, scale, regressor, transform)
        return targets, targets._of_transformed(rows)

    def of(self, rows):
        """Further rows, with y of the process."""
        return self._of_transformed(_transformed(rows, self.transform))

    def _of_transformed(self, rows):
        y = _less(self.regressor, rows)  # which keeps its dtype where nothing is done
        if np.count_nonzero(self.offset) or np.count_nonzero(self.scale - 1):
            y = (y - self.offset) / self.scale
        return rows if y is rows.y else replace(rows, y=y)

    # --- back to y: new rows -------------------------------------------------------

    def moments(
        self, posterior, X, spread=None, include_noise=None, noise_variance=None
    ):
        """Mean (m, t) of y, and variance (m, t), covariance (m, m, t) or None.

        `spread` is None, "var", "cov" or "joint": the covariance (m, t, m, t) of all
        targets, which know nothing of each other here.
        """
        if spread == "joint":
            of = posterior, X, "cov", include_noise, noise_variance
            mean, each = self.moments(*of)
            return mean, independent(each)
        known = known_noise(noise_variance, X, posterior)
        needed = spread or self.transform.mean_needs
        z = self.gaussian(posterior, X, needed, include_noise)
        mean, second = self.transform.of_y(*z)
        if spread is None or known is None:
            return mean, second
        second = second.copy()
        diagonal = second if spread == "var" else np.einsum("iit->it", second)
        diagonal += known.reshape(len(known), -1)
        return mean, second

    def of_y(self, mean, variance, X):
        """Moments (m, t) of y, from those of the process at X."""
        return self.transform.of_y(*self.scaled(mean, variance, X))

    def quantiles(self, posterior, X, probabilities, noise_variance=None):
        """Quantiles (m, q, t) of a new noisy observation of y, in each row."""
        mean, variance, known = self._observed(posterior, X, noise_variance)
        std = np.sqrt(variance)
        quantiles = [
            self.transform.quantile(mean, std, p, known) for p in probabilities
        ]
        return np.stack(quantiles, axis=1)

    def log_density(self, posterior, X, y, noise_variance=None):
        """Log density (m, t) of noisy observations y (m, t)."""
        mean, variance, known = self._observed(posterior, X, noise_variance)
        return self.transform.log_density(mean, np.sqrt(variance), y, known)

    def slopes(self, posterior, X, *, std):
        """d mean / dx (m, d, t) of y, and d deviation / dx or None, as in `predict`."""
        needed = std or self.transform.mean_needs is not None
        slope, variance_slope = map(_ndarray, posterior.slopes(X, variance=needed))
        slope = slope * self.scale
        if self.regressor is not None:
            slope = slope + _regressor_slopes(self.regressor, X, posterior.rows)
        if not needed:
            return slope, None
        mean, variance = self.gaussian(posterior, X, "var")
        deviation = np.sqrt(variance)
        twice = np.where(deviation > 0, 2 * deviation, np.inf)[:, None]
        std_slope = variance_slope * np.square(self.scale) / twice
        return self.transform.moment_gradients(mean, deviation, slope, std_slope)

    def leave_one_out(self, posterior):
        """Mean and variance (n, t) of each training target, given all other rows."""
        mean, variance = map(as_numpy, posterior.leave_one_out())
        variance = np.broadcast_to(variance, mean.shape)
        return self.of_y(mean, variance, posterior.rows)

    def sample(self, posterior, X, n_samples, rng):
        """Draws (m, t, s) of y without known noise, as `predict` has its covariance."""
        moments = self.gaussian(posterior, X, "cov")
        return self.draws(joint_draws(*moments, n_samples, rng))

    def draws(self, draws):
        """Draws (m, t, s) of T(y) as draws of y."""
        flat = draws.swapaxes(1, 2).reshape(-1, draws.shape[1])
        back = self.transform.inside(flat)
        return back.reshape(len(draws), -1, draws.shape[1]).swapaxes(1, 2)

    def _observed(self, posterior, X, noise_variance):
        """Mean and variance (m, t) of T of an observation, and known noise of y."""
        known = known_noise(noise_variance, X, posterior)
        mean, variance = self.gaussian(posterior, X, "var", True)
        known = np.zeros(1) if known is None else known.reshape(len(known), -1)
        return mean, variance, np.broadcast_to(known, mean.shape)

    def gaussian(self, posterior, X, spread=None, include_noise=None):
        """Moments of T(y) as `moments` gives those of y, without known noise."""
        include_noise = check_include_noise(include_noise)
        noise = include_noise is not False
        moments = posterior.few_moments(X, spread, noise=noise)
        if moments is None:
            moments = map(_ndarray, _moments(posterior, X, spread, noise))
        mean, second = self.scaled(*moments, X)
        if second is None:
            return mean, None
        if second.shape[-1] != mean.shape[1]:
            second = np.repeat(second, mean.shape[1], axis=-1)
        diagonal = second if spread == "var" else np.einsum("iit->it", second)
        if include_noise:
            diagonal += self.noise * np.square(self.scale)
        return mean, second

    def trend(self, coef, intercept):
        """Coefficients (t, d) and intercepts (t,) of a trend of the process, of y."""
        return (coef * self.scale).T, intercept * self.scale + self.offset

    def scaled(self, mean, second, X):
        """Moments of the process at X as moments of T(y)."""
        variances = second is not None and second.ndim == 2
        if variances and np.minimum.reduce(second, axis=None) < 0:
            warnings.warn(
                "Predicted variances smaller than 0. Setting those variances to 0.",
                stacklevel=callers_level(),
            )
            second = np.maximum(second, 0.0)
        mean = mean * self.scale + self.offset
        if self.regressor is not None:
            mean = mean + np.reshape(self.regressor.predict(X), mean.shape)
        return mean, None if second is None else second * np.square(self.scale)


def independent(each):
    """The covariance (m, t, m, t) of targets that have (m, m, t) each."""
    m, _, t = each.shape
    joint = np.zeros((m, t, m, t))
    for j in range(t):
        joint[:, j, :, j] = each[..., j]
    return joint


def _moments(posterior, X, spread, noise):
    if spread != "cov":
        return posterior.moments(X, spread, noise=noise)
    m = len(X)
    cure = "Predict fewer rows at a time, or ask for the std, which needs no matrix."
    with memory_for(f"A covariance of {m} rows", 8 * m * m, "its device", cure):
        return posterior.moments(X, "cov", noise=noise)


def known_noise(noise_variance, X, posterior):
    """Known noise of new rows as `check_noise_variance` answers it, or None."""
    if noise_variance is None:
        return None
    return check_noise_variance(noise_variance, len(X), posterior.n_functions)


def _ndarray(tensor):
    return None if tensor is None else double(tensor).cpu().numpy()


def _transformed(rows, transform):
    """Rows with T(y), and known noise in its units: to first order, T'(y)^2 as much."""
    if isinstance(transform, Identity):  # not "is": a pickled one is a copy
        return rows
    y = rows.y.reshape(len(rows.y), -1).astype(np.float64)
    z = transform.forward(y)
    if not np.isfinite(z).all():
        raise ValueError(
            f"y has the value {y[~np.isfinite(z)][0]!r}, where the "
            f"'target_transform' {transform.transformer!r} is not finite."
        )
    known = rows.noise_variance
    if known is not None:
        factor = transform.slope(y) ** 2
        if not np.isfinite(factor).all():
            raise ValueError(
                f"The 'target_transform' {transform.transformer!r} has no slope at "
                f"y = {y[~np.isfinite(factor)][0]!r}, which 'noise_variance' is to "
                "be scaled with. Leave noise_variance or the transform out."
            )
        known = known.reshape(len(y), -1) * factor
        known = known[:, 0] if known.shape[1] == 1 else known
    return replace(rows, y=z.reshape(rows.y.shape), noise_variance=known)


def _less(regressor, rows):
    """rows.y without what the trend regressor says."""
    if regressor is None:
        return rows.y
    return rows.y - np.reshape(regressor.predict(rows.X), rows.y.shape)


def _mean_and_scale(y, weights):
    """Mean and deviation of each target, weighted; 1 where a target is constant."""
    mean = np.average(y, axis=0, weights=weights)
    if weights is None:
        std = np.std(y, axis=0)
    else:
        std = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weights))
    return mean, scale_of(mean, std)


def scale_of(mean, std):
    """The deviation of each target; 1 where it is constant."""
    # A constant's computed deviation may be round-off instead of zero.
    constant = std <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return np.where(constant, 1.0, std)[()]


def _regressor_slopes(regressor, X, training_rows):
    """Central differences of the trend regressor: ndarray (m, d, t)."""
    X = X.astype(np.float64)
    slopes = []
    for k, spread in enumerate(np.ptp(training_rows, axis=0)):
        shift = np.zeros(X.shape[1])
        shift[k] = 6e-6 * (spread or 1.0)
        up, down = (regressor.predict(X + s) for s in (shift, -shift))
        slopes.append((up - down).reshape(len(X), -1) / (2 * shift[k]))
    return np.stack(slopes, axis=1)


def check_include_noise(value):
    if value is None or isinstance(value, (bool, np.bool_)):
        return value if value is None else bool(value)
    raise ValueError(
        "The 'include_noise' parameter must be None (scikit-learn's meaning), True "
        f"(a noisy observation) or False (the latent function). Got {value!r} instead."
    )
