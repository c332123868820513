"""Matern kernels of any order: the definition in 40 digits, and the limit."""

import mpmath
import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, Matern

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._covariance import Covariance

ORDERS = [0.3, 1.0, 2.1, 20.5, 21.5, 60.3, 99.9, 100.1, 101.3, 150.0, 250.0, 1e3]
ORIGIN = np.zeros((1, 1))


def bind(kernel, X):
    return Covariance(kernel, X, dtype=torch.float64, device=torch.device("cpu"))


def values(kernel, r):
    """k(r) by the general path."""
    return bind(kernel, ORIGIN).cross(r[:, None])[:, 0].numpy()


def definition(nu, r):
    """GPML 4.14."""
    with mpmath.workdps(40):
        nu = mpmath.mpf(nu)
        t = mpmath.sqrt(2 * nu) * mpmath.mpf(r)
        return float(2 ** (1 - nu) / mpmath.gamma(nu) * t**nu * mpmath.besselk(nu, t))


@pytest.mark.parametrize("nu", ORDERS)
def test_values_are_the_definition(nu):
    r = np.array([1e-3, 0.02, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0])
    expected = [definition(nu, distance) for distance in r]
    # Of large orders the first term that is left out is of order nu^-4.
    atol = 0.02 / nu**4 + 3e-14 if nu > 100 else 1e-10
    np.testing.assert_allclose(values(Matern(nu=nu), r), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("nu", [99.9, 150.0, 200.0, 250.5, 1e3, 1e6, 1e12, 1e100])
def test_large_orders_have_no_kink(nu):
    r = np.linspace(0, 3, 3001)
    bends = np.diff(values(Matern(nu=nu), r), 2)
    # k'' is between -1 and 0.5 or so, and the RBF's third derivative below 1.4
    assert abs(np.diff(bends)).max() < 2e-9


@pytest.mark.parametrize("nu", [200.0, 1e3, 1e5, 1e9, 1e100])
def test_large_orders_go_to_the_rbf(nu):
    r = np.linspace(0, 6, 601)
    difference = values(Matern(nu=nu), r) - values(RBF(), r)
    assert abs(difference).max() < 0.5 / nu + 1e-14
    assert values(Matern(nu=nu), np.zeros(1)) == 1.0


@pytest.mark.parametrize("nu", [60.3, 100.1, 100.9, 200.0, 1e4])
@pytest.mark.parametrize("length_scale", [0.8, [0.5, 1.2]])
def test_the_pullback_is_the_derivative(nu, length_scale):
    rng = np.random.RandomState(0)
    cov = bind(Matern(length_scale, nu=nu), rng.randn(9, 2))
    theta, G = np.log(np.atleast_1d(length_scale)), rng.randn(9, 9)
    G = torch.from_numpy(G + G.T)
    found = cov.gram(theta)[1](G)
    for i, e in enumerate(1e-4 * np.eye(len(theta))):
        up, down = ((G * cov.full(theta=theta + s)).sum() for s in (e, -e))
        assert found[i] == pytest.approx((up - down).item() / 2e-4, rel=1e-6, abs=1e-6)


def test_a_fit_of_large_order_is_that_of_the_rbf():
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, (40, 2))
    y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * rng.randn(40)
    near, limit = (
        TorchGPRegressor(1.0 * k, alpha=0.01).fit(X, y) for k in (Matern(nu=1e6), RBF())
    )
    assert near.log_marginal_likelihood_value_ == pytest.approx(
        limit.log_marginal_likelihood_value_, abs=1e-3
    )
