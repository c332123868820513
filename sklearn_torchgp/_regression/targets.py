"""From y as given to what the Gaussian process sees, and back.

y_train_ = (T(y) - regressor(X) - offset) / scale, and each step only where asked for.
"""

import numpy as np
import torch

from .._data.arrays import as_numpy, own_or_copy, resolve_dtype
from .._inference.exact.trend import Trend
from .._likelihoods.gaussian import Basis
from .target_transform import TargetMap
from .trend import fit_regressor, trend_columns


class Targets:
    """Mixin of a regressor: the scale of y and the trend."""

    # Until `fit` says otherwise: dependents set the training data by hand.
    _trend_columns = _trend = _target_map = None

    def _fit_targets(self, rows, kind):
        """Learn trend regressor, offset and scale, and apply them to rows.y."""
        for name in ("trend_coef_", "trend_intercept_", "trend_estimator_"):
            vars(self).pop(name, None)  # of an earlier fit with another `mean`
        vars(self).pop("target_transform_", None)
        self._target_map = None
        if self.target_transform is not None:
            y = rows.y.reshape(len(rows.y), -1).astype(np.float64)
            self._target_map = TargetMap(self.target_transform, y, rows.weight)
            self.target_transform_ = self._target_map.transformer
        self._transform(rows)
        self._trend_columns = trend_columns(self.mean, rows.X)
        self._trend = None
        regressor = fit_regressor(self.mean, rows)
        if regressor is not None:
            self.trend_estimator_ = regressor
        rows.y = self._without_regressor(rows.X, rows.y)
        if self.normalize_y:
            mean, std = _mean_and_scale(rows.y, rows.weight)
        else:
            shape = (rows.y.shape[1],) if rows.y.ndim == 2 else 1
            mean, std = np.zeros(shape), np.ones(shape)
        self._y_train_mean, self._y_train_std = kind(mean), kind(std)
        rows.y = self._normalised(rows.y)

    def _apply_targets(self, rows):
        """Apply to rows.y what was learnt from earlier rows."""
        self._transform(rows)
        rows.y = self._normalised(self._without_regressor(rows.X, rows.y))

    def _transform(self, rows):
        """T(y), and known noise in its units: to first order, T'(y)^2 as much."""
        if self._target_map is None:
            return
        y = rows.y.reshape(len(rows.y), -1).astype(np.float64)
        z = self._target_map.forward(y)
        if not np.isfinite(z).all():
            raise ValueError(
                f"y has the value {y[~np.isfinite(z)][0]!r}, where the "
                f"'target_transform' {self.target_transform!r} is not finite."
            )
        if rows.noise_variance is not None:
            factor = self._target_map.slope(y) ** 2
            if not np.isfinite(factor).all():
                raise ValueError(
                    f"The 'target_transform' {self.target_transform!r} has no slope at "
                    f"y = {y[~np.isfinite(factor)][0]!r}, which 'noise_variance' is to "
                    "be scaled with. Leave noise_variance or the transform out."
                )
            known = rows.noise_variance.reshape(len(y), -1) * factor
            rows.noise_variance = known[:, 0] if known.shape[1] == 1 else known
        rows.y = z.reshape(rows.y.shape)

    def _known_at(self, known, mean):
        """Known noise of new rows (m, 1 or t) in units of T(y): tensor."""
        known = torch.as_tensor(known).to(mean).reshape(len(known), -1)
        if self._target_map is None:
            return known
        median = self._target_map.inside(as_numpy(mean))
        return known * torch.from_numpy(self._target_map.slope(median) ** 2).to(mean)

    def _moments_of_y(self, mean, second):
        """Moments of T(y) as moments of y: tensors, `second` as in `_gaussian`."""
        if self._target_map is None:
            return mean, second
        m, s = as_numpy(mean), as_numpy(second)
        variance = s if s.ndim == 2 else np.einsum("iit->it", s)
        of_y, variance = self._target_map.moments(m, variance)
        if s.ndim == 3:
            variance = self._target_map.covariance(m, s)
        return torch.from_numpy(of_y), torch.from_numpy(variance)

    def _draws_of_y(self, draws):
        """Draws of T(y) (m, t, s) as draws of y."""
        if self._target_map is None:
            return draws
        flat = as_numpy(draws.transpose(1, 2).reshape(-1, draws.shape[1]))
        back = torch.from_numpy(self._target_map.inside(flat))
        return back.reshape(draws.shape[0], draws.shape[2], -1).transpose(1, 2)

    def _normalised(self, y):
        mean, std = as_numpy(self._y_train_mean), as_numpy(self._y_train_std)
        if not np.any(mean) and np.all(std == 1):  # y keeps its dtype
            return y
        return (y - mean) / std

    def _without_regressor(self, X, y):
        if not hasattr(self, "trend_estimator_"):
            return y
        return y - np.reshape(self.trend_estimator_.predict(X), y.shape)

    def _scale_of_y(self, device):
        """Offset and scale of the targets, float64, (n_targets,), (1,) or ()."""
        if not hasattr(self, "X_train_"):
            return torch.zeros((), device=device), torch.ones((), device=device)
        return tuple(
            torch.as_tensor(own_or_copy(np.asarray(as_numpy(stat)))).to(
                device, torch.float64
            )
            for stat in (self._y_train_mean, self._y_train_std)
        )

    def _in_units_of_y(self, mean, second, X):
        """Moments (m, t) of the Gaussian process at X as moments of y.

        `second` is a variance (m, t), a covariance (m, m, t) or None.
        """
        offset, scale = self._scale_of_y(mean.device)
        mean = mean * scale + offset
        if hasattr(self, "trend_estimator_"):
            trend = np.reshape(self.trend_estimator_.predict(X), mean.shape)
            mean = mean + torch.as_tensor(trend).to(mean)
        return mean, None if second is None else second * scale.square()

    def _basis(self, X, device):
        """The trend's columns at rows X, for exact inference: Basis or None."""
        if self._trend_columns is None:
            return None
        H = torch.from_numpy(self._trend_columns(X))
        H = H.to(device=device, dtype=resolve_dtype(self.dtype))
        return Basis(H, self._trend_columns.log_scale)

    def _trend_columns_at(self, X, device):
        return None if self._trend is None else self._basis(X, device).H

    def _trend_slopes(self):
        """d column / dx: ndarray (p, n_features)."""
        slopes = self._trend_columns.slopes
        return slopes if slopes.shape[1] else np.zeros((1, self.n_features_in_))

    def _regressor_slopes(self, X):
        """Central differences of the trend regressor: ndarray (m, d, t)."""
        X = X.astype(np.float64)
        slopes = []
        for k, spread in enumerate(np.ptp(as_numpy(self.X_train_), axis=0)):
            shift = np.zeros(X.shape[1])
            shift[k] = 6e-6 * (spread or 1.0)
            up, down = (self.trend_estimator_.predict(X + s) for s in (shift, -shift))
            slopes.append((up - down).reshape(len(X), -1) / (2 * shift[k]))
        return np.stack(slopes, axis=1)

    def _set_trend(self, trend, kind):
        """Keep the trend's posterior; its mean in units of y and of the features."""
        if trend is None:
            return
        Q, R, beta = (part.double().cpu().numpy() for part in vars(trend).values())
        self._trend = (Q, R, beta)
        offset, scale = as_numpy(self._y_train_mean), as_numpy(self._y_train_std)
        coef, intercept = self._trend_columns.in_features(beta)
        coef, intercept = (coef * scale).T, intercept * scale + offset
        if not len(self._trend_columns.centre):
            coef = np.zeros((len(intercept), getattr(self, "n_features_in_", 0)))
        single = self.y_train_.ndim == 1
        self.trend_coef_ = kind(coef[0] if single else coef)
        self.trend_intercept_ = kind(intercept[0] if single else intercept)

    def _trend_posterior(self, device):
        if self._trend is None:
            return None
        dtype = resolve_dtype(self.dtype)
        return Trend(*(torch.from_numpy(a).to(device, dtype) for a in self._trend))


def _mean_and_scale(y, weights):
    """Mean and deviation of each target, weighted; 1 where a target is constant."""
    mean = np.average(y, axis=0, weights=weights)
    if weights is None:
        std = np.std(y, axis=0)
    else:
        std = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weights))
    # A constant's computed deviation may be round-off instead of zero.
    constant = std <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return mean, np.where(constant, 1.0, std)[()]
