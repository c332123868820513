"""What scikit-learn's convention asks of every display; new ones enter the table."""

import inspect
import re
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor, inspection
from sklearn_torchgp.inspection import (
    ClassificationDisplay,
    CoverageDisplay,
    LeaveOneOutDisplay,
    LengthScaleDisplay,
    LogMarginalLikelihoodDisplay,
    PosteriorDisplay,
)

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (25, 2))
Y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.2 * RNG.randn(25)
KERNEL = 1.0 * RBF([1.0, 2.0]) + WhiteKernel(0.05)
REGRESSOR = TorchGPRegressor(KERNEL, optimizer=None)
CLASSIFIER = TorchGPClassifier(1.0 * RBF([1.0, 2.0]), optimizer=None)

# Display -> estimator, y, further keywords, attributes, number of axes it draws on.
DISPLAYS = {
    PosteriorDisplay: (REGRESSOR, Y, {"grid_resolution": 9}, ["axes_", "points_"], 2),
    ClassificationDisplay: (
        CLASSIFIER, Y > 0, {"grid_resolution": 9}, ["ax_", "decision_line_"], 1
    ),
    LogMarginalLikelihoodDisplay: (
        REGRESSOR, Y, {"grid_resolution": 5}, ["ax_", "surface_"], 1
    ),
    CoverageDisplay: (REGRESSOR, Y, {}, ["ax_", "line_"], 1),
    LeaveOneOutDisplay: (REGRESSOR, Y, {}, ["axes_", "points_"], 2),
    LengthScaleDisplay: (REGRESSOR, Y, {}, ["ax_", "bars_"], 1),
}  # fmt: skip
NAMES = ["height, m", "mass, kg"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(display, estimator=None, X=X, **more):
    model, y, options, _, _ = DISPLAYS[display]
    model = (estimator or model).fit(X, y)
    return display.from_estimator(model, X, y, **options, **more)


def test_the_table_has_every_display():
    assert {display.__name__ for display in DISPLAYS} == set(inspection.__all__)


@pytest.mark.parametrize("display", DISPLAYS)
def test_signatures(display):
    """estimator, X, y, then keywords only; ax is one of them; self is returned."""
    parameters = list(inspect.signature(display.from_estimator).parameters.values())
    assert [p.name for p in parameters[:3]] == ["estimator", "X", "y"]
    assert {p.kind for p in parameters[3:]} == {inspect.Parameter.KEYWORD_ONLY}
    assert parameters[[p.name for p in parameters].index("ax")].default is None
    own = inspect.signature(display).parameters.values()
    assert {p.kind for p in own} == {inspect.Parameter.KEYWORD_ONLY}
    shown = drawn(display)
    for parameter in own:
        assert hasattr(shown, parameter.name)
    assert shown.plot() is shown


@pytest.mark.parametrize("display", DISPLAYS)
def test_attributes_are_those_that_the_docstring_names(display):
    shown = drawn(display)
    text = display.__doc__.partition("Attributes\n")[2]
    documented = re.findall(r"^    ((?:\w+_(?:, )?)+) : ", text, flags=re.M)
    documented = {name for names in documented for name in names.split(", ")}
    kept = {name for name in vars(shown) if name.endswith("_")}
    assert kept <= documented
    assert documented - kept <= {"ax_", "axes_"}  # of one and of two features
    assert {*DISPLAYS[display][3], "figure_"} <= kept


@pytest.mark.parametrize("display", DISPLAYS)
def test_given_axes_are_drawn_on(display):
    n_axes = DISPLAYS[display][4]
    figure, axes = plt.subplots(1, 2)
    shown = drawn(display, ax=axes if n_axes == 2 else axes[1])
    assert shown.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    if n_axes == 1:
        assert shown.ax_ is axes[1]
        return
    assert list(shown.axes_) == list(axes)
    _, ax = plt.subplots()
    again = drawn(display, ax=ax)
    assert again.figure_ is ax.figure
    assert not ax.axison
    assert len(again.axes_) == 2
    with pytest.raises(ValueError, match="'ax'.*two axes.*Got 3"):
        shown.plot(ax=plt.subplots(1, 3)[1])
    with pytest.raises(ValueError, match=r"'ax'.*plt\.subplots"):
        shown.plot(ax=plt.figure().add_axes((0, 0, 1, 1)))


@pytest.mark.parametrize("display", DISPLAYS)
def test_every_axis_has_a_label_and_nothing_is_cut(display):
    figure = drawn(display).figure_
    figure.draw_without_rendering()
    for ax in figure.axes:
        if ax.axison:
            assert ax.get_ylabel()
            assert ax.get_xlabel() or ax.get_label() == "<colorbar>"
    low, high = figure.get_tightbbox().get_points()
    assert (low > -0.02).all()  # inches
    assert (high < figure.get_size_inches() + 0.02).all()


@pytest.mark.parametrize("display", DISPLAYS)
def test_names_come_from_the_columns(display):
    figure = drawn(display, X=pd.DataFrame(X, columns=NAMES)).figure_
    if display in (PosteriorDisplay, ClassificationDisplay):
        ax = figure.axes[0]
        assert [ax.get_xlabel(), ax.get_ylabel()] == NAMES
    if display is LengthScaleDisplay:
        ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert sorted(ticks) == NAMES


@pytest.mark.parametrize("display", DISPLAYS)
def test_tensors_pipelines_and_searches(display):
    """Each draws what the process inside draws on the rows that it sees."""
    model, y, options, _, _ = DISPLAYS[display]
    tensor = torch.as_tensor(X), torch.as_tensor(y)
    shown = display.from_estimator(model.fit(*tensor), *tensor, **options)
    assert same(shown, drawn(display))
    alone = make_pipeline(model).fit(X, y)
    assert same(display.from_estimator(alone, X, y, **options), drawn(display))
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    shown = display.from_estimator(pipe, X, y, **options)
    search = GridSearchCV(pipe, {"standardscaler__with_mean": [True]}, cv=2).fit(X, y)
    assert same(shown, display.from_estimator(search, X, y, **options))
    assert not same(shown, drawn(display))


def numbers(display):
    values = {**vars(display), **vars(display).get("relevance", {})}.items()
    return {k: v for k, v in values if isinstance(v, np.ndarray) and v.dtype != object}


def same(one, other):
    one, other = numbers(one), numbers(other)
    # What is drawn of the rows themselves is not what the model says.
    names = set(one) - {"X", "y", "y_true", "classes", "order_", "nominal"}
    return all(np.allclose(one[name], other[name]) for name in names)


@pytest.mark.parametrize("display", DISPLAYS)
def test_without_matplotlib_the_error_says_what_to_install(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"from_estimator needs.*torchgp\[plot\]"):
        drawn(display)


def test_matplotlib_is_imported_when_something_is_drawn():
    code = "import sys, sklearn_torchgp.inspection; exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
