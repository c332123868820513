"""What the displays share: axes, colours, names, rows of the caller's kind."""

from itertools import combinations

import numpy as np

# Okabe and Ito's colours: told apart by colour-blind readers, too. In grey some are
# equal: whatever has a colour here has a marker, a line style or a label beside.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
MARKERS = "o^sDvPX*<>"
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "ooo", "+++")


def pyplot(who):
    """matplotlib.pyplot; ImportError that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{who} needs matplotlib: pip install sklearn-torchgp[plot]."
        ) from error
    return plt


def one_axes(ax, who, **figure):
    """The axes to draw on: those given, or those of a new figure."""
    plt = pyplot(who)
    return plt.subplots(layout="constrained", **figure)[1] if ax is None else ax


def two_axes(ax, who, **figure):
    """Two axes: those given, the halves of one, or those of a new figure."""
    plt = pyplot(who)
    if ax is None:
        return plt.subplots(1, 2, layout="constrained", **figure)[1]
    if not hasattr(ax, "get_subplotspec"):
        axes = np.ravel(ax)
        if len(axes) != 2:
            raise ValueError(
                f"The 'ax' parameter of {who} must be two axes, or one to divide. Got "
                f"{len(axes)}."
            )
        return axes
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "The 'ax' parameter stands at no place of a grid that could be divided. "
            "Give two axes, for instance those of plt.subplots(1, 2)."
        )
    ax.set_axis_off()
    halves = place.subgridspec(1, 2, wspace=0.35)
    return np.array([ax.figure.add_subplot(half) for half in halves])


def style(defaults, given):
    """Keyword arguments of an artist: the defaults, and over them the caller's."""
    return {**defaults, **(given or {})}


def array(values):
    """An array, tensor or frame as an ndarray."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


def rows_like(X, values):
    """The ndarray `values` as rows of the kind of X: frame, tensor or array."""
    if hasattr(X, "iloc"):
        return type(X)(values, columns=X.columns)
    if hasattr(X, "columns"):
        return type(X)(values, schema=list(X.columns))
    return X.new_tensor(values) if hasattr(X, "new_tensor") else values


def last_step(estimator):
    """The Gaussian process in a fitted pipeline or search, and rows -> what it sees."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    if not hasattr(estimator, "steps"):
        return estimator, lambda X: X
    before = estimator[:-1] if len(estimator.steps) > 1 else None
    model, transform = last_step(estimator[-1])
    return model, lambda X: transform(X if before is None else before.transform(X))


def one_kernel(model, display):
    """kernel_ of a model that has one; ValueError of one that has several."""
    if isinstance(model.kernel_, list):
        raise ValueError(
            f"{display} shows one kernel, but kernel_ is a list of those of "
            f"{len(model.kernel_)} targets. Give it one of the models in 'estimators_'."
        )
    return model.kernel_


def feature_names(X, estimator=None):
    """Names of the columns of X, or those seen in `fit`, or x0, x1, ..."""
    names = getattr(X, "columns", None)
    if names is None:
        names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        n = array(X).shape[1]
        return ["x"] if n == 1 else [f"x{k}" for k in range(n)]
    return [str(name) for name in names]


def problem_names(model):
    """What the binary problems of a classifier are called."""
    labels = array(model.classes_)
    if model.multi_class == "one_vs_one":
        return [f"{one} or {other}" for one, other in combinations(labels, 2)]
    return [f"class {label}" for label in labels]


def ranges(X, margin):
    """Lower and upper end (d,) of the columns of X, widened by a share `margin`."""
    low, high = X.min(axis=0), X.max(axis=0)
    wider = margin * np.where(high > low, high - low, 1.0)
    return low - wider, high + wider


def plane(X, margin, resolution):
    """Axes of a grid over two columns of X, and its rows (resolution^2, 2)."""
    low, high = ranges(X, margin)
    ticks = [np.linspace(*ends, resolution) for ends in zip(low, high, strict=True)]
    rows = np.stack(np.meshgrid(*ticks), axis=-1).reshape(-1, 2)
    return *ticks, rows


def table_of_numbers(X, who, allowed):
    """X as an ndarray of `allowed` numbers of columns; else ValueError."""
    values = array(X)
    if values.ndim != 2 or values.shape[1] not in allowed:
        shown = " or ".join(map(str, allowed))
        raise ValueError(
            f"{who} draws X with {shown} features. Got X of shape {values.shape}: fit "
            "the estimator to fewer columns to see them."
        )
    return values.astype(float)
