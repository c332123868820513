"""The same numbers as scikit-learn's regressor."""

import functools
import warnings

import numpy as np
import pytest
from helpers import numeric_gradient, wave
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_zoo import COMPOSITES, EXACT_LEAVES, N_FEATURES, ROUGH_LEAVES, ZOO, rows
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)

from sklearn_torchgp import TorchGPRegressor

OPTIONS = {
    "plain": {},
    "normalize_y": {"normalize_y": True},
    "array-alpha": {"alpha": np.linspace(0.05, 0.2, 30)},
}


FIXED_NOISE = (DotProduct(0.9, "fixed") + WhiteKernel(0.4, "fixed")) ** 3 + RBF(0.7)

# Rows, and one or several targets with noise.
data = functools.partial(wave, noise=0.2, offset=3.0)


def both(kernel, X, y, **options):
    """Their fitted model and ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs and ours alike: bounds, convergence
        theirs = GaussianProcessRegressor(kernel, **options).fit(X, y)
        ours = TorchGPRegressor(kernel, **options).fit(X, y)
    return theirs, ours


def assert_same_predictions(theirs, ours, Z, tolerance=1e-8):
    scale = np.max(np.abs(theirs.predict(Z)))
    mean, std = ours.predict(Z, return_std=True)
    expected_mean, expected_std = theirs.predict(Z, return_std=True)
    np.testing.assert_allclose(mean, expected_mean, atol=tolerance * scale)
    prior_std = np.sqrt(theirs.kernel_(Z).diagonal().max()) * theirs._y_train_std
    np.testing.assert_allclose(std, expected_std, atol=tolerance * np.max(prior_std))
    assert mean.shape == expected_mean.shape
    mean, cov = ours.predict(Z, return_cov=True)
    expected_cov = theirs.predict(Z, return_cov=True)[1]
    assert cov.shape == expected_cov.shape
    atol = tolerance * np.max(prior_std) ** 2
    np.testing.assert_allclose(cov, expected_cov, atol=atol)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("targets", [None, 1, 3])
@pytest.mark.parametrize(
    "kernel",
    [*EXACT_LEAVES.values(), *COMPOSITES.values(), FIXED_NOISE],
    ids=[*EXACT_LEAVES, *COMPOSITES, "power-of-fixed-noise"],
)
def test_lml_gradient_and_predictions(kernel, targets, options):
    kernel = kernel + WhiteKernel(0.1)
    X, y = data(targets=targets)
    theirs, ours = both(kernel, X, y, optimizer=None, **options)
    theta = kernel.theta + 0.05
    value, gradient = ours.log_marginal_likelihood(theta, eval_gradient=True)
    expected, slope = theirs.log_marginal_likelihood(theta, eval_gradient=True)
    assert value == pytest.approx(expected, rel=1e-10)
    assert isinstance(value, np.float64)
    scale = max(1.0, np.abs(slope).max())
    np.testing.assert_allclose(gradient, slope, atol=1e-9 * scale)
    assert ours.log_marginal_likelihood(theta) == value
    assert ours.log_marginal_likelihood_value_ == pytest.approx(
        theirs.log_marginal_likelihood_value_, rel=1e-10
    )
    np.testing.assert_allclose(ours.L_, theirs.L_, atol=1e-10)
    np.testing.assert_allclose(
        ours.alpha_, theirs.alpha_, atol=1e-8 * np.abs(theirs.alpha_).max()
    )
    assert_same_predictions(theirs, ours, rows(8, seed=5))


@pytest.mark.parametrize("kernel", ROUGH_LEAVES.values(), ids=ROUGH_LEAVES)
def test_kernels_that_scikit_learn_differentiates_numerically(kernel):
    noise = 20.0 if "chi2" in str(kernel) else 0.1  # -chi2 is not positive definite
    kernel = kernel + WhiteKernel(noise)
    X, y = data()
    theirs, ours = both(kernel, X, y, optimizer=None)
    value, gradient = ours.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    expected, slope = theirs.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    assert value == pytest.approx(expected, rel=1e-10)
    # Their forward difference divides round-off (of the Bessel function above all) by
    # 1e-10; that ours is the derivative is in the contract test.
    np.testing.assert_allclose(gradient, slope, atol=1e-3 * np.abs(slope).max())
    assert_same_predictions(theirs, ours, rows(8, seed=5))


# 2^(1 - nu) / Gamma(nu) x^nu K_nu(x), x = sqrt(2 nu) d, with 60 digits of mpmath.
DISTANCES = [0.0, 1e-3, 0.05, 0.2, 0.5, 1.0, 2.0]
MATERN = {
    30.3: [1.0, 0.999999482935292, 0.9987082024942812, 0.9795372196364648,
           0.8789978447115505, 0.5990223621561828, 0.13542118300394118],
    200.3: [1.0, 0.9999994974913462, 0.9987445208017783, 0.9801013124123712,
            0.8819786450768149, 0.6053949445882193, 0.13533748744676485],
    1000.3: [1.0, 0.9999994994997752, 0.9987495323955325, 0.9801792525548123,
             0.8823934381841928, 0.6063032712240113, 0.13533537304590232],
}  # fmt: skip


@pytest.mark.parametrize("nu", MATERN)
def test_matern_of_large_order(nu):
    """Where the Bessel function overflows, or scikit-learn's factors do."""
    X = np.array(DISTANCES)[:, None]
    gp = TorchGPRegressor(Matern(nu=nu), optimizer=None, alpha=1.0).fit(X, X[:, 0])
    K = gp.L_ @ gp.L_.T - np.eye(len(X))
    np.testing.assert_allclose(K[0], MATERN[nu], atol=1e-10)
    _, gradient = gp.log_marginal_likelihood([0.3], eval_gradient=True)
    numeric = numeric_gradient(gp.log_marginal_likelihood, [0.3])
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6)


