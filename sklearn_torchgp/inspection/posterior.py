"""PosteriorDisplay: mean and spread of a regressor over one or two features."""

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_random_state

from . import drawing
from .drawing import array


class PosteriorDisplay:
    """What a fitted regressor says over the range of its rows.

    One feature: the mean, central bands, sampled functions and the training points.
    Two features: maps of the mean and of the standard deviation, side by side.

    It is recommended to use :meth:`from_estimator`; all parameters are stored as
    attributes.

    Parameters
    ----------
    grid : tuple of ndarray
        One ndarray (m,), or two ndarrays (m,) and (l,) along the features.
    mean : ndarray of shape (m,) or (l, m)
    std : ndarray of shape (l, m), default=None
        Two features only.
    bands : dict, default=None
        One feature only: nominal coverage -> ndarray (m, 2), lower and upper end.
    samples : ndarray of shape (m, n_samples), default=None
        One feature only.
    X, y : ndarray of shape (n, d) and (n,), default=None
        Points to draw.
    error : ndarray of shape (n,), default=None
        Standard deviation of the known noise of the points.
    of : str, default="function"
        What bands and deviations are those of: "function" or "observation".
    feature_names : list of str, default=None
    target_name : str, default=None

    Attributes
    ----------
    ax_ : matplotlib Axes
        One feature.
    axes_ : ndarray of Axes
        Two features: those of mean and deviation.
    figure_ : matplotlib Figure
    mean_line_ : Line2D or None
    bands_ : list of PolyCollection
        The widest first.
    sample_lines_ : list of Line2D
    points_ : ErrorbarContainer, PathCollection or None
        Two features: that on the mean.
    mean_surface_, std_surface_ : QuadMesh or None
    colorbars_ : list of Colorbar
    """

    def __init__(
        self,
        *,
        grid,
        mean,
        std=None,
        bands=None,
        samples=None,
        X=None,
        y=None,
        error=None,
        of="function",
        feature_names=None,
        target_name=None,
    ):
        self.grid = grid
        self.mean = mean
        self.std = std
        self.bands = bands
        self.samples = samples
        self.X = X
        self.y = y
        self.error = error
        self.of = of
        self.feature_names = feature_names
        self.target_name = target_name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        noise_variance=None,
        target=None,
        include_noise=None,
        coverages=(0.5, 0.95),
        n_samples=3,
        random_state=0,
        grid_resolution=None,
        margin=0.1,
        ax=None,
        line_kwargs=None,
        point_kwargs=None,
    ):
        """Draw the posterior of a fitted regressor over the range of X.

        Parameters
        ----------
        estimator : TorchGPRegressor, or Pipeline or search that ends in one
        X : array-like of shape (n_samples, 1) or (n_samples, 2)
            Rows whose range is shown, usually the training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Their targets, drawn as points where they are known (not NaN). None draws
            none.
        noise_variance : array-like of shape (n_samples,), default=None
            Known noise of the points: error bars of one standard deviation.
        target : int, default=None
            Which of several targets.
        include_noise : bool, default=None
            Whether the bands are those of new noisy observations (True) or of the
            function (False). None: of the function, unless there is a
            `target_transform`, under which only observations have quantiles.
        coverages : tuple of float, default=(0.5, 0.95)
            Probabilities of the bands (one feature).
        n_samples : int, default=3
            Sampled functions (one feature), by `sample_paths`; with
            multi_output="independent" and "icm", which have none, from the mean and
            covariance of the function.
        random_state : int, RandomState instance or None, default=0
            Of the samples.
        grid_resolution : int, default=None
            Points along each feature; None: 300 for one, 60 for two.
        margin : float, default=0.1
            What is shown beyond the range of X, as a share of it.
        ax : Axes, or two of them, default=None
            Where to draw. One is divided where two are needed; None: a new figure.
        line_kwargs, point_kwargs : dict, default=None
            Keywords of matplotlib for the mean and the points.

        Returns
        -------
        display : PosteriorDisplay
        """
        drawing.pyplot(f"{cls.__name__}.from_estimator")
        model, seen = drawing.last_step(estimator)
        values = drawing.table_of_numbers(X, cls.__name__, (1, 2))
        if include_noise is None:
            include_noise = getattr(model, "target_transform", None) is not None
        one = values.shape[1] == 1
        resolution = grid_resolution or (300 if one else 60)
        if one:
            low, high = drawing.ranges(values, margin)
            rows = np.linspace(low, high, resolution)
            grid = (rows[:, 0],)
        else:
            *grid, rows = drawing.plane(values, margin, resolution)
        rows, one_target = seen(drawing.rows_like(X, rows)), _Target(target)
        moments = model.predict(rows, return_std=True, include_noise=include_noise)
        mean, std = (one_target(array(moment)) for moment in moments)
        of = "observation" if include_noise else "function"
        what = {"grid": tuple(grid), "of": of}
        if one:
            bands = _quantile_bands if include_noise else _normal_bands
            what["bands"] = bands(model, rows, mean, std, coverages, one_target)
            if n_samples:
                draw = n_samples, random_state, one_target
                what["samples"] = _functions(model, rows, *draw)
        else:
            mean, what["std"] = (z.reshape(resolution, resolution) for z in (mean, std))
        error = None
        if noise_variance is not None:
            error = one_target(np.sqrt(array(noise_variance)))
        if y is not None:
            what["y"] = one_target(array(y).astype(float))
            observed = ~np.isnan(what["y"])  # with missing="mask"
            what["y"], values = what["y"][observed], values[observed]
            error = error if np.ndim(error) == 0 else error[observed]
        display = cls(
            mean=mean,
            X=values,
            error=error,
            feature_names=drawing.feature_names(X, estimator),
            target_name=_name_of(y, target),
            **what,
        )
        return display.plot(ax=ax, line_kwargs=line_kwargs, point_kwargs=point_kwargs)

    def plot(self, ax=None, *, line_kwargs=None, point_kwargs=None):
        """Draw.

        Parameters
        ----------
        ax : Axes, or two of them, default=None
        line_kwargs, point_kwargs : dict, default=None
            Keywords of matplotlib for the mean and the points.

        Returns
        -------
        display : PosteriorDisplay
        """
        self.mean_line_ = self.mean_surface_ = self.std_surface_ = self.points_ = None
        self.bands_, self.sample_lines_, self.colorbars_ = [], [], []
        if len(self.grid) == 1:
            self._plot_line(ax, line_kwargs, point_kwargs)
        else:
            self._plot_maps(ax, point_kwargs)
        return self

    def _plot_line(self, ax, line_kwargs, point_kwargs):
        ax = drawing.one_axes(ax, f"{type(self).__name__}.plot", figsize=(7, 4.5))
        (x,) = self.grid
        ordered = sorted((self.bands or {}).items(), reverse=True)
        plural = {"function": "the function", "observation": "observations"}[self.of]
        for k, (coverage, band) in enumerate(ordered):
            self.bands_.append(
                ax.fill_between(
                    x, *band.T, color=drawing.BLUE, linewidth=0,
                    alpha=0.18 + 0.2 * k / max(1, len(ordered) - 1),
                    label=f"{100 * coverage:g} % of {plural}",
                )
            )  # fmt: skip
        if self.samples is not None:
            self.sample_lines_ = ax.plot(
                x, self.samples, color="0.35", linewidth=0.8, linestyle=(0, (4, 2))
            )
            self.sample_lines_[0].set_label("sampled functions")
        line = {"color": "#003B5C", "linewidth": 2.0, "label": "mean"}
        (self.mean_line_,) = ax.plot(x, self.mean, **drawing.style(line, line_kwargs))
        if self.y is not None:
            label = "data" if self.error is None else "data, ± 1 standard deviation"
            points = {"color": "black", "fmt": "o", "markersize": 4, "label": label,
                      "elinewidth": 1, "capsize": 2, "zorder": 3}  # fmt: skip
            self.points_ = ax.errorbar(
                self.X[:, 0], self.y, yerr=self.error,
                **drawing.style(points, point_kwargs),
            )  # fmt: skip
        names = self.feature_names or ["x"]
        ax.set(xlabel=names[0], ylabel=self.target_name or "y", xlim=(x[0], x[-1]))
        ax.legend(fontsize="small", framealpha=0.85)
        self.ax_, self.figure_ = ax, ax.figure

    def _plot_maps(self, ax, point_kwargs):
        who = f"{type(self).__name__}.plot"
        self.axes_ = drawing.two_axes(ax, who, figsize=(10.5, 4.2))
        self.figure_ = self.axes_[0].figure
        names, target = self.feature_names or ["x0", "x1"], self.target_name or "y"
        known = self.mean if self.y is None else np.r_[self.mean.ravel(), self.y]
        limits = {"vmin": known.min(), "vmax": known.max()}
        drawn = []
        for ax, values, title, scale in zip(
            self.axes_,
            (self.mean, self.std),
            (f"mean of {target}", f"standard deviation of the {self.of}"),
            (limits, {"vmin": 0.0}),
            strict=True,
        ):
            drawn.append(
                ax.pcolormesh(
                    *self.grid, values, cmap="cividis", shading="gouraud", **scale
                )
            )
            self.colorbars_.append(self.figure_.colorbar(drawn[-1], ax=ax, label=title))
            ax.set(xlabel=names[0], ylabel=names[1])
        self.mean_surface_, self.std_surface_ = drawn
        if self.y is None:
            return
        points = {"edgecolor": "white", "linewidth": 1.2, "s": 45, "zorder": 3}
        points = drawing.style(points, point_kwargs)
        colours = {"c": self.y, "cmap": "cividis", **limits}
        self.points_ = self.axes_[0].scatter(*self.X.T, **{**colours, **points})
        self.axes_[1].scatter(*self.X.T, **{"c": "black", **points})


