"""Transformed targets, read in units of y: closed forms of the log, and the rest."""

import numpy as np
import pytest
import sklearn
import torch
from helpers import fixed, numeric_gradient
from numpy.testing import assert_allclose
from scipy.integrate import trapezoid
from scipy.stats import lognorm, norm
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._regression import convolution

KERNEL = 0.6 * RBF([0.7, 1.1]) + WhiteKernel(0.05)
RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (25, 2))
LOGS = np.sin(X[:, 0]) + 0.5 * X[:, 1] + 0.2 * RNG.randn(25)
Y = np.exp(LOGS)
Y2 = np.c_[Y, 3 + np.exp(1 - LOGS / 2)]
Z = RNG.uniform(-2, 2, (6, 2))
LOG = FunctionTransformer(np.log, np.exp)
FALLING = FunctionTransformer(lambda y: -np.log(y), lambda z: np.exp(-z))


def transformed(transform=LOG, **params):
    return fixed(KERNEL, **{"alpha": 0.01, **params}, target_transform=transform)


def log_moments(y=Y, **options):
    fit = {k: options.pop(k) for k in ("sample_weight",) if k in options}
    return transformed(None).fit(X, np.log(y), **fit).predict(Z, **options)


def test_moments_are_those_of_the_lognormal():
    gp = transformed().fit(X, Y)
    mu, C = log_moments(return_cov=True)
    s2 = np.diag(C)
    mean, std = gp.predict(Z, return_std=True)
    want = np.exp(mu + s2 / 2)
    assert_allclose(mean, want, rtol=1e-10)
    assert_allclose(gp.predict(Z), mean)
    assert_allclose(std, want * np.sqrt(np.expm1(s2)), rtol=1e-9)
    again, cov = gp.predict(Z, return_cov=True)
    assert_allclose(again, mean)
    assert_allclose(cov, np.outer(want, want) * np.expm1(C), rtol=1e-8)
    assert_allclose(np.sqrt(np.diag(cov)), std, rtol=1e-12)


@pytest.mark.parametrize("transform", [LOG, FALLING], ids=["log", "falling"])
def test_quantiles_are_mapped_back_exactly(transform):
    gp = transformed(transform).fit(X, Y)
    mu, s = log_moments(return_std=True, include_noise=True)
    law = lognorm(s[:, None], scale=np.exp(mu)[:, None])
    q = [0.05, 0.5, 0.9]
    assert_allclose(gp.predict_quantiles(Z, q), law.ppf(q), rtol=1e-9)
    assert_allclose(gp.predict_interval(Z, 0.9), law.ppf([0.05, 0.95]), rtol=1e-9)


@pytest.mark.parametrize("transform", [LOG, FALLING], ids=["log", "falling"])
def test_density(transform):
    gp = transformed(transform).fit(X, Y)
    mu, s = log_moments(return_std=True, include_noise=True)
    y = RNG.uniform(0.2, 3, 6)
    want = lognorm.logpdf(y, s, scale=np.exp(mu))
    assert_allclose(gp.log_predictive_density(Z, y), want, rtol=1e-7)
    assert gp.log_predictive_density(Z, -y)[0] == -np.inf


def test_density_integrates_to_one():
    gp = transformed(PowerTransformer()).fit(X, Y)
    grid = np.linspace(-0.5, 25, 6001)
    rows = np.tile(Z[:1], (len(grid), 1))
    density = np.exp(gp.log_predictive_density(rows, grid))
    assert_allclose(trapezoid(density, grid), 1, atol=2e-3)
    median = gp.predict_quantiles(Z[:1], [0.5])[0, 0]
    below = np.where(grid <= median, density, 0)
    assert_allclose(trapezoid(below, grid), 0.5, atol=5e-3)


@pytest.mark.parametrize(
    "transform",
    [
        LOG,
        FALLING,
        PowerTransformer(),
        PowerTransformer("box-cox"),
        QuantileTransformer(n_quantiles=20, output_distribution="normal"),
        StandardScaler(),
    ],
    ids=["log", "falling", "yeo-johnson", "box-cox", "quantile", "standard"],
)
@pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
def test_moments_against_draws(transform, y):
    """Any transformer: quadrature against brute force."""
    gp = transformed(transform, normalize_y=True).fit(X, y)
    draws = gp.sample_y(Z, 20000, random_state=0).reshape(6, -1, 20000)
    mean, std = gp.predict(Z, return_std=True)
    _, cov = gp.predict(Z, return_cov=True)
    assert_allclose(draws.std(axis=-1), std.reshape(6, -1), rtol=0.05)
    error = (draws.mean(axis=-1) - mean.reshape(6, -1)) / std.reshape(6, -1)
    assert_allclose(error, 0, atol=0.04)
    for j in range(draws.shape[1]):
        unit = np.outer(*[std.reshape(6, -1)[:, j]] * 2)
        got = cov.reshape(6, 6, -1)[..., j]
        assert_allclose(np.cov(draws[:, j]) / unit, got / unit, atol=0.06)
        assert np.linalg.eigvalsh(got).min() > -1e-9 * got.max()


