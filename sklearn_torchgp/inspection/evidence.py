"""LogMarginalLikelihoodDisplay: the evidence over two hyperparameters."""

import numpy as np

from . import drawing

# Contours, in nats below the largest value seen: likelihood ratios of e^-0.5, e^-2, ...
DROPS = (0.5, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class LogMarginalLikelihoodDisplay:
    """Log marginal likelihood over two hyperparameters, the others as fitted.

    Contours say how many nats a point lies below the best one seen. The path of the
    optimiser leads through the evaluations that improved on all before.

    It is recommended to use :meth:`from_estimator`; all parameters are stored as
    attributes.

    Parameters
    ----------
    grid : tuple of ndarray (m,) and ndarray (l,)
        Values of the two hyperparameters (not their logarithms).
    values : ndarray of shape (l, m)
        Log marginal likelihood; -inf where there is none.
    names : tuple of str
        Of the hyperparameters.
    optimum : tuple of float
        The fitted values.
    paths : list of ndarray of shape (n_steps, 2), default=None
        Steps of the optimiser from each start.

    Attributes
    ----------
    surface_ : QuadContourSet
    contours_ : QuadContourSet
    contour_labels_ : list of Text
    path_lines_ : list of Line2D
    start_points_ : list of Line2D
    optimum_point_ : Line2D
    colorbar_ : Colorbar
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, *, grid, values, names, optimum, paths=None):
        self.grid = grid
        self.values = values
        self.names = names
        self.optimum = optimum
        self.paths = paths

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        y=None,
        *,
        hyperparameters=(0, 1),
        span=None,
        grid_resolution=25,
        ax=None,
    ):
        """Evaluate and draw the log marginal likelihood of a fitted estimator.

        Parameters
        ----------
        estimator : TorchGPRegressor or TorchGPClassifier, or Pipeline or search
            Fitted. It costs ``grid_resolution ** 2`` evaluations.
        X, y : ignored
            The evidence is that of the training data; present by convention.
        hyperparameters : tuple of two int or str, default=(0, 1)
            Positions in ``kernel_.theta``, or names (``"k2__length_scale"``, with a
            feature's number behind where there are several:
            ``"k2__length_scale[1]"``).
        span : pair of (low, high), default=None
            What is shown of each hyperparameter. None: a factor of ten around the
            optimum, more where the optimiser went further, within the bounds.
        grid_resolution : int, default=25
            Points along each hyperparameter, equidistant in the logarithm.
        ax : Axes, default=None

        Returns
        -------
        display : LogMarginalLikelihoodDisplay
        """
        drawing.pyplot(f"{cls.__name__}.from_estimator")
        model, _ = drawing.last_step(estimator)
        kernel = drawing.one_kernel(model, cls.__name__)
        names, theta = _names(kernel, model), kernel.theta
        pair = _positions(hyperparameters, names)
        records = [r for r in model.optimizer_results_ if len(r.theta) == len(theta)]
        paths = [_steps(record)[:, pair] for record in records]
        best = theta[pair]
        if span is None:
            near = np.vstack([best - 1.15, best + 1.15, *paths[:1]])
            bounds = np.clip(kernel.bounds[pair].T, -700, 700)
            ends = np.clip([near.min(0) - 0.3, near.max(0) + 0.3], *bounds).T
        else:
            ends = np.log(span)
        ticks = [np.linspace(*end, grid_resolution) for end in ends]
        values = np.empty((grid_resolution, grid_resolution))
        at = theta.copy()
        for (row, column), _ in np.ndenumerate(values):
            at[pair] = ticks[0][column], ticks[1][row]
            values[row, column] = model.log_marginal_likelihood(at)
        display = cls(
            grid=tuple(map(np.exp, ticks)),
            values=values,
            names=tuple(names[k] for k in pair),
            optimum=tuple(np.exp(best)),
            paths=[np.exp(path) for path in paths],
        )
        return display.plot(ax=ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None

        Returns
        -------
        display : LogMarginalLikelihoodDisplay
        """
        from matplotlib import ticker
        from matplotlib.colors import BoundaryNorm

        ax = drawing.one_axes(ax, f"{type(self).__name__}.plot", figsize=(6.5, 5))
        top = self.values[np.isfinite(self.values)].max()
        drop = np.where(np.isfinite(self.values), top - self.values, np.inf)
        deepest = drop[np.isfinite(drop)].max()
        lines = [d for d in DROPS if d < deepest]
        levels = [0, *lines, max([*lines, 0.5]) * 2]
        self.surface_ = ax.contourf(
            *self.grid, np.minimum(drop, 1e300), levels=levels, cmap="cividis_r",
            norm=BoundaryNorm(levels, 256), extend="max",
        )  # fmt: skip
        self.contours_ = ax.contour(
            *self.grid, np.minimum(drop, 1e300), levels=levels[1:], colors="0.3",
            linewidths=0.7,
        )  # fmt: skip
        box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.75,
               "linewidth": 0}  # fmt: skip
        self.contour_labels_ = ax.clabel(self.contours_, fmt="%g", fontsize=8,
                                         colors="black")  # fmt: skip
        for text in self.contour_labels_:
            text.set_bbox(box)
        label = f"nats below the largest value, {top:.5g}"
        self.colorbar_ = ax.figure.colorbar(
            self.surface_, ax=ax, label=label, format="%g"
        )
        self._plot_paths(ax)
        ax.set(xscale="log", yscale="log", xlabel=self.names[0], ylabel=self.names[1])
        ax.set(xlim=self.grid[0][[0, -1]], ylim=self.grid[1][[0, -1]])
        for axis, ends in zip((ax.xaxis, ax.yaxis), self.grid, strict=True):
            subs = (1, 2, 5) if ends[-1] < 200 * ends[0] else (1,)
            axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=9))
            axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
            axis.set_minor_formatter(ticker.NullFormatter())
        ax.set_title("log marginal likelihood")
        ax.legend(fontsize="small", framealpha=0.85)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_paths(self, ax):
        self.path_lines_, self.start_points_ = [], []
        for path in self.paths or []:
            first = not self.path_lines_
            ax.plot(*path.T, "-", color="white", linewidth=3, zorder=2)
            self.path_lines_ += ax.plot(
                *path.T, "o-", color=drawing.VERMILLION, markersize=3.5, linewidth=1.3,
                label="optimiser's path" if first else None, zorder=3,
            )  # fmt: skip
            self.start_points_ += ax.plot(
                *path[0], "s", color="white", markeredgecolor="black", markersize=7,
                label="start" if first else None, zorder=4, linestyle="none",
            )  # fmt: skip
        (self.optimum_point_,) = ax.plot(
            *self.optimum, "*", color="white", markeredgecolor="black", markersize=14,
            label="fitted", zorder=5, linestyle="none",
        )  # fmt: skip


