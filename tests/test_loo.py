"""Leave-one-out in closed form against n refits, and as an objective."""

import numpy as np
import pytest
import torch
from helpers import KERNEL, fixed, numeric_gradient
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPRegressor

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (16, 2))
W = RNG.uniform(0.2, 4, 16)
NOISE = RNG.uniform(0.01, 0.5, 16)
Y = np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.randn(16)
Y2 = np.c_[Y, 3 * np.cos(X[:, 0]) + 0.1 * RNG.randn(16)]


def by_refits(gp, y, weight=None, noise=None):
    """Each row predicted, with the noise of one copy, by a fit without it."""
    means, stds = [], []
    for i in range(len(X)):
        rows = np.delete(np.arange(len(X)), i)
        alpha = gp.alpha if np.ndim(gp.alpha) == 0 else gp.alpha[rows]
        other = fixed(alpha=alpha).fit(
            X[rows],
            y[rows],
            sample_weight=None if weight is None else weight[rows],
            noise_variance=None if noise is None else noise[rows],
        )
        extra = 0.0 if noise is None else noise[i : i + 1]
        if np.ndim(gp.alpha):
            extra = extra + gp.alpha[i : i + 1]
        mean, std = other.predict(
            X[i : i + 1], return_std=True, include_noise=True, noise_variance=extra
        )
        means.append(mean[0])
        stds.append(std[0])
    return np.array(means), np.array(stds)


@pytest.mark.parametrize(
    ("y", "noise"),
    [(Y, None), (Y, NOISE), (Y2, None), (Y2, NOISE), (Y2, np.c_[NOISE, 3 * NOISE])],
    ids=["one", "one-rows", "two", "two-rows", "two-targets"],
)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weights"])
@pytest.mark.parametrize("alpha", [0.02, NOISE[::-1]], ids=["scalar", "array"])
def test_is_n_refits(y, weight, noise, alpha):
    gp = fixed(alpha=alpha).fit(X, y, sample_weight=weight, noise_variance=noise)
    mean, std = gp.loo_predict(return_std=True)
    want, want_std = by_refits(gp, y, weight, noise)
    assert_allclose(mean, want, rtol=1e-8, atol=1e-10)
    assert_allclose(std, want_std, rtol=1e-8)
    assert_allclose(gp.loo_predict(), mean)


def test_the_scale_of_all_rows_is_kept():
    y = 50 * Y + 1000
    gp = fixed(normalize_y=True, alpha=0.02).fit(X, y, noise_variance=2500 * NOISE)
    scaled = fixed(alpha=0.02)
    unit = (y - y.mean()) / y.std()
    scaled.fit(X, unit, noise_variance=2500 * NOISE / y.var())
    mean, std = gp.loo_predict(return_std=True)
    want, want_std = by_refits(scaled, unit, None, 2500 * NOISE / y.var())
    assert_allclose(mean, want * y.std() + y.mean(), rtol=1e-9)
    assert_allclose(std, want_std * y.std(), rtol=1e-9)


def test_weights_are_left_out_with_all_copies():
    w = RNG.randint(1, 4, 16)
    weighted = fixed(alpha=0.02).fit(X, Y, sample_weight=w)
    mean, std = weighted.loo_predict(return_std=True)
    for i in range(len(X)):
        keep = np.repeat(np.arange(16), w) != i
        other = fixed(alpha=0.02).fit(X.repeat(w, 0)[keep], Y.repeat(w)[keep])
        got = other.predict(X[i : i + 1], return_std=True, include_noise=True)
        assert_allclose([mean[i], std[i]], np.ravel(got), rtol=1e-7)


def test_zero_weight_rows_are_no_rows():
    w = np.where(W > 1, W, 0)
    gp = fixed().fit(X, Y, sample_weight=w)
    kept = fixed().fit(X[w > 0], Y[w > 0], sample_weight=w[w > 0])
    assert_allclose(gp.loo_predict(), kept.loo_predict())


def test_large_n_against_refits():
    rng = np.random.RandomState(1)
    x, y = rng.uniform(0, 20, (700, 1)), rng.randn(700)
    gp = TorchGPRegressor(RBF() + WhiteKernel(), optimizer=None).fit(x, y)
    mean, std = gp.loo_predict(return_std=True)
    for i in (0, 350, 699):
        rows = np.delete(np.arange(700), i)
        other = TorchGPRegressor(gp.kernel, optimizer=None).fit(x[rows], y[rows])
        want = other.predict(x[i : i + 1], return_std=True, include_noise=True)
        assert_allclose([mean[i], std[i]], np.ravel(want), rtol=1e-8)