def test_the_median_is_what_scikit_learn_predicts():
    """Its TransformedTargetRegressor maps the mean of T(y) back, and only that."""
    gp = transformed(PowerTransformer()).fit(X, Y)
    inner = TorchGPRegressor(KERNEL, optimizer=None, alpha=0.01)
    theirs = TransformedTargetRegressor(inner, transformer=PowerTransformer())
    median = gp.predict_quantiles(Z, [0.5])[:, 0]
    assert_allclose(median, theirs.fit(X, Y).predict(Z), rtol=1e-9)
    assert_allclose(gp.target_transform_.lambdas_, theirs.transformer_.lambdas_)


def test_identity_changes_nothing():
    gp = transformed(StandardScaler(with_mean=False, with_std=False)).fit(X, Y2)
    plain = transformed(None).fit(X, Y2)
    for options in ({"return_std": True}, {"return_cov": True}):
        for a, b in zip(
            gp.predict(Z, **options), plain.predict(Z, **options), strict=True
        ):
            assert_allclose(a, b, rtol=1e-7, atol=1e-9)
    for a, b in zip(
        gp.predict_gradient(Z, return_std=True),
        plain.predict_gradient(Z, return_std=True),
        strict=True,
    ):
        assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("transform", [LOG, FALLING, PowerTransformer()])
@pytest.mark.parametrize("mean", ["zero", "linear", Ridge()])
def test_gradient(transform, mean):
    gp = transformed(transform, mean=mean).fit(X, Y2)
    got, got_std = gp.predict_gradient(Z, return_std=True)
    for i, z in enumerate(Z):
        for j in range(2):

            def moment(x, which, j=j):
                return gp.predict(x[None], return_std=True)[which][0, j]

            want = numeric_gradient(lambda x: moment(x, 0), z)
            assert_allclose(got[i, :, j], want, rtol=1e-4, atol=1e-5)
            want = numeric_gradient(lambda x: moment(x, 1), z)
            assert_allclose(got_std[i, :, j], want, rtol=1e-4, atol=1e-5)


def test_known_noise_in_units_of_y():
    """To first order: the noise of log y is that of y over y squared."""
    noise = 0.04 * Y**2
    gp = transformed().fit(X, Y, noise_variance=noise)
    same = transformed(None).fit(X, np.log(Y), noise_variance=np.full(25, 0.04))
    assert_allclose(gp.L_, same.L_, rtol=1e-6)
    both = transformed().fit(X, Y2, noise_variance=noise)
    assert both.L_.shape == (2, 25, 25)
    assert_allclose(both.predict(Z)[:, 0], gp.predict(Z), rtol=1e-7)


def test_weights_are_repeated_rows():
    w = RNG.randint(0, 4, 25)
    for transform in (LOG, PowerTransformer(), StandardScaler()):
        gp = transformed(transform, normalize_y=True).fit(X, Y, sample_weight=w)
        repeated = transformed(transform, normalize_y=True)
        repeated.fit(X.repeat(w, axis=0), Y.repeat(w))
        assert_allclose(gp.predict(Z), repeated.predict(Z), rtol=1e-6)
    transformed().fit(X, Y, sample_weight=w + 0.5)
    with pytest.raises(ValueError, match="'target_transform' .*not whole numbers"):
        transformed(PowerTransformer()).fit(X, Y, sample_weight=w + 0.5)


def test_leave_one_out():
    gp = transformed().fit(X, Y)
    mu, s = transformed(None).fit(X, np.log(Y)).loo_predict(return_std=True)
    mean, std = gp.loo_predict(return_std=True)
    assert_allclose(mean, np.exp(mu + s**2 / 2), rtol=1e-9)
    assert_allclose(std, mean * np.sqrt(np.expm1(s**2)), rtol=1e-8)


