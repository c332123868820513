"""Intervals, quantiles, densities and draws of noisy observations."""

import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPRegressor

KERNEL = 1.3 * RBF([0.7, 1.1]) + WhiteKernel(0.05)
RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (20, 2))
Y = np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.randn(20)
Y2 = np.c_[Y, 100 + 30 * np.cos(X[:, 0]) + RNG.randn(20)]
Z = RNG.uniform(-2, 2, (7, 2))
NEW = RNG.uniform(0, 1, 7)


def fitted(y=Y, **params):
    params = {"alpha": 0.02, "normalize_y": True, **params}
    return TorchGPRegressor(KERNEL, optimizer=None, **params).fit(X, y)


def noisy(gp, **options):
    return gp.predict(Z, return_std=True, include_noise=True, **options)


@pytest.mark.parametrize("coverage", [0.5, 0.95])
@pytest.mark.parametrize("mean", ["zero", "linear", Ridge()])
def test_interval(coverage, mean):
    gp = fitted(mean=mean)
    low, high = norm.interval(coverage, *noisy(gp, noise_variance=NEW))
    got = gp.predict_interval(Z, coverage, noise_variance=NEW)
    assert got.shape == (7, 2)
    assert_allclose(got, np.c_[low, high], rtol=1e-9)
    assert_allclose(
        gp.predict_interval(Z),
        np.transpose(norm.interval(0.95, *noisy(gp))),
        rtol=1e-9,
    )


def test_quantiles():
    gp, q = fitted(), [0.1, 0.5, 0.9]
    mean, std = noisy(gp)
    want = norm.ppf(np.array(q), mean[:, None], std[:, None])
    assert_allclose(gp.predict_quantiles(Z, q), want, rtol=1e-9)
    assert_allclose(gp.predict_quantiles(Z, [0.5])[:, 0], mean, rtol=1e-12)


def test_density():
    gp = fitted()
    y = RNG.randn(7)
    want = norm.logpdf(y, *noisy(gp, noise_variance=NEW))
    assert_allclose(gp.log_predictive_density(Z, y, noise_variance=NEW), want)


def test_several_targets_are_a_last_axis():
    gp = fitted(Y2)
    y = np.c_[NEW, 100 + NEW]
    assert gp.predict_interval(Z).shape == (7, 2, 2)
    assert gp.predict_quantiles(Z, [0.1, 0.2, 0.3]).shape == (7, 3, 2)
    assert gp.log_predictive_density(Z, y).shape == (7, 2)
    for j in range(2):
        one = fitted(Y2[:, j])
        assert_allclose(gp.predict_interval(Z)[..., j], one.predict_interval(Z))
        assert_allclose(
            gp.log_predictive_density(Z, y)[:, j],
            one.log_predictive_density(Z, y[:, j]),
        )


def test_intervals_cover():
    rng = np.random.RandomState(1)
    x = rng.uniform(-3, 3, (600, 1))
    known = rng.uniform(0.01, 1, 600)
    y = np.sin(x[:, 0]) + np.sqrt(known) * rng.randn(600)
    gp = TorchGPRegressor(RBF(1.0), optimizer=None)
    gp.fit(x[:200], y[:200], noise_variance=known[:200])
    interval = gp.predict_interval(x[200:], 0.8, noise_variance=known[200:])
    inside = (interval[:, 0] < y[200:]) & (y[200:] < interval[:, 1])
    assert 0.74 < inside.mean() < 0.86


def test_before_fit_the_prior_speaks():
    gp = TorchGPRegressor(KERNEL, alpha=0.02)
    half = 1.959963984540054 * np.sqrt(1.3 + 0.05 + 0.02)
    assert_allclose(gp.predict_interval(Z), np.tile([-half, half], (7, 1)))


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 95, np.nan, "all", None, True])
def test_bad_coverage(coverage):
    with pytest.raises(ValueError, match="'coverage' parameter .*between 0 and 1"):
        fitted().predict_interval(Z, coverage)


@pytest.mark.parametrize("quantiles", [0.5, [], [0.0], [0.5, 1.1], [np.nan], ["a"]])
def test_bad_quantiles(quantiles):
    with pytest.raises(ValueError, match="'quantiles' parameter .*between 0 and 1"):
        fitted().predict_quantiles(Z, quantiles)


@pytest.mark.parametrize("y", [NEW[:3], np.c_[NEW, NEW], 1.0])
def test_bad_y(y):
    with pytest.raises(ValueError, match=r"y has shape .*\(7,\)"):
        fitted().log_predictive_density(Z, y)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tensors(dtype):
    t = torch.as_tensor
    gp = TorchGPRegressor(KERNEL, optimizer=None, alpha=0.02, dtype=dtype)
    gp.fit(t(X), t(Y))
    for got in (
        gp.predict_interval(t(Z)),
        gp.predict_quantiles(t(Z), t([0.2, 0.4])),
        gp.log_predictive_density(t(Z), t(NEW), noise_variance=t(NEW)),
        *gp.predict_gradient(t(Z), return_std=True),
        gp.sample_y(t(Z)),
        gp.sample_paths(2, random_state=0, n_features=16)(t(Z)),
    ):
        assert isinstance(got, torch.Tensor)
        assert torch.isfinite(got).all()


class TestSampleY:
    @pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
    @pytest.mark.parametrize("seed", [0, 42])
    def test_draws_are_those_of_scikit_learn(self, y, seed):
        params = {"kernel": KERNEL, "optimizer": None, "normalize_y": True}
        ours = TorchGPRegressor(**params).fit(X, y)
        theirs = GaussianProcessRegressor(**params).fit(X, y)
        got = ours.sample_y(Z, 3, random_state=seed)
        assert_allclose(got, theirs.sample_y(Z, 3, random_state=seed), rtol=1e-5)

    def test_any_seed(self):
        gp = fitted()
        assert_allclose(gp.sample_y(Z), gp.sample_y(Z))
        state = np.random.RandomState(3)
        assert abs(gp.sample_y(Z, 1, state) - gp.sample_y(Z, 1, state)).max() > 1e-3
        assert gp.sample_y(Z, 2, None).shape == (7, 2)

    def test_singular_covariance(self):
        """Many near-copies of one row; NumPy's own sampler warns of them."""
        gp = TorchGPRegressor(RBF(100.0), optimizer=None).fit(X, Y)
        rows = 1 + 1e-6 * RNG.randn(120, 2)
        draws = gp.sample_y(rows, 5, random_state=1)
        assert np.isfinite(draws).all()
        assert np.ptp(draws, axis=0).max() < 0.1

    def test_moments(self):
        gp = fitted()
        draws = gp.sample_y(Z, 20000, random_state=0)
        mean, cov = gp.predict(Z, return_cov=True)
        assert_allclose(draws.mean(axis=1), mean, atol=0.05)
        assert_allclose(np.cov(draws), cov, atol=0.05)


def test_outputs_pass_no_pipeline_but_predict_does():
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), fitted()).fit(X, Y)
        mean, std = pipe.predict(Z, return_std=True, include_noise=True)
        scaled = pipe[0].transform(Z)
        want = pipe[1].predict(scaled, return_std=True, include_noise=True)
        assert_allclose([mean, std], want)
    for name in ("predict_interval", "predict_quantiles", "log_predictive_density"):
        assert hasattr(pipe[1], name)
        assert not hasattr(pipe, name)


def test_gradient_and_paths_need_a_fit():
    for method in (
        lambda gp: gp.predict_gradient(Z),
        lambda gp: gp.sample_paths(),
    ):
        with pytest.raises(NotFittedError):
            method(TorchGPRegressor(KERNEL))
