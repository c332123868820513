"""`Covariance.at`: parts of a covariance, each with its pullback, for every kernel."""

import numpy as np
import pytest
import torch
from kernel_zoo import EVERY_OF_OURS, OWN, ZOO, Numpy, rows
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from sklearn.gaussian_process.tests._mini_sequence_kernel import MiniSeqKernel

from sklearn_torchgp._covariance import Covariance

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_torchgp.exceptions.KernelFallbackWarning"
)
EVERY = {**ZOO, **OWN, **EVERY_OF_OURS}
every = pytest.mark.parametrize("kernel", EVERY.values(), ids=EVERY)

CPU = torch.device("cpu")
INDEX = np.array([[0, 3, 5], [5, 1, 2], [6, 0, 4], [2, 3, 7]])  # blocks share rows


def bind(kernel, X, dtype=torch.float64, device=CPU):
    return Covariance(kernel, X, dtype=dtype, device=device)


def moved(kernel):
    return kernel.theta + 0.1 * np.arange(1, kernel.n_dims + 1)


def weights(shape, seed=1):
    return torch.from_numpy(np.random.RandomState(seed).randn(*shape))


def assert_pullback(part, theta):
    """part(theta) -> (value, pullback): the pullback is the derivative."""
    value, pullback = part(theta)
    G = weights(value.shape)
    found = pullback(G)
    assert found.shape == theta.shape
    for i, e in enumerate(1e-5 * np.eye(len(theta))):
        up, down = ((G * part(t)[0]).sum().item() for t in (theta + e, theta - e))
        assert found[i] == pytest.approx((up - down) / 2e-5, rel=2e-6, abs=1e-7)


@every
def test_cross(kernel):
    cov = bind(kernel, rows(8))
    others = cov.points.others(rows(4, seed=2))
    theta = moved(kernel)
    value, _ = cov.at(theta).cross(others)
    np.testing.assert_allclose(value, cov.cross(rows(4, seed=2), theta), atol=1e-14)
    assert_pullback(lambda theta: cov.at(theta).cross(others), theta)
    assert_pullback(lambda theta: cov.at(theta).cross(others, others), theta)
    assert_pullback(lambda theta: cov.at(theta).cross(), theta)


@every
def test_cross_of_rows_with_themselves_has_no_noise(kernel):
    cov = bind(kernel, rows(8))
    value, _ = cov.at().cross()
    np.testing.assert_allclose(value, cov.cross(rows(8)), atol=1e-13)


@every
def test_diagonal_and_noise(kernel):
    cov = bind(kernel, rows(8))
    others = cov.points.others(rows(4, seed=2))
    theta = moved(kernel)
    at = cov.at(theta)
    together = at.diag(others)[0] + at.nugget(others)[0]
    np.testing.assert_allclose(together, cov.diag(others, theta), atol=1e-14)
    assert at.diag()[0].shape == at.nugget()[0].shape == (8,)
    assert_pullback(lambda theta: cov.at(theta).diag(others), theta)
    assert_pullback(lambda theta: cov.at(theta).nugget(others), theta)


@every
def test_blocks_are_parts_of_the_whole(kernel):
    cov = bind(kernel, rows(8))
    theta = moved(kernel)
    whole = cov.full(theta=theta)
    for index in (INDEX, torch.from_numpy(INDEX)):
        value, _ = cov.at(theta).blocks(index)
        for block, own in zip(value, INDEX, strict=True):
            np.testing.assert_allclose(
                block, whole[np.ix_(own, own)], rtol=1e-12, atol=1e-14
            )
    assert_pullback(lambda theta: cov.at(theta).blocks(INDEX), theta)