def test_partial_fit_keeps_the_transform():
    gp = transformed(PowerTransformer()).fit(
        X[:15], Y[:15], noise_variance=np.ones(15) / 9
    )
    T = PowerTransformer().fit(Y[:15, None])
    assert_allclose(gp.target_transform_.lambdas_, T.lambdas_)
    gp = transformed().fit(X[:15], Y[:15], noise_variance=0.1 * Y[:15])
    gp.partial_fit(X[15:], Y[15:], noise_variance=0.1 * Y[15:])
    refit = transformed().fit(X, Y, noise_variance=0.1 * Y)
    assert_allclose(gp.predict(Z), refit.predict(Z), rtol=1e-7)
    before = dict(vars(gp))
    with pytest.raises(ValueError, match=r"y has the value .*-1\.0"):
        gp.partial_fit(Z[:1], [-1.0])
    assert all(vars(gp)[name] is value for name, value in before.items())


def test_paths():
    gp = transformed().fit(X, Y)
    paths = gp.sample_paths(3000, random_state=0, n_features=16)(Z)
    assert (paths > 0).all()
    mean, std = gp.predict(Z, return_std=True, include_noise=False)
    assert_allclose((paths.mean(axis=1) - mean) / std, 0, atol=0.08)


def test_std_survives_a_pipeline_and_a_search():
    pipe = make_pipeline(StandardScaler(), transformed())
    grid = {"torchgpregressor__target_transform": [None, LOG, PowerTransformer()]}
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(pipe, grid, cv=3).fit(X, Y)
        mean, std = search.best_estimator_.predict(Z, return_std=True)
        assert (std > 0).all()
        assert mean.shape == std.shape == (6,)


def test_a_bounded_range_is_no_nan():
    """Box-Cox with a large power: far nodes have no y, the nearest y stands in."""
    y = np.linspace(1, 1.2, 25) ** 0.2
    gp = transformed(PowerTransformer("box-cox"), alpha=1.0).fit(X, y)
    far = np.array([[50.0, 50.0]])
    mean, std = gp.predict(far, return_std=True)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    assert np.isfinite(gp.predict_interval(far, 0.9999)).all()


@pytest.mark.parametrize(
    "transform",
    [
        "log",
        np.log,
        StandardScaler,
        FunctionTransformer(np.log),
        FunctionTransformer(np.sin, np.arcsin, check_inverse=False),
        FunctionTransformer(np.square, np.sqrt, check_inverse=False),
    ],
)
def test_bad_transform(transform):
    gp = transformed(transform)
    with pytest.raises(ValueError, match="'target_transform' parameter"):
        gp.fit(X, Y - 1.5)
    assert vars(gp).keys() == vars(TorchGPRegressor()).keys()


def test_y_outside_the_domain():
    log = FunctionTransformer(np.log, np.exp, check_inverse=False)
    with pytest.raises(ValueError, match="(?s)'target_transform' .*goes from -"):
        transformed(log).fit(X, LOGS)


def test_without_fit_there_is_no_way_back():
    with pytest.raises(NotFittedError):
        transformed().predict(Z)


def test_many_rows():
    gp = transformed().fit(X, Y)
    rows = RNG.uniform(-2, 2, (5000, 2))
    mean, std = gp.predict(rows, return_std=True)
    some = [0, 2047, 2048, 4999]
    part, part_std = gp.predict(rows[some], return_std=True)
    assert_allclose(mean[some], part, rtol=1e-12)
    assert_allclose(std[some], part_std, rtol=1e-10)


def test_refit_without_transform():
    gp = transformed().fit(X, Y)
    gp.set_params(target_transform=None).fit(X, Y)
    assert not hasattr(gp, "target_transform_")
    assert_allclose(gp.predict(Z), transformed(None).fit(X, Y).predict(Z))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tensors(dtype):
    t = torch.as_tensor
    gp = transformed(MinMaxScaler(), dtype=dtype).fit(t(X), t(Y))
    mean, std = gp.predict(t(Z), return_std=True)
    assert isinstance(mean, torch.Tensor)
    want, want_std = transformed(MinMaxScaler()).fit(X, Y).predict(Z, return_std=True)
    tolerance = 1e-9 if dtype == "float64" else 2e-3
    assert_allclose(mean, want, rtol=tolerance)
    assert_allclose(std, want_std, rtol=tolerance)
    assert isinstance(gp.predict_interval(t(Z)), torch.Tensor)
    assert isinstance(gp.loo_predict(), torch.Tensor)


