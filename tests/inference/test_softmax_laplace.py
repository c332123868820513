"""Joint Laplace approximation for several classes."""

import numpy as np
import pytest
import torch
from classification_cases import REFERENCE, gram_of, tensor
from helpers import numeric_gradient
from sklearn.datasets import load_iris
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from sklearn_torchgp._inference import SITE_ALGORITHMS
from sklearn_torchgp._inference.sites.softmax_laplace import (
    posterior_blocks,
    softmax_laplace,
)
from sklearn_torchgp._likelihoods import Bernoulli, Softmax

IRIS = REFERENCE["iris30"]["settings"]
X, labels = (part[::5] for part in load_iris(return_X_y=True))


def one_hot(y):
    return tensor(np.eye(y.max() + 1)[y].T)


def grams(kernels, X, thetas=None):
    thetas = thetas or [None] * len(kernels)
    pairs = [gram_of(k, X, t) for k, t in zip(kernels, thetas, strict=True)]
    return torch.stack([K for K, _ in pairs]), [pullback for _, pullback in pairs]


def kernels_of(setting):
    pairs = zip(setting["variance"], setting["lengthscale"], strict=True)
    kernels = [ConstantKernel(v) * RBF(l) for v, l in pairs]
    return kernels[:1] if setting["kernels"] == "shared" else kernels


@pytest.mark.parametrize("setting", IRIS)
def test_reference_values(setting):
    expected = setting["laplace_softmax"]
    K, pullbacks = grams(kernels_of(setting), X)
    result = softmax_laplace(K, Softmax(one_hot(labels)))
    assert result.converged
    assert result.lml == pytest.approx(expected["lml"], rel=1e-10)
    assert abs(result.lml - expected["lml_if_M_term_is_forgotten"]) > 3
    G = result.derivative()
    gradient = np.array([p(g) for p, g in zip(pullbacks, G, strict=True)])
    np.testing.assert_allclose(gradient.T.ravel(), expected["gradient"], rtol=1e-8)


def dense_posterior(K, likelihood, f):
    """(K^-1 + W)^-1 and log |I + K W| / 2 with (C n, C n) matrices."""
    C, n = f.shape
    pi = likelihood.probabilities(f)
    W = torch.zeros(C * n, C * n, dtype=torch.float64)
    for i in range(n):
        p = pi[:, i]
        rows = torch.arange(C) * n + i
        block = torch.diag(p) - p[:, None] * p
        W[rows[:, None], rows] = likelihood.weight[i] * block
    big = torch.block_diag(*(K if len(K) == C else [K[0]] * C))
    B = torch.eye(C * n, dtype=torch.float64) + big @ W
    return torch.linalg.solve(B, big), 0.5 * torch.linalg.slogdet(B)[1].item()


@pytest.mark.parametrize("shared", [True, False])
def test_against_the_dense_matrix_with_weights(shared):
    kernels = [ConstantKernel(v) * RBF(1.5) for v in (4.0, 2.0, 9.0)]
    K, _ = grams(kernels[:1] if shared else kernels, X[:12])
    weight = tensor(np.random.RandomState(0).uniform(0.3, 3, 12))
    y = np.tile([0, 1, 2], 4)
    likelihood = Softmax(one_hot(y), weight)
    result = softmax_laplace(K, likelihood)
    f = torch.stack([K[min(c, len(K) - 1)] @ a for c, a in enumerate(result.a)])
    np.testing.assert_allclose(
        likelihood.gradient(likelihood.probabilities(f)), result.a, atol=1e-9
    )
    Sigma, half_log_det = dense_posterior(K, likelihood, f)
    psi = likelihood.log_p(f).sum() - 0.5 * (result.a * f).sum()
    assert result.lml == pytest.approx(psi.item() - half_log_det, rel=1e-9)
    blocks = Sigma.view(3, 12, 3, 12).diagonal(dim1=1, dim2=3).permute(2, 0, 1)
    np.testing.assert_allclose(
        posterior_blocks(K, result.E, result.M), blocks, atol=1e-9
    )


@pytest.mark.parametrize("n_classes", [3, 10])
def test_gradient_against_differences(n_classes):
    rng = np.random.RandomState(0)
    X, y = rng.randn(30, 2), np.arange(30) % n_classes
    likelihood = Softmax(one_hot(y), tensor(rng.uniform(0.5, 2, 30)))
    kernel = ConstantKernel(5.0) * RBF([1.0, 2.0])

    def lml(theta):
        return softmax_laplace(grams([kernel], X, [theta])[0], likelihood).lml

    K, (pullback,) = grams([kernel], X)
    gradient = pullback(softmax_laplace(K, likelihood).derivative()[0])
    expected = numeric_gradient(lml, kernel.theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_two_classes_are_a_logit_with_twice_the_kernel():
    y = (labels > 0).astype(int)
    K, _ = grams([ConstantKernel(2.0) * RBF(1.5)], X)
    joint = softmax_laplace(K, Softmax(one_hot(y)))
    binary = SITE_ALGORITHMS["laplace"](
        2 * K[0], Bernoulli("logit", tensor(2.0 * y - 1))
    )
    assert joint.lml == pytest.approx(binary.lml, rel=1e-10)
    np.testing.assert_allclose(joint.a[1], binary.alpha, atol=1e-9)


def test_order_of_classes_and_rows_does_not_matter():
    K, _ = grams([ConstantKernel(4.0) * RBF(1.5)], X)
    lml = softmax_laplace(K, Softmax(one_hot(labels))).lml
    renamed = softmax_laplace(K, Softmax(one_hot((labels + 1) % 3))).lml
    order = torch.as_tensor(np.random.RandomState(0).permutation(30))
    y = Softmax(one_hot(labels)[:, order])
    shuffled = softmax_laplace(K[:, order][:, :, order], y).lml
    assert renamed == pytest.approx(lml, rel=1e-10)
    assert shuffled == pytest.approx(lml, rel=1e-10)


@pytest.mark.parametrize("variance", [1e-9, 1e5])
def test_extreme_variances(variance):
    twins = np.repeat(X[:10], 2, axis=0)  # duplicates with different labels
    y = np.arange(20) % 3
    K, (pullback,) = grams([ConstantKernel(variance) * RBF(1.0)], twins)
    result = softmax_laplace(K, Softmax(one_hot(y)))
    assert result.converged
    assert np.isfinite(pullback(result.derivative()[0])).all()
    if variance < 1:
        assert result.lml == pytest.approx(-20 * np.log(3), rel=1e-6)


def test_near_the_exact_evidence():
    for setting in IRIS:
        K, _ = grams(kernels_of(setting), X)
        lml = softmax_laplace(K, Softmax(one_hot(labels))).lml
        assert abs(lml - setting["exact_softmax_importance"]["lml"]) < 0.2
