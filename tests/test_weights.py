"""Weight w is w copies of the row: exactly, for real w, with everything else."""

import numpy as np
import pytest
import sklearn
import torch
from dense_formulas import log_normal
from helpers import KERNEL, fixed, numeric_gradient
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    WhiteKernel,
)
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.utils import estimator_checks

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._data.rows import all_differ, distinct_rows

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (20, 2))
W = RNG.randint(0, 5, 20)
NOISE = RNG.uniform(0.01, 0.5, 20)
Y = np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.randn(20)
Y2 = np.c_[Y, 100 + 30 * np.cos(X[:, 0]) + RNG.randn(20)]
Z = RNG.uniform(-2, 2, (7, 2))


def weighted_and_repeated(y, w=W, noise=None, kernel=KERNEL, **params):
    alpha = params.pop("alpha", 1e-10)
    array = np.ndim(alpha) == 1
    first = fixed(kernel, alpha=alpha, **params)
    first.fit(X, y, sample_weight=w, noise_variance=noise)
    second = fixed(kernel, alpha=alpha.repeat(w) if array else alpha, **params)
    noise = None if noise is None else noise.repeat(w, axis=0)
    second.fit(X.repeat(w, axis=0), y.repeat(w, axis=0), noise_variance=noise)
    return first, second


