"""A trend under the process: GPML 2.7 literally, its limits, and any regressor."""

import numpy as np
import pytest
import torch
from dense_formulas import log_normal
from helpers import KERNEL, fixed, numeric_gradient
from numpy.testing import assert_allclose
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    WhiteKernel,
)
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPRegressor

RNG = np.random.RandomState(0)
CENTRE = np.array([5.0, 0.0])
X = CENTRE + RNG.uniform(-2, 2, (22, 2))
W = RNG.uniform(0.2, 4, 22)
NOISE = RNG.uniform(0.01, 0.5, 22)
Y = np.sin(X[:, 0]) + 2 * X[:, 1] - 0.7 * X[:, 0] + 11 + 0.3 * RNG.randn(22)
Y2 = np.c_[Y, 300 - 20 * X[:, 0] + np.cos(X[:, 1]) + 0.1 * RNG.randn(22)]
Z = CENTRE + RNG.uniform(-2, 2, (7, 2))


def columns(mean, X):
    one = np.ones((len(X), 1))
    return np.c_[one, X] if mean == "linear" else one


def gpml(mean, y, noise, Z):
    """GPML 2.41 to 2.45 with B^-1 = 0, b = 0; H has a row for each function."""
    n, H, H_new = len(X), columns(mean, X).T, columns(mean, Z).T
    K = KERNEL(X) + np.diag(np.broadcast_to(noise, n))
    inverse = np.linalg.inv(K)
    A = H @ inverse @ H.T
    beta = np.linalg.solve(A, H @ inverse @ y)
    k = KERNEL(X, Z)
    R = H_new - H @ inverse @ k
    new_mean = k.T @ inverse @ y + R.T @ beta
    cov = KERNEL(Z) - k.T @ inverse @ k + R.T @ np.linalg.solve(A, R)
    C = inverse @ H.T @ np.linalg.solve(A, H @ inverse)
    m = np.linalg.matrix_rank(H)
    lml = -0.5 * y @ inverse @ y + 0.5 * y @ C @ y
    lml -= 0.5 * np.linalg.slogdet(K)[1] + 0.5 * np.linalg.slogdet(A)[1]
    return new_mean, cov, lml - 0.5 * (n - m) * np.log(2 * np.pi), beta


@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_is_the_book(mean):
    gp = fixed(mean=mean, alpha=0.01).fit(X, Y, noise_variance=NOISE)
    new_mean, cov, lml, beta = gpml(mean, Y, NOISE + 0.01, Z)
    got, got_cov = gp.predict(Z, return_cov=True)
    assert_allclose(got, new_mean, rtol=1e-9)
    assert_allclose(got_cov, cov, rtol=1e-8, atol=1e-10)
    _, std = gp.predict(Z, return_std=True)
    assert_allclose(std, np.sqrt(np.diag(cov)), rtol=1e-9)
    assert_allclose(gp.log_marginal_likelihood_value_, lml, rtol=1e-10)
    assert_allclose(gp.trend_intercept_, beta[0], rtol=1e-9)
    slopes = beta[1:] if mean == "linear" else [0, 0]
    assert_allclose(gp.trend_coef_, slopes, rtol=1e-8)
    assert gp.trend_coef_.shape == (2,)
    assert np.ndim(gp.trend_intercept_) == 0


@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_is_the_limit_of_a_vague_prior(mean):
    b = 1e7
    if mean == "constant":
        vague = KERNEL + ConstantKernel(b)
    else:  # b (1 + x'z)
        vague = KERNEL + ConstantKernel(b) * DotProduct(1.0)
    limit = TorchGPRegressor(vague, optimizer=None).fit(X, Y)
    gp = fixed(mean=mean).fit(X, Y)
    got, std = gp.predict(Z, return_std=True)
    want, want_std = limit.predict(Z, return_std=True)
    assert_allclose(got, want, rtol=1e-5)
    assert_allclose(std, want_std, rtol=1e-4)
    constant = 0.5 * columns(mean, X).shape[1] * np.log(2 * np.pi * b)
    lml = limit.log_marginal_likelihood_value_ + constant
    assert_allclose(gp.log_marginal_likelihood_value_, lml, rtol=1e-5)


