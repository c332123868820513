"""CoverageDisplay: whether the intervals of a regressor hold what they promise."""

import numpy as np
from scipy.stats import binom, norm

from . import drawing
from .drawing import array

REFERENCE, CHANCE = "calibrated", "95 % of calibrated models"


class CoverageDisplay:
    """Observed against nominal coverage of central intervals.

    Above the diagonal intervals are too wide, below too narrow. The grey band is where
    a calibrated model would be in 95 of 100 samples of this size, at each level by
    itself. The legend adds what the coverage does not say: the mean negative log
    predictive density (NLPD, in nats, smaller is better) and the sharpness, the mean
    width of the 95 % intervals in units of y.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`; all
    parameters are stored as attributes. Given the axes of one display, another is drawn
    beside it.

    Parameters
    ----------
    nominal, observed : ndarray of shape (n_levels,)
    n_samples : int
        Number of observations behind `observed`.
    nlpd : float
    sharpness : float
    name : str, default=None

    Attributes
    ----------
    line_ : Line2D
    reference_line_ : Line2D or None
        None where the axes had one.
    band_ : PolyCollection or None
        Likewise.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, nominal, observed, n_samples, nlpd, sharpness, name=None):
        self.nominal = nominal
        self.observed = observed
        self.n_samples = n_samples
        self.nlpd = nlpd
        self.sharpness = sharpness
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        noise_variance=None,
        n_levels=19,
        name=None,
        ax=None,
        line_kwargs=None,
    ):
        """Draw the coverage of a fitted regressor's intervals on rows, best held out.

        Parameters
        ----------
        estimator : TorchGPRegressor, or Pipeline or search that ends in one
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            What is NaN is left out.
        noise_variance : float or array-like, default=None
            Known noise of these rows, as in `predict`.
        n_levels : int, default=19
            Nominal coverages between 0 and 1: 5 %, 10 %, ..., 95 %.
        name : str, default=None
            In the legend; None: the name of the class.
        ax : Axes, default=None
        line_kwargs : dict, default=None
            Keywords of matplotlib for the line.

        Returns
        -------
        display : CoverageDisplay
        """
        drawing.pyplot(f"{cls.__name__}.from_estimator")
        model, seen = drawing.last_step(estimator)
        rows, known = seen(X), {"noise_variance": noise_variance}
        nominal = np.arange(1, n_levels + 1) / (n_levels + 1)
        tails = np.r_[(1 - nominal) / 2, (1 + nominal) / 2, 0.025, 0.975]
        q = array(model.predict_quantiles(rows, tails, **known))
        true = array(y).astype(float).reshape(q[:, 0].shape)
        low, high = q[:, :n_levels], q[:, n_levels : 2 * n_levels]
        inside = (low <= true[:, None]) & (true[:, None] <= high)
        density = model.log_predictive_density(rows, y, **known)
        observed = ~np.isnan(true)
        display = cls(
            nominal=nominal,
            observed=np.moveaxis(inside, 1, 0)[:, observed].mean(axis=1),
            n_samples=observed.sum(),
            nlpd=-array(density)[observed].mean(),
            sharpness=(q[:, -1] - q[:, -2]).mean(),
            name=name or type(model).__name__,
        )
        return display.plot(ax=ax, line_kwargs=line_kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        y_std,
        *,
        n_levels=19,
        name=None,
        ax=None,
        line_kwargs=None,
    ):
        """Draw the coverage of normal distributions, whoever predicted them.

        Parameters
        ----------
        y_true, y_pred, y_std : array-like of shape (n_samples,)
            Observations, and the mean and standard deviation predicted for them.
        n_levels, name, ax, line_kwargs
            As in `from_estimator`.

        Returns
        -------
        display : CoverageDisplay
        """
        drawing.pyplot(f"{cls.__name__}.from_predictions")
        mean, std = array(y_pred).astype(float), array(y_std).astype(float)
        true = array(y_true).astype(float)
        nominal = np.arange(1, n_levels + 1) / (n_levels + 1)
        z = np.abs((true - mean) / std).ravel()
        inside = z <= norm.ppf((1 + nominal) / 2)[:, None]
        display = cls(
            nominal=nominal,
            observed=inside.mean(axis=1),
            n_samples=true.size,
            nlpd=-norm.logpdf(true, mean, std).mean(),
            sharpness=2 * norm.ppf(0.975) * std.mean(),
            name=name,
        )
        return display.plot(ax=ax, line_kwargs=line_kwargs)

    def plot(self, ax=None, *, name=None, line_kwargs=None):
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            Those of another CoverageDisplay get one line more.
        name : str, default=None
        line_kwargs : dict, default=None
            Keywords of matplotlib for the line.

        Returns
        -------
        display : CoverageDisplay
        """
        ax = drawing.one_axes(ax, f"{type(self).__name__}.plot", figsize=(5.5, 5.5))
        labels = ax.get_legend_handles_labels()[1]
        self.reference_line_ = self.band_ = None
        if REFERENCE not in labels:
            self._plot_reference(ax)
        k = sum(": NLPD" in label for label in labels)
        name = name or self.name or "model"
        numbers = f"NLPD {self.nlpd:.3f}, width {self.sharpness:.3g}"
        line = {"color": drawing.COLOURS[k % len(drawing.COLOURS)], "markersize": 5,
                "marker": drawing.MARKERS[k % len(drawing.MARKERS)],
                "label": f"{name}: {numbers}"}  # fmt: skip
        (self.line_,) = ax.plot(
            self.nominal, self.observed, **drawing.style(line, line_kwargs)
        )
        ax.set(xlabel="nominal coverage", ylabel="observed coverage")
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.legend(loc="upper left", fontsize="small", framealpha=0.85)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_reference(self, ax):
        p = np.linspace(0, 1, 101)
        low, high = (binom.ppf(q, self.n_samples, p) for q in (0.025, 0.975))
        self.band_ = ax.fill_between(
            p, low / self.n_samples, high / self.n_samples, color="0.85", linewidth=0,
            label=CHANCE,
        )  # fmt: skip
        (self.reference_line_,) = ax.plot(
            [0, 1], [0, 1], "--", color="black", linewidth=1, label=REFERENCE
        )
