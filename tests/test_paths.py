"""Paths are functions, and their law is the posterior's."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import chdtri
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Exponentiation,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.linear_model import Ridge

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._covariance.features import PriorPaths, terms
from sklearn_torchgp._covariance.tails import tail_probabilities, upper_quantiles

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (12, 2))
Y = np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.randn(12)
Y2 = np.c_[Y, 100 + 30 * np.cos(X[:, 0]) + RNG.randn(12)]
Z = RNG.uniform(-3, 3, (6, 2))
WHITE = WhiteKernel(0.05)


@pytest.mark.parametrize(
    "kernel",
    [
        RBF([0.7, 1.1]),
        *(Matern([0.7, 1.1], nu=nu) for nu in (0.5, 1.5, 2.2, np.inf)),
        RationalQuadratic(0.8, 1.7),
        DotProduct(0.7),
        ConstantKernel(2.0),
        2.0 * RBF(1.0) * Matern(0.8) + DotProduct(0.5) * RBF(2.0) + WHITE,
        Exponentiation(DotProduct(0.7) + RBF(), 2),
    ],
    ids=str,
)
def test_the_prior_has_the_kernel_as_covariance(kernel):
    rng = np.random.RandomState(0)
    values = sum(PriorPaths(term, 8, 6000, 2, rng)(Z).numpy() for term in terms(kernel))
    K = kernel(Z, Z)
    scale = np.sqrt(np.outer(np.diag(K), np.diag(K)))
    assert_allclose(np.cov(values) / scale, K / scale, atol=0.09)


def test_periodic_prior():
    kernel, x = ExpSineSquared(0.8, 1.5), np.linspace(0, 4, 9)[:, None]
    paths = PriorPaths(terms(kernel)[0], 8, 6000, 1, np.random.RandomState(0))
    assert_allclose(np.cov(paths(x).numpy()), kernel(x), atol=0.06)
    assert_allclose(paths(x + 1.5), paths(x), atol=1e-9)


@pytest.mark.parametrize("mean", ["zero", "constant", "linear", Ridge()])
@pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
@pytest.mark.parametrize("known", [False, True])
def test_the_law_is_the_posterior(mean, y, known):
    kernel = 1.3 * RBF([0.7, 1.1]) + 0.2 * Matern(2.0) + WHITE
    gp = TorchGPRegressor(kernel, optimizer=None, mean=mean, normalize_y=True)
    extra = {}
    if known:
        noise = RNG.uniform(0.01, 0.3, y.shape)
        extra = {"noise_variance": noise, "sample_weight": RNG.uniform(0.5, 3, 12)}
    gp.fit(X, y, **extra)
    paths = gp.sample_paths(4000, random_state=0, n_features=16)(Z)
    paths = paths.reshape(6, -1, 4000)
    mean, cov = gp.predict(Z, return_cov=True, include_noise=False)
    mean, cov = mean.reshape(6, -1), cov.reshape(6, 6, -1)
    for j in range(mean.shape[1]):
        std = np.sqrt(np.diag(cov[..., j]))
        error = (paths[:, j].mean(axis=1) - mean[:, j]) / std
        assert_allclose(error, 0, atol=0.08)
        unit = np.outer(std, std)
        assert_allclose(np.cov(paths[:, j]) / unit, cov[..., j] / unit, atol=0.12)


@pytest.mark.parametrize(
    ("kernel", "d"),
    [
        (RBF(1.0), 2),
        (Matern(1.0, nu=1.5), 1),
        (RationalQuadratic(1.0, 1.0), 1),
        (ExpSineSquared(0.7, 3.0), 1),
        (DotProduct(1.0) * RBF(1.0), 1),
        (RBF(1.0) + 0.01 * Matern(0.3), 1),
        (RBF(2.0) * Matern(2.0, nu=1.5), 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("noise", [1e-4, 1e-6])
def test_single_paths_have_no_heavy_tails(kernel, d, noise):
    """Where data leave little room the frequencies of the tail are all there is."""
    rng = np.random.RandomState(0)
    rows = rng.rand(100, d) * 4
    new = np.vstack([rng.rand(15, d) * 4, 2 + rng.rand(3, d) * 4])
    gp = TorchGPRegressor(kernel, alpha=noise, optimizer=None)
    gp.fit(rows, np.sin(rows.sum(axis=1)))
    paths = gp.sample_paths(1500, random_state=0)(new)
    mean, std = gp.predict(new, return_std=True)
    unit = (paths - mean[:, None]) / std[:, None]
    # Of normal draws the largest of 18 is about 3.4.
    assert (unit**4).mean(axis=1).max() < 4
    assert_allclose(unit.mean(axis=1), 0, atol=0.1)
    assert_allclose(unit.var(axis=1), 1, atol=0.15)


@pytest.mark.parametrize("n_features", [1, 2, 7, 1000])
def test_tail_probabilities_are_uniform_under_their_weights(n_features):
    u, weight = tail_probabilities(np.random.RandomState(0), (40000, n_features))
    assert (weight <= 2).all()
    for level in (1e-6, 1e-3, 0.1, 0.7):
        error = 3 / np.sqrt(weight.size * level)  # with no help of strata
        share = (weight * (u < level)).mean()
        assert share == pytest.approx(level, rel=min(error, 0.5))


@pytest.mark.parametrize("quantile", [lambda u: chdtri(1, u), lambda u: chdtri(9, u)])
def test_quantiles_by_interpolation(quantile):
    u = np.r_[np.logspace(-30, -1, 200), np.linspace(0.1, 0.99999, 200)]
    assert_allclose(upper_quantiles(quantile, u), quantile(u), rtol=2e-5)


def test_paths_are_functions():
    gp = TorchGPRegressor(RBF() + WHITE, optimizer=None).fit(X, Y)
    paths = gp.sample_paths(3, random_state=0)
    whole = paths(Z)
    assert whole.shape == (6, 3)
    single = np.vstack([paths(row[None]) for row in Z])
    assert_allclose(single, whole, rtol=1e-9, atol=1e-12)
    assert_allclose(pickle.loads(pickle.dumps(paths))(Z), whole)
    again = gp.sample_paths(3, random_state=0)
    assert_allclose(again(Z), whole)
    gp.log_marginal_likelihood(gp.kernel_.theta + 1, clone_kernel=False)
    assert_allclose(paths(Z), whole)
    gp.set_params(kernel=Matern()).fit(X[:5], -Y[:5])
    assert_allclose(paths(Z), whole)


@pytest.mark.parametrize("mean", ["zero", "linear"])
def test_rows_may_be_read_only(mean):
    """Those of a pandas frame are; torch would warn, once in a process."""
    gp = TorchGPRegressor(RBF(1.0) + WHITE, optimizer=None, mean=mean).fit(X, Y)
    paths, frozen = gp.sample_paths(2, random_state=0), Z.copy()
    frozen.flags.writeable = False
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        assert_allclose(paths(frozen), paths(Z))
    finally:
        torch.set_warn_always(before)


def test_noise_free_paths_interpolate():
    gp = TorchGPRegressor(Matern(), optimizer=None).fit(X, Y)
    paths = gp.sample_paths(5, random_state=0)
    assert_allclose(paths(X), np.tile(Y[:, None], 5), atol=1e-3)
    assert np.ptp(paths(Z), axis=1).min() > 1e-3


def test_many_rows():
    gp = TorchGPRegressor(RBF() + WHITE, optimizer=None).fit(X, Y)
    rows = RNG.uniform(-2, 2, (10000, 2))
    values = gp.sample_paths(2, random_state=0, n_features=64)(rows)
    assert values.shape == (10000, 2)
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (PairwiseKernel() + WHITE, "'kernel' .*without random features"),
        (Exponentiation(RBF(), 0.5), "'kernel' .*without random features"),
        (ExpSineSquared() + WhiteKernel(5.0), "'kernel' .*one dimension"),
        (WHITE, "'kernel' .*white noise only"),
    ],
    ids=str,
)
def test_kernels_without_features(kernel, message):
    gp = TorchGPRegressor(kernel, optimizer=None, alpha=0.1).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        gp.sample_paths()


@pytest.mark.parametrize("name", ["n_paths", "n_features"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "many"])
def test_bad_numbers(name, value):
    gp = TorchGPRegressor(RBF(), optimizer=None, alpha=0.1).fit(X, Y)
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        gp.sample_paths(**{name: value})
