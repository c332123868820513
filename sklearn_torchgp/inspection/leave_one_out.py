"""LeaveOneOutDisplay: each training row told by the others."""

import numpy as np

from . import drawing
from .drawing import array

# Standardised residuals beyond which a row is marked.
FAR = 3.0


class LeaveOneOutDisplay:
    """Leave-one-out predictions against the truth, and standardised residuals.

    Left, observations over their leave-one-out predictions with intervals of 95 %;
    right, residuals in units of the predicted deviation, of which a right model has
    95 % between the dashed lines. Rows beyond three deviations are marked: outliers, or
    places where the model is too sure.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`; all
    parameters are stored as attributes.

    Parameters
    ----------
    y_true, y_pred, y_std : ndarray of shape (n_samples,)
        Observations, and mean and standard deviation of each left-out observation.
    target_name : str, default=None

    Attributes
    ----------
    residuals_ : ndarray of shape (n_samples,)
        Standardised.
    points_ : ErrorbarContainer
    reference_line_ : Line2D
    residual_points_ : PathCollection
    far_points_ : list of PathCollection
        Rows beyond three deviations, in both axes; empty if there are none.
    limit_lines_ : list of Line2D
    axes_ : ndarray of two Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, y_true, y_pred, y_std, target_name=None):
        self.y_true = y_true
        self.y_pred = y_pred
        self.y_std = y_std
        self.target_name = target_name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, target=None, ax=None):
        """Draw the leave-one-out predictions of a fitted regressor.

        Parameters
        ----------
        estimator : TorchGPRegressor, or Pipeline or search that ends in one
        X : ignored
            The rows are the training rows; present by convention, may be None.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            The training targets, without rows of zero weight.
        target : int, default=None
            Which of several targets.
        ax : Axes, or two of them, default=None
            One is divided; None: a new figure.

        Returns
        -------
        display : LeaveOneOutDisplay
        """
        drawing.pyplot(f"{cls.__name__}.from_estimator")
        model, _ = drawing.last_step(estimator)
        mean, std = map(array, model.loo_predict(return_std=True))
        true = array(y).astype(float)
        if len(true) != len(mean):
            raise ValueError(
                f"y has {len(true)} rows, and the estimator was fitted to {len(mean)}: "
                "give the targets of `fit`, without rows of zero weight."
            )
        if mean.ndim == 2:
            if target is None:
                raise ValueError(
                    f"There are {mean.shape[1]} targets: set the 'target' parameter to "
                    "the number of the one to draw."
                )
            mean, std, true = mean[:, target], std[:, target], true[:, target]
        name = getattr(y, "name", None)
        return cls.from_predictions(true.ravel(), mean, std, target_name=name, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_pred, y_std, *, target_name=None, ax=None):
        """Draw leave-one-out predictions that are known already.

        Parameters
        ----------
        y_true, y_pred, y_std : array-like of shape (n_samples,)
            Rows without a prediction (NaN, or an infinite deviation) are left out.
        target_name : str, default=None
        ax : Axes, or two of them, default=None

        Returns
        -------
        display : LeaveOneOutDisplay
        """
        known = [array(values).astype(float) for values in (y_true, y_pred, y_std)]
        good = np.isfinite(known).all(axis=0)
        true, mean, std = (values[good] for values in known)
        display = cls(y_true=true, y_pred=mean, y_std=std, target_name=target_name)
        return display.plot(ax=ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : Axes, or two of them, default=None

        Returns
        -------
        display : LeaveOneOutDisplay
        """
        who = f"{type(self).__name__}.plot"
        self.axes_ = drawing.two_axes(ax, who, figsize=(10.5, 4.5))
        self.figure_ = self.axes_[0].figure
        self.residuals_ = (self.y_true - self.y_pred) / self.y_std
        far = np.abs(self.residuals_) > FAR
        self.far_points_ = []
        self._plot_predictions(far)
        self._plot_residuals(far)
        return self

    def _plot_predictions(self, far):
        ax, name = self.axes_[0], self.target_name or "y"
        ends = [f(np.r_[self.y_true, self.y_pred]) for f in (np.min, np.max)]
        (self.reference_line_,) = ax.plot(
            ends,
            ends,
            "--",
            color="black",
            linewidth=1,
            zorder=4,
            label="prediction = truth",
        )
        self.points_ = ax.errorbar(
            self.y_pred, self.y_true, xerr=1.96 * self.y_std, fmt="o", markersize=3.5,
            color=drawing.BLUE, ecolor="0.7", elinewidth=0.8, zorder=2,
            label="left-out row, 95 % interval",
        )  # fmt: skip
        self._mark(ax, self.y_true, far)
        ax.set(xlabel=f"leave-one-out prediction of {name}", ylabel=f"observed {name}")
        ax.legend(fontsize="small", framealpha=0.85)

    def _plot_residuals(self, far):
        ax, name = self.axes_[1], self.target_name or "y"
        self.residual_points_ = ax.scatter(
            self.y_pred, self.residuals_, s=14, color=drawing.BLUE
        )
        self._mark(ax, self.residuals_, far)
        inside = np.mean(np.abs(self.residuals_) < 1.96)
        ax.axhline(0, color="black", linewidth=0.8)
        self.limit_lines_ = [
            ax.axhline(
                z, color="black", linestyle="--", linewidth=1,
                label=f"±1.96: {inside:.0%} between" if z > 0 else None,
            )
            for z in (-1.96, 1.96)
        ]  # fmt: skip
        ax.set(xlabel=f"leave-one-out prediction of {name}")
        ax.set(ylabel="residual / predicted deviation")
        ax.legend(fontsize="small", framealpha=0.85)

    def _mark(self, ax, heights, far):
        if far.any():
            self.far_points_.append(
                ax.scatter(
                    self.y_pred[far], heights[far], marker="s", s=60, zorder=3,
                    facecolor="none", edgecolor=drawing.VERMILLION, linewidth=1.5,
                    label=f"beyond {FAR:g} deviations: {far.sum()}",
                )
            )  # fmt: skip
