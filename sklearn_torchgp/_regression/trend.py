"""The trend under the Gaussian process: columns of a linear one, or a regressor."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

MEANS = ("zero", "constant", "linear")


@dataclass(frozen=True)
class TrendColumns:
    """The functions whose coefficients are integrated out: [1] or [1, x].

    The features are standardised, for round-off only: the flat prior does not mind,
    and `log_scale` takes the evidence back to the features as given.

    Attributes
    ----------
    centre, scale : ndarray (d,), or (0,) for a constant trend
    """

    centre: np.ndarray
    scale: np.ndarray

    def __call__(self, X):
        """H: ndarray (m, p)."""
        H = np.ones((len(X), 1 + len(self.centre)))
        if len(self.centre):
            H[:, 1:] = (np.asarray(X, dtype=np.float64) - self.centre) / self.scale
        return H

    def slopes(self, n_features):
        """dH / dx: ndarray (p, n_features)."""
        of_features = np.diag(1 / self.scale).reshape(-1, n_features)
        return np.vstack([np.zeros(n_features), of_features])

    @property
    def log_scale(self):
        return -np.log(self.scale).sum()

    def in_features(self, beta):
        """Coefficients (d, t) and intercept (t,) of the features as given."""
        coef = beta[1:] / self.scale[:, None]
        return coef, beta[0] - self.centre @ coef


def trend_columns(mean, X):
    """The TrendColumns that the parameter `mean` names, None for "zero" and regressors.

    Raises ValueError where the rows X do not determine the coefficients.
    """
    if mean == "constant":
        return TrendColumns(np.zeros(0), np.zeros(0))
    if mean != "linear":
        return None
    if np.ndim(X) != 2:
        raise ValueError(
            "The 'mean' parameter is 'linear', which needs numeric features of shape "
            "(n_samples, n_features). Use 'zero' or 'constant' for rows that are "
            "objects."
        )
    X = np.asarray(X, dtype=np.float64)
    scale = X.std(axis=0)
    columns = TrendColumns(X.mean(axis=0), np.where(scale > 0, scale, 1.0))
    n_columns = 1 + X.shape[1]
    rank = np.linalg.matrix_rank(columns(X))
    if rank < n_columns:
        raise ValueError(
            f"The 'mean' parameter is 'linear', but n_samples={len(X)} rows determine "
            f"only {rank} of its {n_columns} coefficients (intercept and one for each "
            "feature). Drop constant and collinear features, add rows, or use "
            "'constant', or a regressor that regularises such as Ridge()."
        )
    return columns


def check_mean(mean):
    """Raise ValueError unless `mean` is a name or a regressor."""
    if isinstance(mean, str) and mean in MEANS:
        return
    if isinstance(mean, type) or not (
        hasattr(mean, "fit") and hasattr(mean, "predict")
    ):
        raise ValueError(
            f"The 'mean' parameter must be one of {list(MEANS)} or a scikit-learn "
            f"regressor. Got {mean!r} instead."
        )


def fit_regressor(mean, rows):
    """A fitted clone of the regressor `mean`, None where `mean` is a name."""
    if isinstance(mean, str):
        return None
    options = {}
    if rows.weight is not None:
        if not has_fit_parameter(mean, "sample_weight"):
            raise ValueError(
                f"The 'mean' parameter is {mean!r}, whose fit takes no sample_weight, "
                "but sample_weight was given. Use a regressor that takes weights, or "
                "repeat the rows."
            )
        options["sample_weight"] = rows.weight
    return clone(mean).fit(rows.X, rows.y, **options)
