"""Kernels that look at the data before they are optimised."""

import numpy as np
import pytest
from kernel_zoo import rows
from numpy.testing import assert_allclose
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    WhiteKernel,
)

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp.kernels import (
    ChangePoint,
    SpectralMixture,
)

X = rows(14)
Y = np.sin(4 * X[:, 0]) + X[:, 1]
THREE = np.array(["a", "b", "c"])[np.argsort(np.argsort(Y)) * 3 // len(Y)]


def wave_of_two():
    x = np.sort(np.random.RandomState(0).uniform(0, 20, 120))
    y = np.sin(2 * np.pi * 0.7 * x) + 0.5 * np.cos(2 * np.pi * 1.9 * x)
    return x[:, None], y + 0.05 * np.random.RandomState(1).randn(120)


def test_a_spectral_mixture_starts_at_the_peaks():
    X, y = wave_of_two()
    kernel = SpectralMixture(2).start(X, y)
    assert_allclose(kernel.means[:, 0], [0.7, 1.9], atol=0.05)
    assert kernel.weights[0] > 2 * kernel.weights[1]
    assert kernel.weights.sum() == pytest.approx(np.var(y))
    again = SpectralMixture(2, means=[0.5, 1.0]).start(X, y)
    assert again.means == [0.5, 1.0]
    assert again.scales.shape == (2, 1)
    noise = WhiteKernel(0.01)
    started = TorchGPRegressor(SpectralMixture(2) + noise).fit(X[:80], y[:80])
    assert_allclose(started.kernel_.k1.means[:, 0], [0.7, 1.9], atol=0.02)
    assert started.kernel.k1.means is None
    ahead = np.abs(started.predict(X[80:90]) - y[80:90]).max()
    assert ahead < 0.5
    blind = SpectralMixture(2, [0.5, 0.5], [0.25, 0.5], [0.25, 0.25]) + noise
    blind = TorchGPRegressor(blind).fit(X[:80], y[:80])
    value = "log_marginal_likelihood_value_"
    assert getattr(started, value) > getattr(blind, value) + 10


def test_a_spectral_mixture_of_several_features_and_classes():
    kernel = SpectralMixture(3) + WhiteKernel(0.1)
    model = TorchGPRegressor(kernel, optimizer=None).fit(X, np.c_[Y, Y])
    assert model.kernel_.k1.means.shape == (3, 3)
    model = TorchGPClassifier(SpectralMixture(2), optimizer=None).fit(X, THREE)
    assert model.kernel_.kernels[0].means.shape == (2, 3)
    for few in (X[:1], np.repeat(X[:1], 4, axis=0)):
        one = TorchGPRegressor(kernel, optimizer=None).fit(few, Y[: len(few)])
        assert np.isfinite(one.kernel_.theta).all()
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(X, Y)
    assert np.isfinite(theirs.predict(X)).all()


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_a_change_point_is_found(scale):
    rng = np.random.RandomState(0)
    x = np.linspace(0, 10, 80)
    y = np.where(x < 6.3, 0.0, np.sin(9 * x)) + 0.05 * rng.randn(80)
    bounds = (1e-3 * scale, 1e3 * scale)
    before, after = (RBF(s * scale, length_scale_bounds=bounds) for s in (3.0, 0.2))
    kernel = ChangePoint(
        before, 1.0 * after, 5.0 * scale, 2.0 / scale,
        steepness_bounds=(1e-2 / scale, 1e2 / scale),
    )  # fmt: skip
    model = TorchGPRegressor(kernel + WhiteKernel(0.01), warm_start=True)
    model.fit(scale * x[:, None], y)
    found = model.kernel_.k1
    assert found.location / scale == pytest.approx(6.3, abs=0.3)
    assert found.location_bounds == (0.0, 10.0 * scale)
    # Other rows, other units in theta: a warm start does not mistake one for the other.
    model.set_params(optimizer=None).fit(2 * scale * x[:, None], y)
    assert model.kernel_.k1.location in (found.location, 5.0 * scale)
