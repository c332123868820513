"""ClassificationDisplay: class probabilities of a classifier over two features."""

import numpy as np

from . import drawing
from .drawing import array

# Light to dark, so that lines and labels in black stay readable on all of it.
LIGHT, DARK = "#F3F8FC", "#E59A6D"
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


class ClassificationDisplay:
    """Map of class probabilities over two features.

    Of one class (two classes, or `class_of_interest`): its probability, with labelled
    contours; the line of one half is the decision between two classes. Of all classes:
    the colour of the most probable one, darker where it is surer, with the lines
    between the classes and labelled contours of the largest probability.

    It is recommended to use :meth:`from_estimator`; all parameters are stored as
    attributes.

    Parameters
    ----------
    grid : tuple of ndarray (m,) and ndarray (l,)
        Along the features.
    proba : ndarray of shape (l, m, n_classes)
    classes : ndarray of shape (n_classes,)
    class_index : int, default=None
        The class whose probability is drawn; None for all of more than two.
    X, y : ndarray of shape (n, 2) and (n,), default=None
        Points to draw, and their classes.
    feature_names : list of str, default=None

    Attributes
    ----------
    surface_ : QuadContourSet, or list of QuadContourSet
    contours_ : QuadContourSet
        Lines of equal probability.
    contour_labels_ : list of Text
    decision_line_ : QuadContourSet or None
        Where the most probable class changes; None where it does not.
    class_labels_ : list of Text
        Names in the regions of several classes, where there are no points.
    points_ : list of PathCollection
        One for each class that y has.
    colorbar_ : Colorbar or None
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self,
        *,
        grid,
        proba,
        classes,
        class_index=None,
        X=None,
        y=None,
        feature_names=None,
    ):
        self.grid = grid
        self.proba = proba
        self.classes = classes
        self.class_index = class_index
        self.X = X
        self.y = y
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        class_of_interest=None,
        grid_resolution=100,
        margin=0.1,
        ax=None,
        point_kwargs=None,
    ):
        """Draw the probabilities that a fitted classifier gives over the range of X.

        Parameters
        ----------
        estimator : classifier with `predict_proba`, or Pipeline or search with it
        X : array-like of shape (n_samples, 2)
            Rows whose range is shown, usually the training rows.
        y : array-like of shape (n_samples,), default=None
            Their classes, drawn as points. None draws none.
        class_of_interest : label, default=None
            The class whose probability is drawn. None: the second of two classes; all
            of more.
        grid_resolution : int, default=100
            Points along each feature.
        margin : float, default=0.1
            What is shown beyond the range of X, as a share of it.
        ax : Axes, default=None
        point_kwargs : dict, default=None
            Keywords of matplotlib for the points.

        Returns
        -------
        display : ClassificationDisplay
        """
        drawing.pyplot(f"{cls.__name__}.from_estimator")
        if not hasattr(estimator, "predict_proba"):
            raise ValueError(
                f"{cls.__name__} needs a classifier with predict_proba. Got "
                f"{type(estimator).__name__}: regressors have PosteriorDisplay."
            )
        values = drawing.table_of_numbers(X, cls.__name__, (2,))
        classes = array(estimator.classes_)
        chosen = None if len(classes) > 2 else 1
        if class_of_interest is not None:
            where = np.flatnonzero(classes == class_of_interest)
            if not len(where):
                raise ValueError(
                    f"The 'class_of_interest' parameter must be one of "
                    f"{classes.tolist()}. Got {class_of_interest!r}."
                )
            chosen = int(where[0])
        *grid, rows = drawing.plane(values, margin, grid_resolution)
        p = array(estimator.predict_proba(drawing.rows_like(X, rows)))
        display = cls(
            grid=tuple(grid),
            proba=p.reshape(grid_resolution, grid_resolution, -1),
            classes=classes,
            class_index=chosen,
            X=values,
            y=None if y is None else array(y),
            feature_names=drawing.feature_names(X, estimator),
        )
        return display.plot(ax=ax, point_kwargs=point_kwargs)

    def plot(self, ax=None, *, point_kwargs=None):
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
        point_kwargs : dict, default=None
            Keywords of matplotlib for the points.

        Returns
        -------
        display : ClassificationDisplay
        """
        who = f"{type(self).__name__}.plot"
        self.ax_ = drawing.one_axes(ax, who, figsize=(6.5, 5))
        self.figure_ = self.ax_.figure
        self.class_labels_, self.colorbar_ = [], None
        if self.class_index is None:
            self._plot_all_classes()
        else:
            self._plot_one_class()
        self._plot_points(point_kwargs)
        names = self.feature_names or ["x0", "x1"]
        self.ax_.set(xlabel=names[0], ylabel=names[1])
        if self.y is not None:
            self.ax_.legend(title="class", fontsize="small", framealpha=0.85)
        return self

    def _plot_one_class(self):
        from matplotlib.colors import LinearSegmentedColormap

        p = self.proba[..., self.class_index]
        shades = LinearSegmentedColormap.from_list("probability", [LIGHT, DARK])
        self.surface_ = self.ax_.contourf(
            *self.grid, p, levels=np.linspace(0, 1, 21), cmap=shades, vmin=0, vmax=1
        )
        label = f"probability of {self.classes[self.class_index]}"
        self.colorbar_ = self.figure_.colorbar(
            self.surface_, ax=self.ax_, label=label, ticks=[0, *LEVELS, 1]
        )
        self._plot_contours(p, [level for level in LEVELS if level != 0.5])
        self._plot_decision([p - 0.5])

    def _plot_all_classes(self):
        from matplotlib.colors import LinearSegmentedColormap

        winner, largest = self.proba.argmax(axis=2), self.proba.max(axis=2)
        self.surface_ = []
        lowest = 1 / len(self.classes)
        for c in range(len(self.classes)):
            colour = drawing.COLOURS[c % len(drawing.COLOURS)]
            shades = LinearSegmentedColormap.from_list(str(c), ["white", colour])
            here = np.ma.array(largest, mask=winner != c)
            self.surface_.append(
                self.ax_.pcolormesh(
                    *self.grid, here, cmap=shades, vmin=lowest, vmax=1.6, zorder=-1
                )
            )
        self._plot_contours(largest, [0.5, 0.7, 0.9])
        margins = []
        for c in range(len(self.classes)):
            rest = np.delete(self.proba, c, axis=2).max(axis=2)
            margins.append(self.proba[..., c] - rest)
        self._plot_decision(margins)
        if self.y is None:  # else the points say which region is whose
            for c, label in enumerate(self.classes):
                self._name_region(np.where(winner == c, largest, -1.0), label)

    def _plot_contours(self, p, levels):
        seen = [level for level in levels if p.min() < level < p.max()]
        self.contours_, self.contour_labels_ = None, []
        if seen:
            self.contours_ = self.ax_.contour(
                *self.grid, p, levels=seen, colors="0.25", linewidths=0.8,
                linestyles="dashed",
            )  # fmt: skip
            self.contour_labels_ = self.ax_.clabel(
                self.contours_, fontsize=8, fmt="%g", colors="black"
            )

    def _plot_decision(self, margins):
        """The lines where one of the margins, (l, m), is zero."""
        self.decision_line_ = None
        for margin in margins:
            if margin.min() < 0 < margin.max():
                self.decision_line_ = self.ax_.contour(
                    *self.grid, margin, levels=[0], colors="black", linewidths=2
                )

    def _name_region(self, p, label):
        """The name of a class where it is surest, away from the frame."""
        edge = max(1, p.shape[0] // 10)
        inner = p[edge:-edge, edge:-edge]
        if inner.max() <= 0:
            return
        row, column = np.unravel_index(inner.argmax(), inner.shape)
        at = self.grid[0][column + edge], self.grid[1][row + edge]
        self.class_labels_.append(
            self.ax_.text(
                *at, str(label), ha="center", va="center", fontsize=10, zorder=4,
                bbox={"boxstyle": "round", "facecolor": "white", "alpha": 0.8},
            )
        )  # fmt: skip

    def _plot_points(self, point_kwargs):
        self.points_ = []
        if self.y is None:
            return
        for c, label in enumerate(self.classes):
            rows = self.y == label
            if not rows.any():
                continue
            points = {
                "color": drawing.COLOURS[c % len(drawing.COLOURS)],
                "marker": drawing.MARKERS[c % len(drawing.MARKERS)],
                "edgecolor": "black",
                "linewidth": 0.6,
                "s": 32,
                "label": str(label),
                "zorder": 3,
            }
            points = drawing.style(points, point_kwargs)
            self.points_.append(self.ax_.scatter(*self.X[rows].T, **points))
