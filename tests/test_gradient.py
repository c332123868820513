"""Gradients of predictions against central differences, for every kernel."""

import warnings

import numpy as np
import pytest
from helpers import numeric_gradient
from numpy.testing import assert_allclose
from sklearn.ensemble import RandomForestRegressor
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
from sklearn.gaussian_process.tests._mini_sequence_kernel import MiniSeqKernel
from sklearn.linear_model import Ridge

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.exceptions import KernelFallbackWarning

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (20, 2))
Y = np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.randn(20)
Y2 = np.c_[Y, 100 + 30 * np.cos(X[:, 0]) + RNG.randn(20)]
Z = RNG.uniform(-2, 2, (5, 2))


class Unknown(RBF):
    """A user's kernel without a torch function."""

    def __call__(self, X, Y=None, eval_gradient=False):
        if eval_gradient:
            K, gradient = super().__call__(X, Y, eval_gradient)
            return K, gradient
        return super().__call__(X, Y)


KERNELS = [
    2.0 * RBF([0.7, 1.1]),
    *(Matern([0.7, 1.1], nu=nu) for nu in (0.5, 1.0, 1.5, 2.2, 2.5, np.inf)),
    RationalQuadratic(0.8, 1.7),
    ExpSineSquared(2.0, 12.0),
    DotProduct(0.7) + WhiteKernel(0.3),
    Exponentiation(DotProduct(0.7), 2) * RBF(1.0),
    (ConstantKernel(0.5) + WhiteKernel(0.2)) * DotProduct(1.0) + RBF(1.0),
    PairwiseKernel(metric="rbf", gamma=0.7) + ConstantKernel(0.3),
    Unknown(0.9) * ConstantKernel(2.0),
]


def assert_is_gradient(gp, rtol=1e-5, atol=1e-6):
    mean, std = gp.predict_gradient(Z, return_std=True)
    assert mean.shape == std.shape
    assert_allclose(mean, numeric_gradient(gp.predict, Z), rtol=rtol, atol=atol)
    want = numeric_gradient(lambda Z: gp.predict(Z, return_std=True)[1], Z)
    assert_allclose(std, want, rtol=rtol, atol=atol)
    assert_allclose(gp.predict_gradient(Z), mean)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_every_kernel(kernel):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KernelFallbackWarning)
        gp = TorchGPRegressor(kernel, optimizer=None, alpha=0.1).fit(X, Y)
        assert_is_gradient(gp)
        for gradient in gp.predict_gradient(X, return_std=True):
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("mean", ["zero", "constant", "linear", Ridge()])
@pytest.mark.parametrize("noise", [None, np.c_[Y**2, np.ones(20)]])
def test_targets_and_trends(mean, noise):
    kernel = 1.3 * RBF([0.7, 1.1]) + WhiteKernel(0.05)
    gp = TorchGPRegressor(kernel, optimizer=None, mean=mean, normalize_y=True)
    gp.fit(X, Y2, noise_variance=noise)
    assert gp.predict_gradient(Z).shape == (5, 2, 2)
    assert_is_gradient(gp, atol=1e-5)


def test_many_rows_and_features():
    rng = np.random.RandomState(1)
    x, y = rng.randn(300, 6), rng.randn(300)
    gp = TorchGPRegressor(RBF(2.0) + WhiteKernel(), optimizer=None).fit(x, y)
    new = rng.randn(700, 6)
    whole = gp.predict_gradient(new, return_std=True)
    parts = [gp.predict_gradient(new[i : i + 1], return_std=True) for i in (0, 500)]
    for a, b in zip(whole, np.concatenate(parts, axis=1), strict=True):
        assert_allclose(a[[0, 500]], b, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Predicted variances smaller than 0")
@pytest.mark.parametrize("nu", [0.5, 1.5, np.inf])
def test_finite_at_noise_free_training_rows(nu):
    gp = TorchGPRegressor(Matern(nu=nu), optimizer=None, alpha=0.0).fit(X[:8], Y[:8])
    mean, std = gp.predict_gradient(X[:8], return_std=True)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    assert abs(std).max() < 1e3


def test_one_row():
    gp = TorchGPRegressor(RBF(), optimizer=None).fit(X[:1], Y[:1])
    assert_is_gradient(gp)


def test_a_forest_below_has_steps():
    forest = RandomForestRegressor(3, random_state=0)
    gp = TorchGPRegressor(RBF(), optimizer=None, mean=forest).fit(X, Y)
    assert np.isfinite(gp.predict_gradient(Z)).all()


def test_objects_have_no_gradient():
    class Length(RBF):
        requires_vector_input = False

        def __call__(self, X, Y=None, eval_gradient=False):
            Y = X if Y is None else Y
            return np.array([[1.0 + len(a) * len(b) for b in Y] for a in X])

        def diag(self, X):
            return np.array([1.0 + len(a) ** 2 for a in X])

    words = ["a", "bb", "ccc"]
    gp = TorchGPRegressor(Length(), optimizer=None, alpha=0.1).fit(words, [0, 1, 2])
    with pytest.raises(ValueError, match="predict_gradient needs rows .* numbers"):
        gp.predict_gradient(words)


def test_rows_without_numbers_have_no_gradient():
    kernel = MiniSeqKernel()
    words = np.array(["ACG", "AAT", "CCG", "TTA"])
    gp = TorchGPRegressor(kernel, optimizer=None, alpha=0.1).fit(words, [0.0, 1, 2, 3])
    with pytest.raises(ValueError, match="predict_gradient needs rows .* numbers"):
        gp.predict_gradient(words)


def test_a_regressor_below_may_have_a_constant_feature():
    constant = np.c_[X, np.full(20, 3.0)]
    gp = TorchGPRegressor(RBF(), optimizer=None, mean=Ridge()).fit(constant, Y)
    new = np.c_[Z, np.full(5, 3.0)]
    assert_allclose(
        gp.predict_gradient(new), numeric_gradient(gp.predict, new), atol=1e-6
    )