@every
def test_one_block_of_all_rows_is_the_gram_matrix(kernel):
    cov = bind(kernel, rows(8))
    theta, G = moved(kernel), weights((8, 8))
    G = G + G.mT
    K, pullback = cov.gram(theta)
    value, of_block = cov.at(theta).blocks(np.arange(8)[None])
    np.testing.assert_allclose(value[0].tril(), K.tril(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(of_block(G[None]), pullback(G), rtol=1e-9, atol=1e-9)


@every
@pytest.mark.parametrize("first", [INDEX[:, :1], np.arange(8)], ids=["batch", "all"])
def test_cross_in_batches(kernel, first):
    cov = bind(kernel, rows(8))
    theta = moved(kernel)
    whole = cov.at(theta).cross()[0]

    def part(theta):
        points = cov.points
        return cov.at(theta).cross(points[first], points[INDEX])

    value, _ = part(theta)
    for i, block in enumerate(value):
        own = first[i] if first.ndim > 1 else first
        np.testing.assert_allclose(block, whole[np.ix_(own, INDEX[i])], atol=1e-13)
    assert_pullback(part, theta)


@every
def test_some_of_the_rows(kernel):
    X, index = rows(8), np.array([5, 0, 3])
    cov = bind(kernel, X)
    theta, G = moved(kernel), weights((3, 3))
    G = G + G.mT
    (K, pullback), (alone, of_alone) = (
        c.gram(theta) for c in (cov.rows(index), bind(kernel, X[index]))
    )
    np.testing.assert_allclose(K.tril(), alone.tril(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(pullback(G), of_alone(G), rtol=1e-9, atol=1e-9)
    assert cov.rows(slice(2, 6)).full().shape == (4, 4)
    np.testing.assert_allclose(
        cov.rows(index).rows(np.array([2, 0])).full(),
        cov.full()[np.ix_([3, 5], [3, 5])],
        atol=1e-13,
    )


def test_rows_of_strings():
    X = ["A", "AB", "B", "ABB"]
    kernel = 2.0 * MiniSeqKernel() + WhiteKernel(0.1)
    cov = bind(kernel, X)
    whole, index = kernel(X), np.array([[0, 2], [3, 1]])
    value, _ = cov.at().blocks(index)
    for block, own in zip(value, index, strict=True):
        np.testing.assert_allclose(block, whole[np.ix_(own, own)])
    np.testing.assert_allclose(cov.rows([3, 1]).full(), whole[np.ix_([3, 1], [3, 1])])
    G = weights((4, 4))
    G = G + G.mT
    _, pullback = cov.at().blocks(np.arange(4)[None])
    np.testing.assert_allclose(pullback(G[None]), cov.gram()[1](G))


def test_the_noise_of_a_numpy_kernel_is_in_blocks_and_not_in_cross():
    X = rows(5)
    at = bind(Numpy(0.8), X).at()
    np.testing.assert_allclose(at.blocks(np.arange(5)[None])[0][0], Numpy(0.8)(X))
    np.testing.assert_allclose(at.cross()[0], Numpy(0.8)(X, X))


@pytest.mark.parametrize("kernel", [RBF([1e-3] * 3), Matern([1e-3] * 3, nu=1.5)])
def test_near_rows_far_from_the_centre_keep_their_gradient(kernel):
    """Blocks of neighbours 1e-6 apart: squares about the centre would lose them."""
    X = 0.02 * rows(4).repeat(2, axis=0)
    X[1::2] += 1e-6
    index = np.arange(8).reshape(4, 2)
    _, pullback = bind(kernel, X).at(kernel.theta).blocks(index)
    G = weights((4, 2, 2))
    found = pullback(G)
    expected = 0.0
    for block, g in zip(index, G, strict=True):
        _, gradient = kernel(X[block], eval_gradient=True)
        expected = expected + np.einsum("ij,ijp->p", g, gradient)
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@every
def test_float32(kernel):
    theta = moved(kernel)
    value, pullback = bind(kernel, rows(8), torch.float32).at(theta).blocks(INDEX)
    exact, of_exact = bind(kernel, rows(8)).at(theta).blocks(INDEX)
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value, exact, rtol=2e-5, atol=1e-5)
    G = weights(value.shape)
    np.testing.assert_allclose(pullback(G.float()), of_exact(G), rtol=1e-3, atol=1e-3)


@pytest.mark.cuda
@every
def test_on_cuda(kernel):
    theta = moved(kernel)
    there, here = (
        bind(kernel, rows(8), device=torch.device(d)) for d in ("cuda", "cpu")
    )
    (value, pullback), (expected, of_expected) = (
        c.at(theta).blocks(INDEX) for c in (there, here)
    )
    np.testing.assert_allclose(value.cpu(), expected, rtol=1e-10, atol=1e-12)
    G = weights(value.shape)
    np.testing.assert_allclose(pullback(G.cuda()), of_expected(G), rtol=1e-8, atol=1e-9)
    full, gradient = there.gram(theta)
    np.testing.assert_allclose(full.tril().cpu(), here.full(theta=theta).tril())
    G = torch.ones(8, 8, dtype=torch.float64)
    np.testing.assert_allclose(gradient(G.cuda()), here.gram(theta)[1](G), rtol=1e-8)
