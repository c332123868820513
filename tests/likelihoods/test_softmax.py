"""Softmax likelihood and its Gaussian averages."""

import numpy as np
import pytest
import torch
from classification_cases import REFERENCE, tensor
from scipy.stats import norm, qmc

from sklearn_torchgp._likelihoods import (
    Softmax,
    class_log_probabilities,
    softmax_average,
)


def random_gaussians(n_classes, sd, m=4, seed=0):
    rng = np.random.RandomState(seed)
    A = rng.randn(m, n_classes, n_classes) * sd / np.sqrt(n_classes)
    return tensor(rng.randn(m, n_classes) * sd), tensor(A @ A.transpose(0, 2, 1))


@pytest.mark.parametrize("setting", REFERENCE["iris30"]["settings"])
def test_three_classes_against_two_dimensional_quadrature(setting):
    values = setting["laplace_softmax"]
    p = softmax_average(
        tensor(values["test_latent_mean"]), tensor(values["test_latent_cov"])
    )
    np.testing.assert_allclose(p, values["test_prob"], rtol=1e-7)


@pytest.mark.parametrize(("sd", "atol"), [(0.5, 1e-3), (2.0, 1.5e-3), (5.0, 4e-3)])
@pytest.mark.parametrize("n_classes", [4, 10])
def test_against_many_random_points(n_classes, sd, atol):
    """These err by 6e-4 at most."""
    mean, cov = random_gaussians(n_classes, sd)
    z = norm.ppf(qmc.Sobol(n_classes, seed=3).random(2**16))
    L = torch.linalg.cholesky(cov)
    f = mean[:, None] + tensor(z) @ L.mT
    expected = torch.softmax(f, dim=2).mean(dim=1)
    np.testing.assert_allclose(softmax_average(mean, cov), expected, atol=atol)


@pytest.mark.parametrize(("sd", "atol"), [(0.5, 1e-8), (5.0, 1e-8), (30.0, 5e-7)])
def test_three_classes_against_a_fine_grid(sd, atol):
    """Differences from the first class, on the axes of their covariance."""
    mean, cov = random_gaussians(3, sd)
    x = np.linspace(-9, 9, 1201)
    w = np.exp(-0.5 * (x[:, None] ** 2 + x**2))
    T = np.array([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]])
    for m, S, found in zip(mean, cov, softmax_average(mean, cov), strict=True):
        values, vectors = np.linalg.eigh(T @ S.numpy() @ T.T)
        u = np.meshgrid(*(x[:, None] * np.sqrt(values)).T, indexing="ij")
        f = np.tensordot(vectors, u, 1) + (T @ m.numpy())[:, None, None]
        f = np.concatenate([np.zeros_like(f[:1]), f])
        p = np.exp(f - f.max(axis=0))
        expected = (w * p / p.sum(axis=0)).sum(axis=(1, 2)) / w.sum()
        np.testing.assert_allclose(found, expected, atol=atol)


def test_two_classes_are_the_logistic_of_the_difference():
    mean, cov = random_gaussians(2, 2.0)
    difference = mean[:, 1] - mean[:, 0]
    variance = cov[:, 0, 0] + cov[:, 1, 1] - 2 * cov[:, 0, 1]
    expected = class_log_probabilities("logit", difference, variance).exp()
    np.testing.assert_allclose(softmax_average(mean, cov), expected, rtol=1e-7)


@pytest.mark.parametrize("n_classes", [3, 5])
def test_deterministic_and_row_by_row(n_classes):
    mean, cov = random_gaussians(n_classes, 3.0)
    cov[1] *= 100
    together = softmax_average(mean, cov)
    assert torch.equal(together, softmax_average(mean, cov))
    alone = torch.cat([softmax_average(mean[[i]], cov[[i]]) for i in range(4)])
    np.testing.assert_allclose(together, alone, rtol=1e-13)


@pytest.mark.parametrize("n_classes", [3, 5])
def test_no_variance_and_singular_covariance(n_classes):
    mean, _ = random_gaussians(n_classes, 1.0)
    nothing = torch.zeros(4, n_classes, n_classes, dtype=torch.float64)
    common = torch.ones_like(nothing)  # a common shift of all classes
    for cov in (nothing, common, 1e8 * common):
        p = softmax_average(mean, cov)
        np.testing.assert_allclose(p, torch.softmax(mean, dim=1), atol=1e-5)


def test_gradient_against_differences():
    rng = np.random.RandomState(0)
    f = tensor(rng.randn(3, 5))
    y = tensor(np.eye(3)[rng.randint(3, size=5)].T)
    likelihood = Softmax(y, tensor(rng.uniform(0.5, 2, 5)))
    gradient = likelihood.gradient(likelihood.probabilities(f))
    f.requires_grad_()
    likelihood.log_p(f).sum().backward()
    np.testing.assert_allclose(gradient, f.grad, rtol=1e-12)
