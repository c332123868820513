"""LengthScaleDisplay: which features a kernel with a scale for each one listens to."""

import numpy as np

from . import drawing
from .drawing import array


class LengthScaleDisplay:
    """Relevance of each feature: its spread over its length scale.

    A feature whose length scale is many times its spread hardly changes the function;
    one of a small length scale bends it often. Without X the bars are inverse length
    scales, to be compared only where the features have one unit.

    It is recommended to use :meth:`from_estimator`; all parameters are stored as
    attributes.

    Parameters
    ----------
    relevance : dict
        Name of a kernel -> ndarray (n_features,).
    feature_names : list of str
    relative : bool, default=True
        Whether relevance is in units of the features' spread.

    Attributes
    ----------
    order_ : ndarray of shape (n_features,)
        Features from the most relevant (by their largest bar) to the least.
    bars_ : list of BarContainer
        One for each kernel.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, relevance, feature_names, relative=True):
        self.relevance = relevance
        self.feature_names = feature_names
        self.relative = relative

    @classmethod
    def from_estimator(
        cls, estimator, X=None, y=None, *, feature_names=None, max_features=30, ax=None
    ):
        """Draw the relevance of the features of a fitted estimator.

        Parameters
        ----------
        estimator : TorchGPRegressor or TorchGPClassifier, or Pipeline or search
            Fitted, with a length scale for each feature in its kernel.
        X : array-like of shape (n_samples, n_features), default=None
            Rows whose standard deviations are the features' spread, usually the
            training rows (of a pipeline as it takes them). None: inverse length scales.
        y : ignored
            Present by convention.
        feature_names : list of str, default=None
            As the kernel sees the features. None: column names of X, or those seen in
            `fit`.
        max_features : int, default=30
            The most relevant ones are drawn.
        ax : Axes, default=None

        Returns
        -------
        display : LengthScaleDisplay
        """
        drawing.pyplot(f"{cls.__name__}.from_estimator")
        model, seen = drawing.last_step(estimator)
        n_features, spread = model.n_features_in_, 1.0
        if X is not None:
            rows = seen(X)
            spread = array(rows).astype(float).std(axis=0)
        kernel = drawing.one_kernel(model, cls.__name__)
        if n_features == 1:
            raise ValueError(
                f"{cls.__name__} compares features, but X had a single one. "
                "PosteriorDisplay shows the function of it."
            )
        scales = dict(_length_scales(kernel, model))
        if not scales:
            raise ValueError(
                f"{cls.__name__} needs a kernel with a length scale for each of the "
                f"{n_features} features, such as RBF(np.ones({n_features})). Got "
                f"{kernel}."
            )
        if feature_names is None:
            wide = X is not None and array(X).shape[1] == n_features
            feature_names = drawing.feature_names(
                X if wide else np.empty((1, n_features)), estimator
            )
        display = cls(
            relevance={name: spread / scale for name, scale in scales.items()},
            feature_names=list(feature_names),
            relative=X is not None,
        )
        return display.plot(ax=ax, max_features=max_features)

    def plot(self, ax=None, *, max_features=30):
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
        max_features : int, default=30

        Returns
        -------
        display : LengthScaleDisplay
        """
        table = np.array(list(self.relevance.values()))  # (n_kernels, n_features)
        self.order_ = np.argsort(-table.max(axis=0), kind="stable")
        shown = self.order_[:max_features]
        height = 1.2 + 0.28 * len(shown) * max(1, 0.6 * len(table))
        who = f"{type(self).__name__}.plot"
        ax = drawing.one_axes(ax, who, figsize=(6.5, min(12, height)))
        place, thick = np.arange(len(shown)), 0.8 / len(table)
        self.bars_ = []
        for k, (name, row) in enumerate(zip(self.relevance, table, strict=True)):
            self.bars_.append(
                ax.barh(
                    place + (k - (len(table) - 1) / 2) * thick, row[shown], thick,
                    color=drawing.COLOURS[k % len(drawing.COLOURS)],
                    hatch=drawing.HATCHES[k % len(drawing.HATCHES)],
                    edgecolor="white", label=name,
                )
            )  # fmt: skip
        ax.set_yticks(place, [self.feature_names[j] for j in shown])
        ax.invert_yaxis()
        unit = "standard deviation / length scale" if self.relative else (
            "1 / length scale"
        )  # fmt: skip
        ax.set(xlabel=f"relevance: {unit}", ylabel="feature")
        if len(table) > 1:
            ax.legend(title="kernel", fontsize="small", framealpha=0.85)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _length_scales(kernel, model, problem=""):
    """Names and length scales (n_features,) of the parts of a kernel that have them."""
    if hasattr(kernel, "kernels"):  # of several binary problems
        names = drawing.problem_names(model)
        for name, part in zip(names, kernel.kernels, strict=True):
            yield from _length_scales(part, model, f"{name}: ")
        return
    for parameter, value in kernel.get_params().items():
        part, _, last = parameter.rpartition("__")
        if last == "length_scale" and np.size(value) == model.n_features_in_ > 1:
            name = part or type(kernel).__name__
            yield f"{problem}{name}", np.asarray(value, dtype=float)
