"""The contract of the kernels of `sklearn_torchgp.kernels`, against plain formulas."""

import pickle

import numpy as np
import pytest
import torch
from kernel_zoo import EVERY_OF_OURS, OURS, rows
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp.kernels import Columns, Periodic

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_torchgp.exceptions.KernelFallbackWarning"
)
CPU = torch.device("cpu")
ours = pytest.mark.parametrize(("kernel", "formula"), OURS.values(), ids=OURS)
every = pytest.mark.parametrize("kernel", EVERY_OF_OURS.values(), ids=EVERY_OF_OURS)


def bind(kernel, X, dtype=torch.float64):
    return Covariance(kernel, X, dtype=dtype, device=CPU)


def moved(kernel):
    return kernel.clone_with_theta(kernel.theta + 0.1 * np.arange(1, kernel.n_dims + 1))


def discrete(n, seed=0):
    """Rows of few different values, which therefore meet."""
    return np.random.RandomState(seed).randint(0, 3, (n, 3)) / 2.0


@ours
@pytest.mark.parametrize("make", [rows, discrete])
def test_values(kernel, formula, make):
    X, Z = make(9), make(5, seed=1)
    for k in (kernel, moved(kernel)):
        expected = formula(k, X, X)
        np.testing.assert_allclose(k(X), expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(k(Z, X), formula(k, Z, X), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(k.diag(X), np.diag(expected), rtol=1e-12)
        cov = bind(kernel, X)
        np.testing.assert_allclose(cov.full(theta=k.theta), expected, atol=1e-13)


@ours
def test_gradient_in_theta(kernel, formula):
    X, k, step = rows(6), moved(kernel), 1e-5
    _, gradient = k(X, eval_gradient=True)
    assert gradient.shape == (6, 6, k.n_dims)
    for i, e in enumerate(step * np.eye(k.n_dims)):
        up, down = (formula(k.clone_with_theta(k.theta + s), X, X) for s in (e, -e))
        np.testing.assert_allclose(
            gradient[..., i], (up - down) / (2 * step), rtol=1e-6, atol=1e-8
        )


@ours
def test_gradient_in_the_rows(kernel, formula):
    X, Z = rows(6), rows(4, seed=2)
    cov = bind(kernel, X)
    G = np.random.RandomState(1).randn(4, 6)
    _, pull = cov.cross_slope(cov.points.others(Z))
    found = pull(torch.from_numpy(G))
    for i, e in enumerate(1e-5 * np.eye(3)):
        change = (formula(kernel, Z + e, X) - formula(kernel, Z - e, X)) / 2e-5
        np.testing.assert_allclose(
            found[:, i], (G * change).sum(1), rtol=1e-6, atol=1e-7
        )


GRID = np.stack(np.meshgrid(*[np.arange(4) / 3] * 3), -1).reshape(-1, 3)


@every
@pytest.mark.parametrize(
    "X", [rows(60, seed=3), 4 * rows(60, seed=3) - 2, GRID], ids=["few", "wide", "grid"]
)
def test_positive_semidefinite(kernel, X):
    K = kernel(X)
    np.testing.assert_allclose(K, K.T, atol=1e-13 * np.abs(K).max())
    assert np.linalg.eigvalsh(K).min() > -1e-10 * np.abs(K).max()


@every
def test_gradient_array_is_the_derivative(kernel):
    X = rows(5)
    K, gradient = kernel(X, eval_gradient=True)
    np.testing.assert_allclose(K, kernel(X), atol=1e-14)
    for i, e in enumerate(1e-5 * np.eye(kernel.n_dims)):
        up, down = (kernel.clone_with_theta(kernel.theta + s)(X) for s in (e, -e))
        np.testing.assert_allclose(
            gradient[..., i], (up - down) / 2e-5, rtol=1e-6, atol=1e-8
        )
    with pytest.raises(ValueError, match="when Y is None"):
        kernel(X, X, eval_gradient=True)


@every
def test_scikit_learns_protocol(kernel):
    X = rows(5)
    copies = clone(kernel), pickle.loads(pickle.dumps(kernel))
    for copy in (*copies, kernel.clone_with_theta(kernel.theta)):
        np.testing.assert_allclose(copy(X), kernel(X), rtol=1e-12)
        assert copy.hyperparameters == kernel.hyperparameters
        np.testing.assert_array_equal(copy.bounds, kernel.bounds)
    assert all(copy == kernel for copy in copies)
    changed = moved(kernel)
    assert changed != kernel
    np.testing.assert_allclose(
        changed.theta - kernel.theta, 0.1 * np.arange(1, kernel.n_dims + 1)
    )
    assert kernel.bounds.shape == (kernel.n_dims, 2)
    assert sum(h.n_elements for h in kernel.hyperparameters if not h.fixed) == (
        kernel.n_dims
    )
    assert isinstance(kernel.is_stationary(), bool)
    assert set(kernel.get_params()) >= {h.name for h in kernel.hyperparameters}
    kernel.set_params(**kernel.get_params(deep=False))


def test_repr():
    kernel = 2.0 * Periodic([0.5, 1.23456], 3) + Columns(RBF(0.8), slice(1, 3))
    assert repr(kernel) == (
        "1.41**2 * Periodic(length_scale=[0.5, 1.23], periodicity=3) + "
        "Columns(kernel=RBF(length_scale=0.8), columns=slice(1, 3, None))"
    )


@every
def test_sums_products_and_powers(kernel):
    X = rows(5)
    other = 0.7 * RBF(0.8) + WhiteKernel(0.1)
    np.testing.assert_allclose((kernel + other)(X), kernel(X) + other(X), rtol=1e-12)
    np.testing.assert_allclose((other * kernel)(X), kernel(X) * other(X), rtol=1e-12)
    np.testing.assert_allclose((kernel**2)(X), kernel(X) ** 2, rtol=1e-12)
    cov = bind((other * kernel + 1.5) ** 2, X)
    np.testing.assert_allclose(
        cov.full(), (other(X) * kernel(X) + 1.5) ** 2, rtol=1e-11
    )


@every
def test_evidence_and_predictions_of_scikit_learn(kernel):
    X, Z = rows(12), rows(4, seed=5)
    y = np.sin(4 * X[:, 0]) + X[:, 1]
    kernel = kernel + WhiteKernel(0.1)
    mine = TorchGPRegressor(kernel, optimizer=None).fit(X, y)
    theirs = GaussianProcessRegressor(mine.kernel_, optimizer=None).fit(X, y)
    (value, slope), (expected, gradient) = (
        m.log_marginal_likelihood(mine.kernel_.theta, eval_gradient=True)
        for m in (mine, theirs)
    )
    assert value == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(
        slope, gradient, rtol=1e-6, atol=1e-7 * np.abs(gradient).max()
    )
    pairs = (m.predict(Z, return_std=True) for m in (mine, theirs))
    for one, other in zip(*pairs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


@ours
def test_rows_that_are_one_or_the_same(kernel, formula):
    X = np.repeat(rows(2), 3, axis=0)
    for A in (rows(1), X):
        K, gradient = kernel(A, eval_gradient=True)
        np.testing.assert_allclose(K, formula(kernel, A, A), rtol=1e-12)
        assert np.isfinite(gradient).all()
        cov = bind(kernel, A)
        G = torch.ones(len(A), len(A), dtype=torch.float64)
        assert np.isfinite(cov.gram(kernel.theta)[1](G)).all()
        assert torch.isfinite(cov.cross_slope(cov.points.others(A))[1](G)).all()


@ours
@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_features_of_another_scale(kernel, formula, factor):
    X = factor * rows(6)
    K, gradient = kernel(X, eval_gradient=True)
    expected = formula(kernel, X, X)
    # Phases of 1e6 turns have lost 6 digits, whoever takes their sines.
    np.testing.assert_allclose(K, expected, rtol=1e-8, atol=1e-9 * np.abs(K).max())
    assert np.isfinite(gradient).all()


@ours
def test_float32(kernel, formula):
    X = rows(6)
    K, pullback = bind(kernel, X, torch.float32).gram()
    assert K.dtype == torch.float32
    np.testing.assert_allclose(K.tril(), np.tril(formula(kernel, X, X)), rtol=1e-4)
    G = torch.ones(6, 6)
    _, exact = bind(kernel, X).gram()
    np.testing.assert_allclose(pullback(G), exact(G.double()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "name", [name for name, k in EVERY_OF_OURS.items() if k.is_stationary()]
)
def test_stationary_kernels_depend_on_differences(name):
    X = np.round(rows(6) * 2**20) / 2**20
    np.testing.assert_allclose(
        EVERY_OF_OURS[name](X + 2.0**10), EVERY_OF_OURS[name](X), atol=1e-12
    )