@pytest.mark.parametrize("mean", ["constant", "linear"])
@pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
@pytest.mark.parametrize("objective", ["lml", "loo"])
@pytest.mark.parametrize("noise", [None, "rows", "targets"])
def test_gradient(mean, y, objective, noise):
    noise = {None: None, "rows": NOISE, "targets": np.c_[NOISE, 3 * NOISE]}[noise]
    if noise is not None and noise.ndim == 2:
        noise = noise[:, : y.ndim]
    gp = fixed(mean=mean, normalize_y=True).fit(
        X, y, sample_weight=W, noise_variance=noise
    )
    names = {"lml": "log_marginal_likelihood", "loo": "loo_log_predictive_density"}
    function = getattr(gp, names[objective])
    theta = KERNEL.theta + 0.1
    _, gradient = function(theta, eval_gradient=True)
    assert_allclose(gradient, numeric_gradient(function, theta), rtol=1e-5, atol=1e-6)


def test_the_std_grows_where_the_trend_is_unsure():
    far = np.array([[5.0, 0.0], [50.0, 0.0], [500.0, 0.0]])
    _, known = fixed(mean="zero").fit(X, Y).predict(far, return_std=True)
    _, constant = fixed(mean="constant").fit(X, Y).predict(far, return_std=True)
    _, linear = fixed(mean="linear").fit(X, Y).predict(far, return_std=True)
    assert (known < constant).all()
    assert_allclose(constant[1], constant[2])
    assert linear[2] > 5 * linear[1] > 5 * linear[0]


def test_the_evidence_is_in_the_units_of_the_features():
    """H = [1, X] as given: det A grows with the square of each unit."""
    gp = TorchGPRegressor(
        RBF([1.0, 2.0]) + WhiteKernel(), optimizer=None, mean="linear"
    )
    lml = gp.fit(X, Y).log_marginal_likelihood_value_
    units = np.array([1e3, 1e-2])
    gp.set_params(kernel=RBF(units * [1.0, 2.0]) + WhiteKernel())
    moved = gp.fit(X * units, Y).log_marginal_likelihood_value_
    assert_allclose(moved, lml - np.log(units).sum(), rtol=1e-9)
    assert_allclose(gp.fit(X * units + 1e6, Y).log_marginal_likelihood_value_, moved)


def test_an_exactly_linear_target():
    y = X @ [3.0, -2.0] + 1e8
    gp = fixed(mean="linear", normalize_y=True).fit(X, y)
    assert_allclose(gp.trend_coef_, [3.0, -2.0], rtol=1e-6)
    assert_allclose(gp.predict(Z), Z @ [3.0, -2.0] + 1e8, rtol=1e-12)
    plain = fixed(mean="linear").fit(X, X @ [3.0, -2.0] + 4)
    far = np.array([[1000.0, -1000.0]])
    assert_allclose(plain.predict(far), 5004.0, rtol=1e-8)
    assert_allclose(plain.trend_intercept_, 4, rtol=1e-6)


def test_optimised_and_normalised():
    kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    gp = TorchGPRegressor(kernel, mean="linear", normalize_y=True).fit(X, Y)
    theta = gp.kernel_.theta
    _, gradient = gp.log_marginal_likelihood(theta, eval_gradient=True)
    lower, upper = gp.kernel_.bounds.T
    inside = (theta > lower + 1e-6) & (theta < upper - 1e-6)
    assert_allclose(gradient[inside], 0, atol=1e-2)
    # The same model in units of y: amplitudes grow with the variance of y.
    same = TorchGPRegressor(gp.kernel_ * Y.var(), optimizer=None, mean="linear")
    same.set_params(alpha=1e-10 * Y.var()).fit(X, Y)
    assert_allclose(gp.predict(Z), same.predict(Z), rtol=1e-7)
    assert_allclose(gp.trend_coef_, same.trend_coef_, rtol=1e-6)
    assert_allclose(gp.trend_intercept_, same.trend_intercept_, rtol=1e-6)