@pytest.mark.parametrize("kernel", ZOO.values(), ids=ZOO)
def test_prior(kernel):
    Z = rows(6)
    theirs = GaussianProcessRegressor(kernel, n_targets=2)
    ours = TorchGPRegressor(kernel, n_targets=2)
    for wish in ({}, {"return_std": True}, {"return_cov": True}):
        if wish.get("return_std") and "Pairwise" in str(kernel):
            continue  # scikit-learn's PairwiseKernel.diag needs 1-d rows and fails
        expected, found = theirs.predict(Z, **wish), ours.predict(Z, **wish)
        if not wish:
            expected, found = (expected,), (found,)
        for e, f in zip(expected, found, strict=True):
            np.testing.assert_allclose(f, e, atol=1e-12)


FITTED = {
    "default": None,
    "scaled-ard-noise": ConstantKernel(1.0) * RBF([1.0] * N_FEATURES)
    + WhiteKernel(0.1),
    "matern": 1.0 * Matern(nu=2.5) + WhiteKernel(0.1),
    "rational-quadratic": RationalQuadratic() + WhiteKernel(0.1),
    "linear": DotProduct() + WhiteKernel(0.1),
}


@pytest.mark.parametrize("targets", [None, 2])
@pytest.mark.parametrize("options", [{}, {"normalize_y": True}], ids=["plain", "norm"])
@pytest.mark.parametrize("kernel", FITTED.values(), ids=FITTED)
def test_same_optimum_from_the_same_starts(kernel, options, targets):
    X, y = data(targets=targets)
    theirs, ours = both(
        kernel, X, y, n_restarts_optimizer=2, random_state=3, alpha=1e-3, **options
    )
    value = theirs.log_marginal_likelihood_value_
    assert ours.log_marginal_likelihood_value_ == pytest.approx(value, rel=1e-6)
    assert_same_predictions(theirs, ours, rows(8, seed=5), tolerance=1e-3)


def test_real_data():
    X, y = load_diabetes(return_X_y=True)
    X = X / X.std(0)
    kernel = 1.0 * RBF(np.full(10, 5.0)) + WhiteKernel(0.5)
    theirs, ours = both(kernel, X[:150], y[:150], normalize_y=True)
    assert ours.log_marginal_likelihood_value_ == pytest.approx(
        theirs.log_marginal_likelihood_value_, rel=1e-8
    )
    assert_same_predictions(theirs, ours, X[150:200], tolerance=1e-4)


