"""What the displays of regressors draw."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose
from scipy.stats import binom, norm
from sklearn.gaussian_process.kernels import RBF, Exponentiation, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp.inspection import (
    CoverageDisplay,
    LeaveOneOutDisplay,
    LengthScaleDisplay,
    LogMarginalLikelihoodDisplay,
    PosteriorDisplay,
)

RNG = np.random.RandomState(0)
X = np.sort(RNG.uniform(-3, 3, (20, 1)), axis=0)
NOISE = RNG.uniform(0.02, 0.2, 20)
Y = np.sin(X[:, 0]) + np.sqrt(NOISE) * RNG.randn(20)
KERNEL = 1.0 * RBF(1.0) + WhiteKernel(0.1)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def fitted(kernel=KERNEL, X=X, y=Y, noise=None, **params):
    model = TorchGPRegressor(kernel, optimizer=None, **params)
    return model.fit(X, y, noise_variance=noise)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def edges(band, x):
    """Lower and upper end of a fill_between at the x of its vertices."""
    vertices = band.get_paths()[0].vertices
    return np.array([
        [f(vertices[np.isclose(vertices[:, 0], at), 1]) for f in (np.min, np.max)]
        for at in x
    ])  # fmt: skip


# --- PosteriorDisplay --------------------------------------------------------------


@pytest.mark.parametrize("include_noise", [False, True])
def test_one_feature_draws_mean_bands_samples_and_points(include_noise):
    model = fitted(noise=NOISE)
    shown = PosteriorDisplay.from_estimator(
        model, X, pd.Series(Y, name="dose, mg"), noise_variance=NOISE, margin=0.5,
        include_noise=include_noise,
    )  # fmt: skip
    ax, (x,) = shown.ax_, shown.grid
    assert_allclose(x[[0, -1]], [X.min() - np.ptp(X) / 2, X.max() + np.ptp(X) / 2])
    assert_allclose(ax.get_xlim(), x[[0, -1]])
    rows = x[:, None]
    mean, std = model.predict(rows, return_std=True, include_noise=include_noise)
    assert_allclose(shown.mean_line_.get_xydata(), np.c_[x, mean])
    for band, coverage in zip(shown.bands_, (0.95, 0.5), strict=True):
        z = norm.ppf((1 + coverage) / 2)
        want = np.c_[mean - z * std, mean + z * std]
        assert_allclose(edges(band, x[1:-1:40]), want[1:-1:40], rtol=1e-6)
    paths = model.sample_paths(3, random_state=0)(rows)
    for line, path in zip(shown.sample_lines_, paths.T, strict=True):
        assert_allclose(line.get_ydata(), path)
    points, _, (bars,) = shown.points_
    assert_allclose(points.get_xydata(), np.c_[X[:, 0], Y])
    ends = np.array(bars.get_segments())[:, :, 1]
    assert_allclose(ends, np.c_[Y - np.sqrt(NOISE), Y + np.sqrt(NOISE)])
    whose = "observations" if include_noise else "the function"
    assert legend(ax) == [
        f"95 % of {whose}", f"50 % of {whose}", "sampled functions", "mean",
        "data, ± 1 standard deviation",
    ]  # fmt: skip
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "dose, mg")
    assert shown.bands_[0].get_alpha() < shown.bands_[1].get_alpha()  # in grey, too


def test_two_features_draw_maps_of_mean_and_deviation():
    rows = pd.DataFrame(RNG.uniform(0, 9, (12, 2)), columns=["east, km", "north, km"])
    y = pd.Series(np.cos(rows.to_numpy()).sum(1), name="level")
    model = fitted(X=rows, y=y)
    shown = PosteriorDisplay.from_estimator(model, rows, y, grid_resolution=7)
    at = [[a, b] for b in shown.grid[1] for a in shown.grid[0]]
    at = pd.DataFrame(at, columns=rows.columns)
    mean, std = model.predict(at, return_std=True, include_noise=False)
    assert_allclose(shown.mean_surface_.get_array().ravel(), mean)
    assert_allclose(shown.std_surface_.get_array().ravel(), std)
    assert shown.std_surface_.get_clim()[0] == 0
    assert shown.points_.axes is shown.mean_surface_.axes
    assert_allclose(shown.points_.get_offsets(), rows)
    assert_allclose(shown.points_.get_array(), y)
    assert shown.points_.get_clim() == shown.mean_surface_.get_clim()
    labels = [bar.ax.get_ylabel() for bar in shown.colorbars_]
    assert labels == ["mean of level", "standard deviation of the function"]
    for ax in shown.axes_:
        assert (ax.get_xlabel(), ax.get_ylabel()) == tuple(rows.columns)


def test_under_a_transform_bands_are_those_of_observations():
    log = FunctionTransformer(np.log, np.exp)
    model = fitted(y=np.exp(Y), target_transform=log)
    shown = PosteriorDisplay.from_estimator(model, X, n_samples=0)
    (x,) = shown.grid
    want = model.predict_interval(x[1:-1:40, None], 0.95)
    assert_allclose(edges(shown.bands_[0], x[1:-1:40]), want, rtol=1e-6)
    assert legend(shown.ax_) == ["95 % of observations", "50 % of observations", "mean"]
    assert shown.points_ is None
    with pytest.raises(ValueError, match="target_transform.*include_noise=True"):
        PosteriorDisplay.from_estimator(model, X, include_noise=False)


def test_one_of_several_targets():
    both = np.c_[Y, 5 - Y]
    model = fitted(y=both)
    with pytest.raises(ValueError, match="2 targets.*'target'"):
        PosteriorDisplay.from_estimator(model, X, both)
    table = pd.DataFrame(both, columns=["up", "down"])
    for noise in (False, True):
        shown = PosteriorDisplay.from_estimator(
            model, X, table, target=1, include_noise=noise
        )
        alone = PosteriorDisplay.from_estimator(
            fitted(y=both[:, 1]), X, both[:, 1], include_noise=noise
        )
        assert shown.ax_.get_ylabel() == "down"
        got, want = shown.mean_line_.get_ydata(), alone.mean_line_.get_ydata()
        assert_allclose(got, want)
        assert_allclose(shown.y, alone.y)
        assert shown.samples.shape == alone.samples.shape
        x = shown.grid[0][1:-1:40]
        for one, other in zip(shown.bands_, alone.bands_, strict=True):
            assert_allclose(edges(one, x), edges(other, x), rtol=1e-6)


def test_what_cannot_be_drawn_is_refused_by_name():
    rows = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"1 or 2 features.*\(4, 3\)"):
        PosteriorDisplay.from_estimator(fitted(), rows)
    kernel = Exponentiation(RBF(1.0), 0.5) + WhiteKernel(0.1)
    with pytest.raises(ValueError, match="without random features"):
        PosteriorDisplay.from_estimator(fitted(kernel), X, Y)
    assert PosteriorDisplay.from_estimator(fitted(kernel), X, Y, n_samples=0)


def test_styles_are_handed_on():
    shown = PosteriorDisplay.from_estimator(
        fitted(), X, Y, line_kwargs={"color": "red"}, point_kwargs={"markersize": 9}
    )
    assert shown.mean_line_.get_color() == "red"
    assert shown.points_[0].get_markersize() == 9


# --- LogMarginalLikelihoodDisplay --------------------------------------------------


def test_the_surface_and_the_path_of_the_optimiser():
    model = TorchGPRegressor(1.0 * RBF(0.3) + WhiteKernel(1.0)).fit(X, Y)
    names = ("k1__k2__length_scale", "k2__noise_level")
    shown = LogMarginalLikelihoodDisplay.from_estimator(
        model, hyperparameters=names, grid_resolution=6
    )
    assert (shown.ax_.get_xlabel(), shown.ax_.get_ylabel()) == names
    theta = model.kernel_.theta.copy()
    theta[1:] = np.log([shown.grid[0][2], shown.grid[1][4]])
    assert_allclose(shown.values[4, 2], model.log_marginal_likelihood(theta))
    found = np.exp(model.kernel_.theta[1:])
    assert_allclose(shown.optimum_point_.get_xydata()[0], found)
    (path,) = (line.get_xydata() for line in shown.path_lines_)
    assert_allclose(path[0], [0.3, 1.0])
    assert_allclose(path[-1], found)
    (record,) = model.optimizer_results_
    values = [value for _, value in record.path]
    assert len(values) == record.n_evaluations
    assert len(path) > 3
    assert_allclose(np.max(values), record.value)
    steps = [np.exp(at[1:]) for at, _ in record.path]
    assert all(np.isclose(steps, step).all(axis=1).any() for step in path)
    assert legend(shown.ax_) == ["optimiser's path", "start", "fitted"]
    # Everything of the path is on the picture.
    assert shown.grid[0][0] < path[:, 0].min() < path[:, 0].max() < shown.grid[0][-1]
    assert "nats below" in shown.colorbar_.ax.get_ylabel()


def test_every_start_has_a_path_and_the_span_is_what_was_asked_for():
    model = TorchGPRegressor(KERNEL, n_restarts_optimizer=2, random_state=0).fit(X, Y)
    shown = LogMarginalLikelihoodDisplay.from_estimator(
        model, hyperparameters=(1, 2), span=((0.1, 10), (1e-3, 1)), grid_resolution=5
    )
    assert len(shown.path_lines_) == len(shown.start_points_) == 3
    assert_allclose(shown.ax_.get_xlim(), [0.1, 10])
    assert_allclose(shown.ax_.get_ylim(), [1e-3, 1])


def test_two_hyperparameters_are_asked_for_by_place_or_name():
    model = fitted()
    for pair in ((0, 0), (0, 7), ("k1", 1), (0,)):
        with pytest.raises(ValueError, match="'hyperparameters'.*k1__k2__length_scale"):
            LogMarginalLikelihoodDisplay.from_estimator(model, hyperparameters=pair)


def test_evidence_of_a_classifier_with_several_problems():
    labels = np.arange(20) % 3
    model = TorchGPClassifier(1.0 * RBF(1.0), optimizer=None).fit(X, labels)
    shown = LogMarginalLikelihoodDisplay.from_estimator(model, grid_resolution=3)
    names = "class 0: k1__constant_value", "class 0: k2__length_scale"
    assert (shown.ax_.get_xlabel(), shown.ax_.get_ylabel()) == names
    pairs = TorchGPClassifier(
        1.0 * RBF(1.0), optimizer=None, multi_class="one_vs_one"
    ).fit(X, np.arange(20) % 3)
    shown = LogMarginalLikelihoodDisplay.from_estimator(pairs, grid_resolution=3)
    assert shown.ax_.get_xlabel() == "0 or 1: k1__constant_value"


# --- CoverageDisplay ---------------------------------------------------------------


def test_coverage_against_counts():
    model = fitted(alpha=0.01)
    new = RNG.uniform(-3, 3, (50, 1))
    y = np.sin(new[:, 0]) + 0.3 * RNG.randn(50)
    known = RNG.uniform(0, 0.1, 50)
    shown = CoverageDisplay.from_estimator(
        model, new, y, noise_variance=known, n_levels=9, name="here"
    )
    mean, std = model.predict(
        new, return_std=True, include_noise=True, noise_variance=known
    )
    levels = np.arange(1, 10) / 10
    inside = np.abs(y - mean) < std * norm.ppf((1 + levels) / 2)[:, None]
    assert_allclose(shown.line_.get_xydata(), np.c_[levels, inside.mean(axis=1)])
    nlpd = -norm.logpdf(y, mean, std).mean()
    assert_allclose(shown.nlpd, nlpd)
    assert_allclose(shown.sharpness, 2 * 1.959964 * std.mean(), rtol=1e-6)
    width = f"width {shown.sharpness:.3g}"
    assert legend(shown.ax_) == [
        "95 % of calibrated models", "calibrated", f"here: NLPD {nlpd:.3f}, {width}"
    ]  # fmt: skip
    ends = edges(shown.band_, [0.3])[0]
    assert_allclose(ends, binom.ppf([0.025, 0.975], 50, 0.3) / 50)
    same = CoverageDisplay.from_predictions(y, mean, std, n_levels=9)
    assert_allclose(same.observed, shown.observed)
    assert_allclose([same.nlpd, same.sharpness], [shown.nlpd, shown.sharpness])


def test_two_models_share_the_reference():
    y, mean, std = RNG.randn(3, 30)
    one = CoverageDisplay.from_predictions(y, mean, np.abs(std) + 1, name="one")
    two = CoverageDisplay.from_predictions(
        y, mean, np.abs(std) + 2, name="two", ax=one.ax_
    )
    assert two.band_ is None
    assert two.reference_line_ is None
    assert len(legend(one.ax_)) == 4
    assert one.line_.get_marker() != two.line_.get_marker()
    assert one.line_.get_color() != two.line_.get_color()


def test_coverage_of_several_targets_pools_them():
    both = np.c_[Y, -Y]
    shown = CoverageDisplay.from_estimator(fitted(y=both), X, both)
    alone = CoverageDisplay.from_estimator(fitted(), X, Y)
    assert shown.n_samples == 40
    assert_allclose(shown.observed, alone.observed)


# --- LeaveOneOutDisplay ------------------------------------------------------------


def test_leave_one_out_against_refits():
    y = Y.copy()
    y[7] += 1.5
    model = fitted(y=y)
    shown = LeaveOneOutDisplay.from_estimator(model, X, pd.Series(y, name="dose"))
    rest = np.arange(20) != 7
    one = fitted(X=X[rest], y=y[rest])
    mean, std = one.predict(X[[7]], return_std=True)
    z = (y[7] - mean[0]) / std[0]
    assert_allclose(shown.residuals_[7], z)
    assert_allclose(shown.residual_points_.get_offsets()[7], [mean[0], z])
    points, _, (bars,) = shown.points_
    assert_allclose(points.get_xydata()[7], [mean[0], y[7]])
    ends = bars.get_segments()[7][:, 0]
    assert_allclose(ends, mean[0] + 1.96 * std[0] * np.array([-1, 1]), rtol=1e-6)
    assert len(shown.far_points_) == 2
    assert_allclose(shown.far_points_[1].get_offsets(), [[mean[0], z]])
    left, right = shown.axes_
    assert left.get_xlabel() == "leave-one-out prediction of dose"
    assert left.get_ylabel() == "observed dose"
    inside = np.mean(np.abs(shown.residuals_) < 1.96)
    assert legend(right) == ["beyond 3 deviations: 1", f"±1.96: {inside:.0%} between"]
    assert set(legend(left)) == {
        "prediction = truth", "left-out row, 95 % interval", "beyond 3 deviations: 1"
    }  # fmt: skip


def test_leave_one_out_of_targets_and_bad_rows():
    both = np.c_[Y, 5 - Y]
    model = fitted(y=both)
    with pytest.raises(ValueError, match="2 targets.*'target'"):
        LeaveOneOutDisplay.from_estimator(model, X, both)
    shown = LeaveOneOutDisplay.from_estimator(model, None, both, target=1)
    assert_allclose(shown.y_true, both[:, 1])
    with pytest.raises(ValueError, match="y has 3 rows.*fitted to 20"):
        LeaveOneOutDisplay.from_estimator(model, X, both[:3], target=0)
    std = np.ones(20)
    std[3] = np.inf  # undetermined without this row
    shown = LeaveOneOutDisplay.from_predictions(Y, np.where(std < 2, Y, np.nan), std)
    assert len(shown.residuals_) == 19


# --- LengthScaleDisplay ------------------------------------------------------------


def test_relevance_is_spread_over_length_scale():
    rows = RNG.randn(15, 3) * [1.0, 10.0, 0.1]
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    model = fitted(1.0 * RBF([2.0, 5.0, 1.0]), X=frame, y=rows[:, 0])
    shown = LengthScaleDisplay.from_estimator(model, frame)
    want = rows.std(axis=0) / [2.0, 5.0, 1.0]
    order = np.argsort(-want)
    (bars,) = shown.bars_
    assert_allclose([bar.get_width() for bar in bars], want[order])
    ticks = [text.get_text() for text in shown.ax_.get_yticklabels()]
    assert ticks == ["abc"[k] for k in order]
    assert shown.ax_.get_xlabel() == "relevance: standard deviation / length scale"
    plain = LengthScaleDisplay.from_estimator(model)
    assert_allclose(plain.relevance["k2"], [1 / 2, 1 / 5, 1.0])
    assert plain.ax_.get_xlabel() == "relevance: 1 / length scale"
    assert plain.feature_names == ["a", "b", "c"]
    few = LengthScaleDisplay.from_estimator(model, frame, max_features=2)
    assert len(few.bars_[0]) == 2


def test_several_kernels_have_bars_of_their_own():
    rows = RNG.randn(15, 2)
    kernel = 1.0 * RBF([1.0, 2.0]) + RBF([3.0, 4.0]) + RBF(1.0)
    shown = LengthScaleDisplay.from_estimator(fitted(kernel, X=rows, y=rows[:, 0]))
    assert legend(shown.ax_) == ["k1__k1__k2", "k1__k2"]
    one, two = (bars[0] for bars in shown.bars_)
    assert one.get_facecolor() != two.get_facecolor()
    assert one.get_hatch() != two.get_hatch()
    assert one.get_y() + one.get_height() == pytest.approx(two.get_y())
    classes = np.array(["x", "y", "z"])[np.arange(15) % 3]
    model = TorchGPClassifier(RBF([1.0, 2.0]), optimizer=None).fit(rows, classes)
    shown = LengthScaleDisplay.from_estimator(model, rows)
    assert legend(shown.ax_) == ["class x: RBF", "class y: RBF", "class z: RBF"]


def test_relevance_in_a_pipeline_is_of_what_the_kernel_sees():
    rows = RNG.randn(15, 2) * [1.0, 50.0]
    model = TorchGPRegressor(RBF([2.0, 4.0]), optimizer=None, alpha=0.1)
    pipe = make_pipeline(StandardScaler(), model).fit(rows, rows[:, 0])
    shown = LengthScaleDisplay.from_estimator(pipe, rows)
    assert_allclose(shown.relevance["RBF"], [1 / 2, 1 / 4])
    named = LengthScaleDisplay.from_estimator(pipe, rows, feature_names=["u", "v"])
    assert named.feature_names == ["u", "v"]


def test_one_length_scale_for_all_is_refused():
    rows = RNG.randn(15, 2)
    model = fitted(1.0 * RBF(1.0), X=rows, y=rows[:, 0])
    with pytest.raises(ValueError, match=r"each of the 2 features, such as RBF"):
        LengthScaleDisplay.from_estimator(model, rows)


def test_colours_differ_in_grey_or_by_shape():
    """Okabe and Ito's colours come with as many markers and hatches."""
    from sklearn_torchgp.inspection import drawing

    assert len(set(drawing.COLOURS)) == len(drawing.COLOURS) == len(drawing.HATCHES)
    assert len(set(drawing.MARKERS)) >= len(drawing.COLOURS)
    assert all(to_rgba(colour) for colour in drawing.COLOURS)