def test_targets_are_independent():
    gp = fixed(mean="linear").fit(X, Y2, noise_variance=np.c_[NOISE, 3 * NOISE])
    shared = fixed(mean="linear").fit(X, Y2)
    lml = 0.0
    for j, noise in enumerate([NOISE, 3 * NOISE]):
        one = fixed(mean="linear").fit(X, Y2[:, j], noise_variance=noise)
        lml += one.log_marginal_likelihood_value_
        for moments in ({"return_std": True}, {"return_cov": True}):
            for a, b in zip(
                gp.predict(Z, **moments), one.predict(Z, **moments), strict=True
            ):
                assert_allclose(a[..., j], b, rtol=1e-8, atol=1e-10)
        assert_allclose(gp.trend_coef_[j], one.trend_coef_)
        assert_allclose(gp.trend_intercept_[j], one.trend_intercept_)
        alone = fixed(mean="linear").fit(X, Y2[:, j])
        assert_allclose(shared.predict(Z)[:, j], alone.predict(Z), rtol=1e-9)
    assert_allclose(gp.log_marginal_likelihood_value_, lml)
    assert gp.trend_coef_.shape == (2, 2)
    assert gp.trend_intercept_.shape == (2,)


@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_weights_are_repeated_rows(mean):
    w = RNG.randint(0, 4, 22)
    gp = fixed(mean=mean, normalize_y=True)
    gp.fit(X, Y2, sample_weight=w, noise_variance=NOISE)
    repeated = fixed(mean=mean, normalize_y=True).fit(
        X.repeat(w, axis=0), Y2.repeat(w, axis=0), noise_variance=NOISE.repeat(w)
    )
    assert_allclose(gp.predict(Z), repeated.predict(Z), rtol=1e-8)
    assert_allclose(
        gp.log_marginal_likelihood_value_, repeated.log_marginal_likelihood_value_
    )
    assert_allclose(gp.trend_coef_, repeated.trend_coef_, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_leave_one_out_estimates_the_trend_anew(mean):
    gp = fixed(mean=mean, alpha=0.02).fit(X, Y, sample_weight=W, noise_variance=NOISE)
    got = np.transpose(gp.loo_predict(return_std=True))
    for i in range(len(X)):
        rows = np.delete(np.arange(22), i)
        other = fixed(mean=mean, alpha=0.02)
        other.fit(X[rows], Y[rows], sample_weight=W[rows], noise_variance=NOISE[rows])
        want = other.predict(
            X[[i]], return_std=True, include_noise=True, noise_variance=NOISE[[i]]
        )
        assert_allclose(got[i], np.ravel(want), rtol=1e-7)


@pytest.mark.parametrize("mean", ["constant", "linear", Ridge()])
@pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
def test_partial_fit_is_a_refit(mean, y):
    gp = fixed(mean=mean).fit(X[:15], y[:15])
    gp.partial_fit(X[15:], y[15:], noise_variance=NOISE[15:])
    trend = 0.0
    if not isinstance(mean, str):  # the regressor of the first fit is kept
        trend = gp.trend_estimator_.predict
        first = Ridge().fit(X[:15], y[:15])
        assert_allclose(trend(Z), first.predict(Z))
        refit, shift = fixed(mean="zero"), trend(X)
    else:
        refit, shift = fixed(mean=mean), 0.0
    refit.fit(X, y - shift, noise_variance=np.r_[np.zeros(15), NOISE[15:]])
    back = trend(Z) if callable(trend) else 0.0
    got, std = gp.predict(Z, return_std=True)
    want, want_std = refit.predict(Z, return_std=True)
    assert_allclose(got, want + back, rtol=1e-8)
    assert_allclose(std, want_std, rtol=1e-8)
    assert_allclose(
        gp.log_marginal_likelihood_value_, refit.log_marginal_likelihood_value_
    )


def test_leaving_out_a_row_that_the_trend_needs():
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.5], [0.0, 1.0], [7.0, 0.2]])
    rows[:, 1] = [0, 0, 0, 1, 0]  # the fourth alone tells the second coefficient
    mean, std = fixed(mean="linear").fit(rows, Y[:5]).loo_predict(return_std=True)
    needed = np.arange(5) == 3
    assert np.isnan(mean[needed]).all()
    assert np.isinf(std[needed]).all()
    assert np.isfinite([mean[~needed], std[~needed]]).all()