def test_near_duplicates_without_noise():
    X, y = data(20)
    X = np.vstack([X, X[:5] + 1e-9])
    y = np.append(y, y[:5])
    kernel = RBF([0.5, 0.6, 0.7])
    theirs, ours = both(kernel, X, y, optimizer=None, alpha=1e-8)
    value, gradient = ours.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    expected, slope = theirs.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-6)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-6)


@pytest.mark.parametrize("n", [200, 400, 700])
def test_sorted_rows(n):
    """A time series, finely sampled: the factor holds extrapolation weights."""
    X = np.linspace(0, 1, n)[:, None]
    y = np.sin(9 * X[:, 0])
    kernel = 1.0 * RBF(0.2)
    theirs, ours = both(kernel, X, y, optimizer=None, alpha=1e-6)
    value, gradient = ours.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    expected, slope = theirs.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    assert value == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4)


@pytest.mark.parametrize("shift", [1e6, -1e6])
def test_features_far_from_zero(shift):
    X, y = data()
    X, Z = X + shift, rows(8, seed=5) + shift
    theirs, ours = both(1.0 * RBF(0.7) + WhiteKernel(0.1), X, y, optimizer=None)
    assert ours.log_marginal_likelihood_value_ == pytest.approx(
        theirs.log_marginal_likelihood_value_, rel=1e-8
    )
    assert_same_predictions(theirs, ours, Z)


@pytest.mark.parametrize("scale", [1e8, 1e-8])
def test_scale_of_the_target(scale):
    X, y = data()
    kernel = 1.0 * RBF(0.7) + WhiteKernel(0.1)
    theirs, ours = both(kernel, X, y * scale, normalize_y=True)
    assert_same_predictions(theirs, ours, rows(8, seed=5), tolerance=1e-5)


@pytest.mark.parametrize("y", [[2.0], [2.0, 2.0]])
@pytest.mark.parametrize("normalize_y", [True, False])
def test_one_row_and_constant_targets(y, normalize_y):
    X = rows(len(y))
    theirs, ours = both(RBF(0.7), X, np.array(y), normalize_y=normalize_y)
    assert_same_predictions(theirs, ours, rows(4, seed=5))


def test_float32_is_close():
    X, y = data(60)
    kernel = 1.0 * RBF(0.7) + WhiteKernel(0.1)
    expected = TorchGPRegressor(kernel).fit(X, y)
    found = TorchGPRegressor(kernel, dtype="float32").fit(X, y)
    assert found.L_.dtype == found.alpha_.dtype == np.float32
    np.testing.assert_allclose(found.kernel_.theta, expected.kernel_.theta, atol=2e-2)
    for f, e in zip(
        found.predict(rows(9), return_std=True),
        expected.predict(rows(9), return_std=True),
        strict=True,
    ):
        np.testing.assert_allclose(f, e, rtol=5e-3)


@st.composite
def kernels(draw, depth=2):
    value = st.floats(0.3, 3.0)
    if depth == 0 or draw(st.booleans()):
        leaf = draw(st.sampled_from(["rbf", "ard", "matern", "rq", "dot", "constant"]))
        if leaf == "ard":
            return RBF([draw(value) for _ in range(N_FEATURES)])
        if leaf == "matern":
            return Matern(draw(value), nu=draw(st.sampled_from([0.5, 1.5, 2.5])))
        if leaf == "rq":
            return RationalQuadratic(draw(value), draw(value))
        one = {"rbf": RBF, "dot": DotProduct, "constant": ConstantKernel}[leaf]
        return one(draw(value))
    operator = draw(st.sampled_from(["+", "*", "**"]))
    first = draw(kernels(depth=depth - 1))
    if operator == "**":
        return first**2
    second = draw(kernels(depth=depth - 1))
    return first + second if operator == "+" else first * second


@settings(max_examples=40, deadline=None, derandomize=True)
@given(kernel=kernels(), n=st.integers(1, 25), noise=st.floats(0.05, 2.0))
def test_any_composition(kernel, n, noise):
    kernel = kernel + WhiteKernel(noise)
    X, y = data(n)
    theirs, ours = both(kernel, X, y, optimizer=None)
    value, gradient = ours.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    expected, slope = theirs.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    assert value == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(gradient, slope, atol=1e-7 * max(1, np.abs(slope).max()))
    assert_same_predictions(theirs, ours, rows(5, seed=9), tolerance=1e-6)
