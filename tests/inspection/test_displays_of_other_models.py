"""Displays of other methods than exact, and of several outputs: right, or refused."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.preprocessing import PowerTransformer

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp.inspection import (
    ClassificationDisplay,
    CoverageDisplay,
    LeaveOneOutDisplay,
    LengthScaleDisplay,
    LogMarginalLikelihoodDisplay,
    PosteriorDisplay,
)

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (30, 2))
ONE = X[:, :1]
Y = np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] + 0.1 * RNG.randn(30)
BOTH = np.c_[Y, 50 + 20 * Y + 4 * RNG.randn(30)]
HOLES = BOTH.copy()
HOLES[RNG.rand(30, 2) < 0.2] = np.nan

# Name -> parameters, y. Kernels get a length scale for each feature.
MODELS = {
    "vecchia": ({"method": "vecchia"}, Y),
    "few": (
        {"method": "vecchia", "n_neighbors": 4, "n_neighbors_predict": 6}, Y
    ),
    "inducing": ({"method": "inducing", "inducing_points": 12}, Y),
    "vecchia, two": ({"method": "vecchia", "normalize_y": True}, BOTH),
    "independent": ({"multi_output": "independent", "normalize_y": True}, BOTH),
    "icm": ({"multi_output": "icm", "normalize_y": True}, BOTH),
    "icm, mask": (
        {"multi_output": "icm", "normalize_y": True, "missing": "mask"}, HOLES
    ),
    "independent, mask": (
        {"multi_output": "independent", "normalize_y": True, "missing": "mask"}, HOLES
    ),
    "independent vecchia": (
        {"multi_output": "independent", "method": "vecchia"}, BOTH
    ),
}  # fmt: skip
TARGET = 1


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def fitted(name, X=X, **more):
    params, y = MODELS[name]
    kernel = 1.0 * RBF(np.ones(X.shape[1]))
    if params.get("multi_output") != "icm":
        kernel += WhiteKernel(0.05)
    params = {"random_state": 0, "optimizer": None, **params, **more}
    return TorchGPRegressor(kernel, **params).fit(X, y), y


def of_target(values):
    """Those of the target that is shown: of (m,), (m, t) or (m, m, t)."""
    return values[..., TARGET] if values.shape[-1] == 2 else values


def target_of(y):
    return {"target": TARGET} if y.ndim == 2 else {}


@pytest.mark.parametrize("name", MODELS)
def test_posterior_of_one_feature(name):
    model, y = fitted(name, ONE)
    shown = PosteriorDisplay.from_estimator(
        model, ONE, y, n_samples=400, grid_resolution=12, **target_of(y)
    )
    rows = shown.grid[0][:, None]
    mean, std = map(
        of_target, model.predict(rows, return_std=True, include_noise=False)
    )
    assert_allclose(shown.mean, mean)
    half = norm.ppf(0.975) * std
    assert_allclose(shown.bands[0.95], np.c_[mean - half, mean + half])
    # Sampled functions are functions of this model, in units of its y.
    assert shown.samples.shape == (12, 400)
    error = 5 * std / np.sqrt(400)
    assert (np.abs(shown.samples.mean(axis=1) - mean) < error).all()
    assert_allclose(shown.samples.std(axis=1), std, rtol=0.25)
    seen = ~np.isnan(of_target(y))
    points = shown.points_[0].get_xydata()
    assert_allclose(points, np.c_[ONE[:, 0], of_target(y)][seen])
    noisy = PosteriorDisplay.from_estimator(
        model, ONE, y, include_noise=True, grid_resolution=12, **target_of(y)
    )
    band = model.predict_interval(rows, 0.95)
    want = band[..., TARGET] if band.ndim == 3 else band
    assert_allclose(noisy.bands[0.95], want)


@pytest.mark.parametrize("name", MODELS)
def test_posterior_of_two_features(name):
    model, y = fitted(name)
    shown = PosteriorDisplay.from_estimator(
        model, X, y, grid_resolution=5, **target_of(y)
    )
    rows = np.stack(np.meshgrid(*shown.grid), axis=-1).reshape(-1, 2)
    moments = model.predict(rows, return_std=True, include_noise=False)
    for drawn, moment in zip((shown.mean, shown.std), moments, strict=True):
        assert_allclose(drawn.ravel(), of_target(moment))
    limits = shown.mean_surface_.get_clim()
    assert np.isfinite(limits).all()
    assert len(shown.points_.get_offsets()) == (~np.isnan(of_target(y))).sum()


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name][1].ndim == 2])
@pytest.mark.parametrize("display", [PosteriorDisplay, LeaveOneOutDisplay])
def test_which_of_several_targets_is_asked_for(name, display):
    model, y = fitted(name, ONE)
    with pytest.raises(ValueError, match="There are 2 targets: set the 'target'"):
        display.from_estimator(model, ONE, y)


def test_error_bars_are_those_of_the_target_and_of_what_is_known():
    model, y = fitted("icm, mask", ONE)
    noise = RNG.uniform(1, 4, y.shape)
    shown = PosteriorDisplay.from_estimator(
        model, ONE, y, noise_variance=noise, target=TARGET, n_samples=0
    )
    assert shown.samples is None
    seen = ~np.isnan(y[:, TARGET])
    assert_allclose(shown.error, np.sqrt(noise[seen, TARGET]))
    one = PosteriorDisplay.from_estimator(
        model, ONE, y, noise_variance=noise[:, 0], target=TARGET, n_samples=0
    )
    assert_allclose(one.error, np.sqrt(noise[seen, 0]))
    same = PosteriorDisplay.from_estimator(
        model, ONE, y, noise_variance=4.0, target=TARGET, n_samples=0
    )
    assert_allclose(same.error, 2.0)


def test_the_seed_draws_the_same_functions_again():
    model, y = fitted("icm", ONE)
    options = {"grid_resolution": 8, "target": TARGET}
    one, same, other = (
        PosteriorDisplay.from_estimator(model, ONE, y, random_state=seed, **options)
        for seed in (3, 3, 4)
    )
    assert_allclose(one.samples, same.samples)
    assert not np.allclose(one.samples, other.samples)


@pytest.mark.parametrize("multi_output", ["independent", "icm"])
def test_no_functions_under_a_target_transform_of_several_models(multi_output):
    model = TorchGPRegressor(
        1.0 * RBF(1.0), alpha=0.1, optimizer=None, multi_output=multi_output,
        target_transform=PowerTransformer(),
    ).fit(ONE, BOTH)  # fmt: skip
    with pytest.raises(ValueError, match="'n_samples'.*is 3.*Use n_samples=0"):
        PosteriorDisplay.from_estimator(model, ONE, BOTH, target=TARGET)
    shown = PosteriorDisplay.from_estimator(
        model, ONE, BOTH, target=TARGET, n_samples=0, grid_resolution=6
    )
    want = model.predict_interval(shown.grid[0][:, None], 0.5)[..., TARGET]
    assert_allclose(shown.bands[0.5], want)


@pytest.mark.parametrize("name", MODELS)
def test_coverage_counts_what_was_observed(name):
    model, y = fitted(name)
    shown = CoverageDisplay.from_estimator(model, X, y, n_levels=3)
    seen = ~np.isnan(y)
    assert shown.n_samples == seen.sum()
    ends = model.predict_interval(X, 0.5)
    inside = (ends[:, 0] <= y) & (y <= ends[:, 1])
    assert_allclose(shown.observed[1], inside[seen].mean())
    density = model.log_predictive_density(X, y)
    assert_allclose(shown.nlpd, -density[seen].mean())
    assert_allclose(shown.line_.get_ydata(), shown.observed)


@pytest.mark.parametrize("name", MODELS)
def test_leave_one_out(name):
    model, y = fitted(name)
    shown = LeaveOneOutDisplay.from_estimator(model, X, y, **target_of(y))
    seen = ~np.isnan(of_target(y))
    mean, std = (of_target(m)[seen] for m in model.loo_predict(return_std=True))
    assert_allclose(shown.y_pred, mean)
    assert_allclose(shown.residuals_, (of_target(y)[seen] - mean) / std)
    assert len(shown.residual_points_.get_offsets()) == seen.sum()


@pytest.mark.parametrize("name", MODELS)
def test_evidence(name):
    model, y = fitted(name)
    show = LogMarginalLikelihoodDisplay.from_estimator
    if isinstance(model.kernel_, list):
        with pytest.raises(ValueError, match="2 targets.*one of the models in 'estim"):
            show(model, X, y)
        model = model.estimators_[TARGET]
    shown = show(model, X, y, grid_resolution=3)
    theta = model.kernel_.theta.copy()
    assert_allclose(shown.optimum, np.exp(theta[:2]))
    theta[:2] = np.log([shown.grid[0][2], shown.grid[1][0]])
    assert_allclose(shown.values[0, 2], model.log_marginal_likelihood(theta))


@pytest.mark.parametrize("name", MODELS)
def test_length_scales(name):
    model, y = fitted(name)
    show = LengthScaleDisplay.from_estimator
    if isinstance(model.kernel_, list):
        with pytest.raises(ValueError, match="2 targets.*one of the models in 'estim"):
            show(model, X, y)
        model = model.estimators_[TARGET]
    shown = show(model, X)
    (relevance,) = shown.relevance.values()
    assert_allclose(relevance, X.std(axis=0))  # all length scales are 1
    lonely, _ = fitted(name, ONE)
    lonely = lonely.estimators_[0] if isinstance(lonely.kernel_, list) else lonely
    with pytest.raises(ValueError, match="compares features.*PosteriorDisplay"):
        show(lonely, ONE)


@pytest.mark.parametrize("name", MODELS)
def test_a_regressor_has_no_classes_to_show(name):
    model, y = fitted(name)
    with pytest.raises(ValueError, match="needs a classifier.*Got TorchGPRegressor"):
        ClassificationDisplay.from_estimator(model, X, y)


def test_a_classifier_has_no_approximation_to_show():
    with pytest.raises(ValueError, match=r"'method' parameter.*'vecchia'"):
        TorchGPClassifier(method="vecchia").fit(X, Y > 0)