def test_rows_of_any_size_are_told_by_themselves():
    """y over six decades: each row's slope of log is its own."""
    x = np.linspace(0, 1, 60)[:, None]
    y = np.exp(7 * np.sin(6 * x[:, 0]) + 0.1 * np.random.RandomState(0).randn(60))
    kernel = 1.0 * RBF(0.3) + WhiteKernel(0.01)
    gp = TorchGPRegressor(kernel, optimizer=None, target_transform=LOG).fit(x, y)
    plain = TorchGPRegressor(kernel, optimizer=None).fit(x, np.log(y))
    mean, std = plain.predict(x, return_std=True)
    want = norm.logpdf(np.log(y), mean, std) - np.log(y)
    assert_allclose(gp.log_predictive_density(x, y), want, rtol=1e-6)
    assert np.isfinite(gp.predict_interval(x, noise_variance=(0.1 * y) ** 2)).all()
    gp.fit(x, y, noise_variance=(0.1 * y) ** 2)
    assert_allclose(gp.noise_variance_train_, 0.01, rtol=1e-6)


@pytest.mark.parametrize(
    ("transform", "back"), [(np.sqrt, np.square), (np.reciprocal, np.reciprocal)]
)
def test_quantiles_are_ordered_where_the_inverse_turns_back(transform, back):
    x = np.linspace(0, 1, 60)[:, None]
    y = np.random.RandomState(1).poisson(2 * np.exp(np.sin(6 * x[:, 0]))) + 0.5
    gp = TorchGPRegressor(
        1.0 * RBF(0.3) + WhiteKernel(0.2),
        optimizer=None,
        target_transform=FunctionTransformer(transform, back),
    ).fit(x, y)
    quantiles = gp.predict_quantiles(x, [0.01, 0.1, 0.5, 0.9, 0.99])
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_noise_needs_a_slope():
    zero = np.r_[0.0, Y[1:]]
    root = FunctionTransformer(np.sqrt, np.square)
    with pytest.raises(ValueError, match=r"'target_transform' .* no slope at y = .*0"):
        transformed(root).fit(X, zero, noise_variance=np.ones(len(Y)))


def test_all_of_the_range_is_used_and_nothing_beyond():
    """The square of z serves down to zero, far below the training targets."""
    root = FunctionTransformer(np.sqrt, np.square)
    y = (0.35 + 0.02 * np.arange(25)) ** 2
    gp = transformed(root).fit(X, y)
    plain = transformed(None).fit(X, np.sqrt(y))
    q = [0.02, 0.2, 0.4, 0.6, 0.98]
    z = plain.predict_quantiles(Z, q)
    inside = (z > 0.01) & (z < np.sqrt(y.min()) - 0.01)
    assert inside.any()
    assert (z < -0.01).any()
    found = gp.predict_quantiles(Z, q)
    assert_allclose(found[inside], z[inside] ** 2, rtol=1e-9)
    assert_allclose(found[z < -0.01], 0.0, atol=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_range_ends_where_it_does_in_any_unit_of_z(unit):
    def back(z):
        return (z / unit) ** 2

    y, q = (0.35 + 0.02 * np.arange(25)) ** 2, [0.0001, 0.02, 0.6]
    settings = {"normalize_y": True, "alpha": 1.0}
    found, expected = (
        transformed(one, **settings).fit(X, y).predict_quantiles(Z, q)
        for one in (
            FunctionTransformer(lambda y: unit * np.sqrt(y), back),
            FunctionTransformer(np.sqrt, np.square),
        )
    )
    assert (expected < 1e-6).any()
    assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_quantiles_under_noise_that_is_larger_than_all_else():
    def same(z):
        return z

    mean, std, noise = np.array([[0.3], [-2.0]]), np.ones((2, 1)), np.full((2, 1), 25.0)
    for p in (1e-4, 0.5, 0.9999):
        found = convolution.quantiles(same, mean, std, noise, p, mean)
        assert_allclose(found, mean + norm.ppf(p) * np.sqrt(26.0), atol=1e-6)


def test_a_slope_next_to_the_end_of_the_domain():
    """Box-Cox refuses y <= 0: steps that would leave are refused row by row."""
    gp = transformed(PowerTransformer("box-cox", standardize=False)).fit(X, Y)
    (power,) = gp.target_transform_.lambdas_
    y = np.array([1e-7, 1.0, 1e-9, 2.0, 1e-6, 1e-3])
    z = (y**power - 1) / power
    plain = transformed(None).fit(X, (Y**power - 1) / power)
    want = plain.log_predictive_density(Z, z) + (power - 1) * np.log(y)
    assert_allclose(gp.log_predictive_density(Z, y), want, rtol=1e-5)


def test_gradient_of_the_mean_alone():
    gp = transformed().fit(X, Y)
    found = gp.predict_gradient(Z)
    assert_allclose(found, gp.predict_gradient(Z, return_std=True)[0], rtol=1e-12)
    assert_allclose(found, numeric_gradient(gp.predict, Z), rtol=1e-5)