class TestRegressor:
    @pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
    @pytest.mark.parametrize("normalize_y", [False, True])
    def test_is_fitted_first(self, y, normalize_y):
        gp = fixed(mean=Ridge(), normalize_y=normalize_y).fit(X, y)
        ridge = Ridge().fit(X, y)
        rest = fixed(mean="zero", normalize_y=normalize_y).fit(X, y - ridge.predict(X))
        got, std = gp.predict(Z, return_std=True)
        want, want_std = rest.predict(Z, return_std=True)
        assert_allclose(got, want + ridge.predict(Z), rtol=1e-9)
        assert_allclose(std, want_std, rtol=1e-9)
        assert_allclose(gp.loo_predict(), rest.loo_predict() + ridge.predict(X))
        assert not hasattr(gp, "trend_coef_")
        assert not hasattr(gp.mean, "coef_")

    def test_gets_the_weights(self):
        gp = fixed(mean=LinearRegression()).fit(X, Y, sample_weight=W)
        want = LinearRegression().fit(X, Y, sample_weight=W)
        assert_allclose(gp.trend_estimator_.coef_, want.coef_)
        with pytest.raises(ValueError, match="'mean' .*takes no sample_weight"):
            fixed(mean=KNeighborsRegressor()).fit(X, Y, sample_weight=W)

    def test_any_regressor_in_a_search(self):
        pipe = make_pipeline(StandardScaler(), fixed(mean=Ridge()))
        means = ["zero", "linear", Ridge(), RandomForestRegressor(3, random_state=0)]
        grid = {"torchgpregressor__mean": means}
        search = GridSearchCV(pipe, grid, cv=2).fit(X, Y)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        nested = GridSearchCV(fixed(mean=Ridge()), {"mean__alpha": [0.1, 10]}, cv=2)
        assert nested.fit(X, Y).best_params_["mean__alpha"] == 0.1


def test_refits_leave_nothing_of_another_mean():
    gp = fixed(mean="linear").fit(X, Y)
    gp.set_params(mean=Ridge()).fit(X, Y)
    assert not hasattr(gp, "trend_coef_")
    gp.set_params(mean="zero").fit(X, Y)
    assert not hasattr(gp, "trend_estimator_")
    assert_allclose(gp.predict(Z), fixed(mean="zero").fit(X, Y).predict(Z))


@pytest.mark.parametrize("mean", ["quadratic", None, 3, Ridge, ["linear"]])
def test_unknown_mean(mean):
    gp = fixed(mean=mean)
    with pytest.raises(ValueError, match="'mean' parameter must be one of .*'linear'"):
        gp.fit(X, Y)
    assert vars(gp).keys() == vars(TorchGPRegressor()).keys()


@pytest.mark.parametrize(
    "rows",
    [X[:2], np.c_[X[:, 0], np.ones(22)], np.c_[X[:, 0], 2 * X[:, 0] + 1]],
    ids=["few", "constant", "collinear"],
)
def test_undetermined_trend(rows):
    gp = fixed(mean="linear")
    with pytest.raises(ValueError, match="'mean' .*determine only 2 of its 3"):
        gp.fit(rows, Y[: len(rows)])
    assert not hasattr(gp, "n_features_in_")
    assert np.isfinite(
        fixed(mean="constant").fit(rows, Y[: len(rows)]).predict(Z)
    ).all()


def test_one_row_and_constant_target():
    gp = fixed(mean="constant").fit(X[:1], Y[:1])
    assert_allclose(gp.predict(Z), Y[0])
    gp = fixed(mean="linear", normalize_y=True).fit(X, np.full(22, 5.0))
    assert_allclose(gp.predict(Z), 5.0)
    assert_allclose(gp.trend_coef_, 0, atol=1e-12)


def test_duplicated_rows_are_merged_while_optimising():
    twice = np.r_[X, X], np.r_[Y, Y]
    gp = TorchGPRegressor(KERNEL, mean="linear").fit(*twice)
    value = gp.log_marginal_likelihood(gp.kernel_.theta)
    assert_allclose(gp.log_marginal_likelihood_value_, value, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tensors(dtype):
    t = torch.as_tensor
    gp = fixed(mean="linear", dtype=dtype, alpha=0.01).fit(t(X), t(Y))
    mean, std = gp.predict(t(Z), return_std=True)
    assert isinstance(mean, torch.Tensor)
    want, want_std = (
        fixed(mean="linear", alpha=0.01).fit(X, Y).predict(Z, return_std=True)
    )
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    assert_allclose(mean, want, rtol=tolerance)
    assert_allclose(std, want_std, rtol=tolerance)


def test_zero_mean_has_the_plain_evidence():
    lml = log_normal(Y, 0, KERNEL(X) + 1e-10 * np.eye(22))
    assert_allclose(fixed(mean="zero").fit(X, Y).log_marginal_likelihood_value_, lml)