@pytest.mark.parametrize(
    ("y", "noise"),
    [(Y, None), (Y, NOISE), (Y2, None), (Y2, NOISE), (Y2, np.c_[NOISE, 3 * NOISE])],
    ids=["one", "one-rows", "two", "two-rows", "two-targets"],
)
@pytest.mark.parametrize("weight", [None, W], ids=["", "weights"])
def test_objective_is_the_sum_of_log_densities(y, weight, noise):
    gp = fixed(alpha=0.02, objective="loo")
    gp.fit(X, y, sample_weight=weight, noise_variance=noise)
    log_density = norm.logpdf(y, *by_refits(gp, y, weight, noise))
    copies = np.ones(16) if weight is None else weight
    want = (copies @ log_density.reshape(16, -1)).sum()
    assert_allclose(gp.objective_value_, want, rtol=1e-9)
    assert_allclose(gp.loo_log_predictive_density(), want, rtol=1e-9)
    theta = KERNEL.theta + 0.1
    value, gradient = gp.loo_log_predictive_density(theta, eval_gradient=True)
    assert_allclose(value, gp.loo_log_predictive_density(theta))
    numeric = numeric_gradient(gp.loo_log_predictive_density, theta)
    assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


def test_another_theta_is_only_asked_about():
    gp = fixed().fit(X, Y)
    gp.loo_log_predictive_density(KERNEL.theta + 1)
    gp.loo_log_predictive_density(KERNEL.theta + 1, eval_gradient=True)
    assert_allclose(gp.kernel_.theta, KERNEL.theta)


def test_the_evidence_keeps_its_name():
    loo = TorchGPRegressor(KERNEL, objective="loo").fit(X, Y)
    lml = TorchGPRegressor(KERNEL).fit(X, Y)
    assert lml.objective_value_ == lml.log_marginal_likelihood_value_
    theta = loo.kernel_.theta
    value = loo.log_marginal_likelihood(theta)
    assert_allclose(loo.log_marginal_likelihood_value_, value)
    assert loo.objective_value_ > loo.loo_log_predictive_density(lml.kernel_.theta)
    assert lml.log_marginal_likelihood_value_ > value
    assert loo.optimizer_results_[0].value == loo.objective_value_


def test_a_maximum_has_no_slope():
    gp = TorchGPRegressor(KERNEL, objective="loo", normalize_y=True).fit(X, Y)
    _, gradient = gp.loo_log_predictive_density(gp.kernel_.theta, eval_gradient=True)
    lower, upper = gp.kernel_.bounds.T
    inside = (gp.kernel_.theta > lower + 1e-6) & (gp.kernel_.theta < upper - 1e-6)
    assert inside.any()
    assert_allclose(gradient[inside], 0, atol=1e-3)


def test_equal_rows_are_left_out_one_by_one():
    twice = np.r_[X, X], np.r_[Y, Y]
    gp = TorchGPRegressor(KERNEL, objective="loo").fit(*twice)
    value = gp.loo_log_predictive_density()
    assert_allclose(gp.objective_value_, value, rtol=1e-9)


def test_callable_objective():
    """A prior on theta: the maximum of the posterior of the hyperparameters."""

    def with_prior(gp, theta, eval_gradient):
        if not eval_gradient:
            return gp.log_marginal_likelihood(theta) - 50 * theta @ theta
        value, gradient = gp.log_marginal_likelihood(theta, eval_gradient=True)
        return value - 50 * theta @ theta, gradient - 100 * theta

    free = TorchGPRegressor(KERNEL).fit(X, Y)
    held = TorchGPRegressor(KERNEL, objective=with_prior).fit(X, Y)
    assert abs(held.kernel_.theta).max() < abs(free.kernel_.theta).max()
    value = with_prior(held, held.kernel_.theta, False)
    assert_allclose(held.objective_value_, value)
    assert_allclose(
        held.log_marginal_likelihood_value_,
        held.log_marginal_likelihood(held.kernel_.theta),
    )
    only = TorchGPRegressor(KERNEL, objective=with_prior, optimizer=None).fit(X, Y)
    assert_allclose(only.objective_value_, with_prior(only, KERNEL.theta, False))


def test_callable_without_gradient_is_told():
    gp = TorchGPRegressor(KERNEL, objective=lambda gp, theta, eval_gradient: 1.0)
    with pytest.raises(ValueError, match=r"'objective' callable .*\(4,\).*Got 1\.0"):
        gp.fit(X, Y)
    assert not hasattr(gp, "n_features_in_")


@pytest.mark.parametrize("objective", ["LML", "press", None])
def test_unknown_objective(objective):
    gp = fixed(objective=objective)
    with pytest.raises(ValueError, match="'objective' parameter .*"):
        gp.fit(X, Y)
    assert not hasattr(gp, "n_features_in_")


