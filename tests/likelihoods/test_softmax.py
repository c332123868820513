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


@pytest.mark.parametrize("sd", [0.5, 5.0])
@pytest.mark.parametrize("n_classes", [3, 4, 10])
def test_against_many_random_points(n_classes, sd):
    mean, cov = random_gaussians(n_classes, sd)
    z = norm.ppf(qmc.Sobol(n_classes, seed=3).random(2**15))
    L = torch.linalg.cholesky(cov)
    f = mean[:, None] + tensor(z) @ L.mT
    expected = torch.softmax(f, dim=2).mean(dim=1)
    np.testing.assert_allclose(softmax_average(mean, cov), expected, atol=6e-3)


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