def assert_same(first, second, rtol=1e-8):
    assert_allclose(
        first.log_marginal_likelihood_value_,
        second.log_marginal_likelihood_value_,
        rtol=rtol,
    )
    theta = first.kernel_.theta + 0.1
    for a, b in zip(
        first.log_marginal_likelihood(theta, eval_gradient=True),
        second.log_marginal_likelihood(theta, eval_gradient=True),
        strict=True,
    ):
        assert_allclose(a, b, rtol=10 * rtol, atol=1e-7)
    for a, b in zip(
        first.predict(Z, return_std=True),
        second.predict(Z, return_std=True),
        strict=True,
    ):
        assert_allclose(a, b, rtol=rtol)
    for a, b in zip(
        first.predict(Z, return_cov=True),
        second.predict(Z, return_cov=True),
        strict=True,
    ):
        assert_allclose(a, b, rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("normalize_y", [False, True])
@pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
@pytest.mark.parametrize(
    "noise", [None, NOISE, np.c_[NOISE, 3 * NOISE]], ids=["none", "rows", "targets"]
)
def test_integer_weights_are_repeated_rows(y, noise, normalize_y):
    if noise is not None and noise.ndim == 2 and y.ndim == 1:
        noise = noise[:, :1]
    assert_same(*weighted_and_repeated(y, noise=noise, normalize_y=normalize_y))


def test_each_copy_carries_array_alpha():
    assert_same(*weighted_and_repeated(Y, alpha=NOISE))
    assert_same(*weighted_and_repeated(Y2, alpha=NOISE, noise=NOISE, normalize_y=True))


def test_noise_that_a_product_makes():
    kernel = (ConstantKernel(0.5) + WhiteKernel(0.3)) * DotProduct(1.0) + RBF(1.0)
    assert_same(*weighted_and_repeated(Y, kernel=kernel, alpha=0.01))


def test_fit_finds_the_same_hyperparameters():
    kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    first, second = weighted_and_repeated(Y, kernel=kernel)
    first.set_params(optimizer="fmin_l_bfgs_b").fit(X, Y, sample_weight=W)
    second.set_params(optimizer="fmin_l_bfgs_b")
    second.fit(X.repeat(W, axis=0), Y.repeat(W))
    assert_allclose(first.kernel_.theta, second.kernel_.theta, atol=1e-4)


@given(st.lists(st.floats(0.01, 50), min_size=20, max_size=20))
@settings(max_examples=20, deadline=None)
def test_real_weights_by_formula(weights):
    """Groups seen once with noise N / w, and the factor of the copies."""
    w = np.array(weights)
    gp = fixed(alpha=0.02).fit(X, Y, sample_weight=w, noise_variance=NOISE)
    N = 0.02 + 0.05 + NOISE
    K = KERNEL.k1(X) + np.diag(N / w)
    lml = log_normal(Y, 0, K)
    lml -= 0.5 * np.sum((w - 1) * np.log(2 * np.pi * N) + np.log(w))
    assert_allclose(gp.log_marginal_likelihood_value_, lml, rtol=1e-9, atol=1e-8)
    mean = KERNEL.k1(Z, X) @ np.linalg.solve(K, Y)
    assert_allclose(gp.predict(Z), mean, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
def test_gradient_with_real_weights(y):
    w = np.random.RandomState(1).uniform(0.1, 3, 20)
    gp = fixed(normalize_y=True).fit(X, y, sample_weight=w, noise_variance=NOISE)
    theta = KERNEL.theta - 0.2
    _, gradient = gp.log_marginal_likelihood(theta, eval_gradient=True)
    numeric = numeric_gradient(gp.log_marginal_likelihood, theta)
    assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


def test_unit_weights_change_nothing():
    plain = fixed(alpha=0.0).fit(X, Y)
    weighted = fixed(alpha=0.0).fit(X, Y, sample_weight=np.ones(20))
    assert_allclose(weighted.predict(Z), plain.predict(Z), rtol=1e-12)
    assert_allclose(
        weighted.log_marginal_likelihood_value_, plain.log_marginal_likelihood_value_
    )


def test_zero_weight_leaves_the_row_out():
    gp = fixed().fit(X, Y, sample_weight=(W > 0).astype(float), noise_variance=NOISE)
    kept = fixed().fit(X[W > 0], Y[W > 0], noise_variance=NOISE[W > 0])
    assert len(gp.X_train_) == len(gp.y_train_) == (W > 0).sum()
    assert_allclose(gp.predict(Z), kept.predict(Z), rtol=1e-12)
    assert_allclose(gp.noise_variance_train_, NOISE[W > 0])


def test_normalisation_is_weighted():
    gp = fixed(normalize_y=True).fit(X, Y, sample_weight=W)
    repeated = Y.repeat(W)
    assert_allclose(gp.y_train_ * repeated.std() + repeated.mean(), Y[W > 0])


def test_constant_target_and_duplicates():
    gp = fixed(normalize_y=True).fit(X, np.full(20, 3.0), sample_weight=W)
    assert_allclose(gp.predict(Z), 3.0)
    twice = np.r_[X, X], np.r_[Y, Y]
    gp = fixed(alpha=1e-3).fit(*twice, sample_weight=np.r_[W, W])
    once = fixed(alpha=1e-3).fit(X, Y, sample_weight=2 * W)
    assert_allclose(gp.predict(Z), once.predict(Z), rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_any_scale(scale):
    w = np.linspace(0.1, 4, 20)
    base = fixed(normalize_y=True)
    base.fit(X, Y, sample_weight=w, noise_variance=NOISE)
    gp = fixed(normalize_y=True)
    gp.fit(X, scale * Y, sample_weight=w, noise_variance=scale**2 * NOISE)
    assert_allclose(gp.predict(Z), scale * base.predict(Z), rtol=1e-9)


def test_weights_without_any_noise_are_refused():
    gp = fixed(RBF(1.0), alpha=0.0)
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        gp.fit(X, Y, sample_weight=W)
    assert not hasattr(gp, "X_train_")


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (W[:-1], r"'sample_weight' parameter has shape \(19,\); allowed .*\(20,\)"),
        (np.ones((20, 2)), r"'sample_weight' .*\(20, 2\)"),
        (-W, "'sample_weight' .*not negative"),
        (np.where(W > 2, np.nan, W), "'sample_weight' .*finite"),
        (np.zeros(20), "'sample_weight' parameter is zero in every entry"),
        ("many", "'sample_weight' .*real numbers"),
    ],
)
def test_bad_weights(weight, message):
    gp = fixed()
    with pytest.raises(ValueError, match=message):
        gp.fit(X, Y, sample_weight=weight)
    assert vars(gp).keys() == vars(fixed()).keys()
    before = dict(vars(gp.fit(X, Y)))
    with pytest.raises(ValueError, match=message):
        gp.fit(X, Y, sample_weight=weight)
    assert all(vars(gp)[name] is value for name, value in before.items())


def test_float32_jitter_is_of_each_copy():
    """float32 enlarges the diagonal, for copies as for weights."""
    first, second = weighted_and_repeated(Y, kernel=RBF([0.7, 1.1]), dtype="float32")
    for gp in (first, second):
        gp.set_params(alpha=1e-5)
    first.fit(X, Y, sample_weight=W)
    second.fit(X.repeat(W, axis=0), Y.repeat(W))
    whole = fixed(RBF([0.7, 1.1]), dtype="float32").fit(X, Y)
    kept = (W > 0).sum()
    for gp in (first, second):
        assert len(gp.X_train_) == kept
        assert gp.jitter_ == pytest.approx(whole.jitter_ * (W.sum() + 50) / 70)
    assert_allclose(
        first.log_marginal_likelihood_value_,
        second.log_marginal_likelihood_value_,
        rtol=1e-6,
    )
    assert_allclose(first.predict(Z), second.predict(Z), rtol=1e-5)
    fit = {"sample_weight": W, "noise_variance": NOISE}
    single = fixed(dtype="float32").fit(X, Y, **fit)
    double = fixed().fit(X, Y, **fit)
    theta = KERNEL.theta + 0.1
    for name in ("log_marginal_likelihood", "loo_log_predictive_density"):
        value, gradient = getattr(single, name)(theta, eval_gradient=True)
        want, want_gradient = getattr(double, name)(theta, eval_gradient=True)
        assert_allclose(value, want, rtol=1e-3)
        assert_allclose(gradient, want_gradient, rtol=1e-2, atol=1e-2)


def test_score_takes_weights():
    gp = fixed().fit(X, Y)
    repeated = gp.score(X.repeat(W, axis=0), Y.repeat(W))
    assert_allclose(gp.score(X, Y, sample_weight=W), repeated)


def test_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        gp = fixed().set_fit_request(sample_weight=True, noise_variance=True)
        gp.set_score_request(sample_weight=True)
        params = {"sample_weight": W + 1.0, "noise_variance": NOISE}
        found = cross_validate(gp, X, Y, cv=2, params=params)["test_score"]
        fold = fixed().fit(
            X[10:], Y[10:], sample_weight=W[10:] + 1.0, noise_variance=NOISE[10:]
        )
        want = fold.score(X[:10], Y[:10], sample_weight=W[:10] + 1.0)
        assert_allclose(found[0], want)
        GridSearchCV(gp, {"alpha": [1e-3, 1e-2]}, cv=2).fit(X, Y, **params)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tensors(dtype):
    t = torch.as_tensor
    gp = fixed(dtype=dtype).fit(t(X), t(Y), sample_weight=t(W))
    mean, std = gp.predict(t(Z), return_std=True)
    assert isinstance(gp.sample_weight_train_, torch.Tensor)
    want, want_std = fixed().fit(X, Y, sample_weight=W).predict(Z, return_std=True)
    tolerance = 1e-9 if dtype == "float64" else 2e-3
    assert_allclose(mean, want, rtol=tolerance, atol=tolerance)
    assert_allclose(std, want_std, rtol=tolerance)


@pytest.mark.parametrize(
    "check",
    [
        "check_sample_weights_pandas_series",
        "check_sample_weights_not_an_array",
        "check_sample_weights_list",
        "check_all_zero_sample_weights_error",
        "check_sample_weights_shape",
        "check_sample_weights_not_overwritten",
        "check_sample_weight_equivalence_on_dense_data",
    ],
)
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_scikit_learn_checks(check):
    if not hasattr(estimator_checks, check):
        pytest.skip(f"scikit-learn {sklearn.__version__} has no {check}")
    getattr(estimator_checks, check)("TorchGPRegressor", TorchGPRegressor())


@pytest.mark.parametrize("alpha", [1e-3, "rows"])
def test_in_float32_weights_and_repetition_are_one_computation(alpha):
    rng = np.random.RandomState(0)
    X, y = rng.rand(20, 2), rng.randn(20)
    weight = rng.randint(0, 4, 20)
    noise = rng.choice([1e-3, 1e-2], 20) if alpha == "rows" else np.full(20, alpha)
    shuffled = rng.permutation(np.repeat(np.arange(20), weight))
    single = alpha != "rows"
    options = {"kernel": 1.0 * RBF() + WhiteKernel(0.1), "dtype": "float32"}
    weighted = TorchGPRegressor(alpha=alpha if single else noise, **options)
    weighted.fit(X, y, sample_weight=weight)
    repeated = TorchGPRegressor(alpha=alpha if single else noise[shuffled], **options)
    repeated.fit(X[shuffled], y[shuffled])
    for found, expected in zip(
        weighted.predict(X, return_std=True),
        repeated.predict(X, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    assert weighted.X_train_.shape == repeated.X_train_.shape == ((weight > 0).sum(), 2)


def test_one_weight_for_all_rows():
    gp = fixed().fit(X, Y, sample_weight=2.0)
    want = fixed().fit(X, Y, sample_weight=np.full(20, 2.0))
    assert_allclose(gp.predict(Z), want.predict(Z), rtol=1e-12)
    assert abs(gp.predict(Z) - fixed().fit(X, Y).predict(Z)).max() > 1e-4


@pytest.mark.parametrize("n_values", [2, 6, 10**6])
@pytest.mark.parametrize("kind", [float, int, np.float32, "by columns"])
def test_a_look_without_sorting_finds_equal_rows(n_values, kind):
    X = np.random.RandomState(0).randint(n_values, size=(40, 2)) - 1
    X = np.asfortranarray(X, float) if kind == "by columns" else X.astype(kind)
    index, _, _ = distinct_rows(X, [])
    assert all_differ(X) == (len(index) == len(X))
    assert not all_differ(np.array([[0.0, 1.0], [-0.0, 1.0]]))
    assert all_differ(X[:1])