def _steps(record):
    """theta (n_steps, p) of a start: each evaluation better than all before."""
    path = record.get("path")
    if path is None or not len(path):
        return np.array([record.theta_start, record.theta])
    best, steps = -np.inf, [record.theta_start]
    for theta, value in path:
        if value > best:
            best, steps = value, [*steps, theta]
    return np.array([*steps, record.theta])


def _names(kernel, model):
    """A name for each entry of kernel.theta."""
    if hasattr(kernel, "kernels"):  # of several binary problems
        problems = drawing.problem_names(model)
        return [
            f"{problem}: {name}"
            for problem, part in zip(problems, kernel.kernels, strict=True)
            for name in _names(part, model)
        ]
    names = []
    for hyper in kernel.hyperparameters:
        if hyper.fixed:
            continue
        several = hyper.n_elements > 1
        names += [
            f"{hyper.name}[{k}]" if several else hyper.name
            for k in range(hyper.n_elements)
        ]
    return names


def _positions(hyperparameters, names):
    """Two different positions in theta, from positions or names."""
    found = [names.index(h) if h in names else h for h in hyperparameters]
    good = len(found) == 2 and all(k in range(len(names)) for k in found)
    if not good or found[0] == found[1]:
        raise ValueError(
            "The 'hyperparameters' parameter must be two different positions or names "
            f"of the {len(names)} free hyperparameters, {names}. Got "
            f"{hyperparameters!r}."
        )
    return found