def test_before_fit():
    with pytest.raises(NotFittedError):
        fixed().loo_predict()
    with pytest.raises(NotFittedError):
        fixed().loo_log_predictive_density()


def test_interrupted_fit_leaves_nothing():
    def interrupt(gp, theta, eval_gradient):
        raise KeyboardInterrupt

    gp = TorchGPRegressor(KERNEL, objective=interrupt)
    with pytest.raises(KeyboardInterrupt):
        gp.fit(X, Y)
    assert vars(gp).keys() == vars(TorchGPRegressor()).keys()


def test_one_row():
    gp = fixed(alpha=0.1).fit(X[:1], Y[:1])
    mean, std = gp.loo_predict(return_std=True)
    assert_allclose(mean, 0, atol=1e-12)
    assert_allclose(std**2, 1.3 + 0.05 + 0.1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tensors(dtype):
    gp = fixed(dtype=dtype, objective="loo", alpha=0.01)
    gp.fit(torch.as_tensor(X), torch.as_tensor(Y))
    mean, std = gp.loo_predict(return_std=True)
    assert isinstance(mean, torch.Tensor)
    want, want_std = fixed(alpha=0.01).fit(X, Y).loo_predict(return_std=True)
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    assert_allclose(mean, want, rtol=tolerance, atol=tolerance)
    assert_allclose(std, want_std, rtol=tolerance)


@pytest.mark.parametrize("noise", [None, NOISE, np.c_[NOISE, 3 * NOISE]])
@pytest.mark.parametrize("weight", [None, W])
@pytest.mark.parametrize("y", [Y, Y2])
def test_float32_answers_for_the_rows_given(y, weight, noise):
    """There equal rows are merged: each of them is left out by itself all the same."""
    if y is Y and np.ndim(noise) == 2:
        noise = noise[:, 0]
    rows = np.r_[np.arange(16), 3, 5, 5]
    fit = {
        "sample_weight": None if weight is None else weight[rows],
        "noise_variance": None if noise is None else noise[rows],
    }
    found = fixed(dtype="float32").fit(X[rows], y[rows], **fit)
    want = fixed().fit(X[rows], y[rows], **fit)
    assert len(found.X_train_) == 16
    answers = (gp.loo_predict(return_std=True) for gp in (found, want))
    for a, b in zip(*answers, strict=True):
        assert_allclose(a, b, rtol=2e-3, atol=2e-3)


def test_float32_leaves_the_rows_of_partial_fit_out_by_themselves():
    first, more = np.r_[0:10, 2, 2], np.r_[10:16]
    found = fixed(dtype="float32").fit(X[first], Y[first])
    found.partial_fit(X[more], Y[more])
    rows = np.r_[first, more]
    want = fixed().fit(X[rows], Y[rows])
    assert_allclose(found.loo_predict(), want.loo_predict(), rtol=2e-3, atol=2e-3)


def test_float32_objective_leaves_out_one_of_equal_rows():
    rows = np.arange(16).repeat(2)
    found, want = (
        fixed(dtype=dtype, objective="loo").fit(X[rows], Y[rows])
        for dtype in ("float32", "float64")
    )
    assert_allclose(found.objective_value_, want.objective_value_, rtol=1e-3)
    assert_allclose(found.X_train_, want.X_train_)


def test_float32_says_no_less_than_the_noise():
    """Of merged rows a copy is put back: round-off takes nothing off its noise."""
    rows = np.arange(16).repeat(2)
    gp = fixed(1e-6 * RBF(1.0), alpha=0.5, dtype="float32").fit(X[rows], Y[rows])
    assert len(gp.X_train_) == 16
    gp.L_ = 0.9 * gp.L_  # as if round-off had made the variances that much smaller
    _, std = gp.loo_predict(return_std=True)
    assert_allclose(std, np.sqrt(0.5), rtol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_a_row_that_the_trend_needs_is_known_despite_round_off(seed):
    """A turned and stretched plane: its P_ii is zero but for round-off."""
    rng = np.random.RandomState(seed)
    rows = np.c_[rng.randn(9), np.zeros(9)]
    rows[4, 1] = 1.0  # the fifth row alone tells the second direction
    turned = 100 * rows @ np.linalg.qr(rng.randn(2, 2))[0] + 1e3
    gp = fixed(RBF(50.0), mean="linear", alpha=0.01).fit(turned, rng.randn(9))
    mean, std = gp.loo_predict(return_std=True)
    assert np.isnan(mean[4])
    assert np.isinf(std[4])
    assert np.isfinite(np.delete(std, 4)).all()