class _Target:
    """Picks one target of (m,) or (m, t); `target` is needed where there are more."""

    def __init__(self, target):
        self.target = target

    def __call__(self, values):
        several = values.ndim > 1 and values.shape[-1] > 1
        if several and self.target is None:
            raise ValueError(
                f"There are {values.shape[-1]} targets: set the 'target' parameter of "
                "PosteriorDisplay.from_estimator to the number of the one to draw."
            )
        return values[..., self.target or 0] if values.ndim > 1 else values


def _functions(model, rows, n_samples, random_state, one_target):
    """Draws (m, n_samples) of the function of one target.

    By `sample_paths`, or of several models, which have none, from their moments.
    """
    if getattr(model, "multi_output", "shared") == "shared":
        draws = array(model.sample_paths(n_samples, random_state)(rows))
        return draws if draws.ndim == 2 else draws[:, one_target.target]
    if model.target_transform is not None:
        raise ValueError(
            f"The 'n_samples' parameter is {n_samples}, but under a target_transform "
            "with multi_output='independent' or 'icm' nothing draws functions. Use "
            "n_samples=0."
        )
    mean, cov = model.predict(rows, return_cov=True, include_noise=False)
    mean, cov = one_target(array(mean)), array(cov)
    cov = cov if cov.ndim == 2 else cov[..., one_target.target or 0]
    rng = check_random_state(random_state)
    return rng.multivariate_normal(mean, cov, n_samples, check_valid="ignore").T


def _normal_bands(model, rows, mean, std, coverages, one_target):
    """Nominal coverage -> ends (m, 2) of central intervals of the function."""
    if getattr(model, "target_transform", None) is not None:
        raise ValueError(
            "The 'include_noise' parameter is False, but under a target_transform only "
            "observations have quantiles. Use include_noise=True."
        )
    half = {c: norm.ppf((1 + c) / 2) * std for c in coverages}
    return {c: np.stack([mean - half[c], mean + half[c]], axis=1) for c in half}


def _quantile_bands(model, rows, mean, std, coverages, one_target):
    """The same of observations."""
    ends = {c: array(model.predict_interval(rows, c)) for c in coverages}
    return {
        c: np.stack([one_target(e[:, k]) for k in (0, 1)], 1) for c, e in ends.items()
    }


def _name_of(y, target):
    """The name of a Series or of a column of a frame; "y" for arrays."""
    columns = getattr(y, "columns", None)
    if columns is not None:
        return str(list(columns)[target or 0])
    name = getattr(y, "name", None)
    return "y" if name in (None, "") else str(name)
