"""Coregion on rows that hold numbers of outputs: the covariance of several outputs."""

import numpy as np
import pytest
import torch
from kernel_zoo import rows
from numpy.testing import assert_allclose
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp.kernels import Columns, Coregion

W, KAPPA = [[1.2, 0.1], [-0.4, 0.9], [0.7, -0.6]], [0.3, 0.2, 0.5]
OUTPUTS = Coregion(3, 2, W, KAPPA)
B = np.array(W) @ np.transpose(W) + np.diag(KAPPA)


def long_rows(n, seed=0):
    """(x, output): every output at n rows of two features."""
    X = rows(n, seed)[:, :2]
    return np.column_stack([np.tile(X, (3, 1)), np.repeat(np.arange(3.0), n)])


def icm(outputs=OUTPUTS):
    return Columns(RBF([0.7, 1.3]), slice(None, -1)) * Columns(outputs, -1)


def test_every_output_at_every_row_is_a_kronecker_product():
    X, Z = long_rows(5), long_rows(4, seed=1)
    k = RBF([0.7, 1.3])
    assert_allclose(icm()(X), np.kron(B, k(X[:5, :2])), rtol=1e-12)
    assert_allclose(icm()(Z, X), np.kron(B, k(Z[:4, :2], X[:5, :2])), rtol=1e-12)
    assert_allclose(icm().diag(X), np.repeat(np.diag(B), 5), rtol=1e-12)
    assert_allclose(OUTPUTS.B, B, rtol=1e-14)


def test_the_gradient_is_the_derivative():
    X, kernel = long_rows(3)[::2], icm()
    _, gradient = kernel(X, eval_gradient=True)
    assert gradient.shape == (5, 5, 2 + 6 + 3)
    for i, e in enumerate(1e-5 * np.eye(kernel.n_dims)):
        up, down = (kernel.clone_with_theta(kernel.theta + s)(X) for s in (e, -e))
        assert_allclose(gradient[..., i], (up - down) / 2e-5, rtol=1e-6, atol=1e-9)


def test_batches_are_one_after_the_other():
    X = long_rows(4)
    covariance = Covariance(
        icm(), X, dtype=torch.float64, device=torch.device("cpu")
    ).at(icm().theta)
    index = np.random.RandomState(0).randint(0, 12, (5, 3))
    G = torch.from_numpy(np.random.RandomState(1).randn(5, 3, 3))
    K, pull = covariance.blocks(index)
    whole, pull_all = covariance.cross()
    weights = torch.zeros(12, 12, dtype=torch.float64)
    for block, rows_, g in zip(K, index, G, strict=True):
        assert_allclose(block, whole[np.ix_(rows_, rows_)], rtol=1e-12)
        for a, i in enumerate(rows_):
            for b, j in enumerate(rows_):
                weights[i, j] += g[a, b]
    assert_allclose(pull(G), pull_all(weights), rtol=1e-10, atol=1e-12)
    d, pull_d = covariance.diag(covariance.points[index])
    assert_allclose(d, whole.diagonal()[index], rtol=1e-12)
    g = G[:, 0]
    each = torch.zeros(12, dtype=torch.float64)
    each.index_put_((torch.from_numpy(index),), g, accumulate=True)
    assert_allclose(pull_d(g), covariance.diag()[1](each), rtol=1e-10, atol=1e-12)


def test_scikit_learns_estimator_finds_the_same():
    X = long_rows(12)
    y = np.sin(4 * X[:, 0]) * np.array([1.0, -0.5, 0.3])[X[:, 2].astype(int)]
    kernel = icm(Coregion(3)) + WhiteKernel(0.1)
    mine, theirs = (
        m(kernel).fit(X, y) for m in (TorchGPRegressor, GaussianProcessRegressor)
    )
    assert mine.log_marginal_likelihood_value_ == pytest.approx(
        theirs.log_marginal_likelihood_value_, abs=1e-2
    )
    found = mine.kernel_.k1.k2.kernel
    assert found.B[0, 1] < 0 < found.B[0, 2]  # the signs that W may have


def test_units_of_theta():
    """A twentieth of the bounds: where they go with the outputs, so does a step."""
    kernel = Coregion(2, W=[[1.0], [-2e8]], W_bounds=[(-10, 10), (-1e9, 1e9)])
    assert_allclose(kernel.theta[:2], [1.0, -2.0])
    assert_allclose(kernel.bounds[:2], [[-10, 10], [-10, 10]])
    moved = kernel.clone_with_theta(kernel.theta + np.array([0.5, 0.5, 0, 0]))
    assert_allclose(moved.W, [[1.5], [-1.5e8]])


def test_rank_0_under_white_noise_is_noise_of_each_output():
    X = np.repeat(long_rows(2), 2, axis=0)
    noise = WhiteKernel(1.0, "fixed") * Columns(Coregion(3, 0, kappa=KAPPA), -1)
    assert_allclose(noise(X), np.diag(np.repeat(KAPPA, 4)), rtol=1e-14)
    assert_allclose(noise(X, X), 0)
    covariance = Covariance(noise, X, dtype=torch.float64, device=torch.device("cpu"))
    assert_allclose(covariance.nugget()[0], np.repeat(KAPPA, 4), rtol=1e-14)


def test_one_output():
    kernel = Coregion(1)
    K, gradient = kernel([[0.0], [0.0]], eval_gradient=True)
    assert_allclose(K, 1.0)
    assert_allclose(gradient[0, 0], [2 * 0.5**0.5, 0.5])


BAD = {
    "no integer": (Coregion(2.0), "'n_outputs' parameter of Coregion.*2.0"),
    "none": (Coregion(0), "'n_outputs'.*at least 1.*0"),
    "rank": (Coregion(2, 3), "'rank'.*from 0 to 2.*3"),
    "shape of W": (Coregion(2, W=[1.0, 2.0]), r"'W'.*\(2, 1\).*rank 1.*\(2,\)"),
    "shape of kappa": (Coregion(2, kappa=0.5), r"'kappa'.*\(2,\)"),
    "negative": (Coregion(2, kappa=[0.5, -1.0]), "'kappa'.*positive.*-1"),
    "nan": (Coregion(2, W=[[np.nan], [1.0]]), "'W'.*finite.*nan"),
    "bounds": (Coregion(2, W_bounds=[(0, 1)] * 3), "'W_bounds'.*here 2"),
}


@pytest.mark.parametrize(("kernel", "message"), BAD.values(), ids=BAD)
def test_bad_parameters(kernel, message):
    with pytest.raises(ValueError, match=message):
        kernel([[0.0], [1.0]])


def test_rows_that_are_no_output():
    for value in (0.5, -1.0, 2.0, np.nan):
        with pytest.raises(ValueError, match="whole number from 0 to 1. Got"):
            Coregion(2)([[0.0], [value]])
    with pytest.raises(ValueError, match="sees one column.*rows here have 2"):
        Coregion(2)([[0.0, 1.0]])
