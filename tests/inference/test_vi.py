"""Variational inference against a generic maximiser of the bound."""

import numpy as np
import pytest
import torch
from classification_cases import LINKS, check_gradient, gram_of, tensor, two_moons
from scipy.optimize import minimize
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from sklearn_torchgp._inference import METHODS
from sklearn_torchgp._likelihoods import Bernoulli

vi = METHODS["vi"]


def best_bound(K, likelihood):
    """The bound maximised over means and all Cholesky factors of covariances."""
    n = len(K)
    rows, cols = np.tril_indices(n)
    inverse = torch.linalg.inv(K)

    def negative_bound(x):
        x = torch.tensor(x, requires_grad=True)
        mean, C = x[:n], torch.zeros(n, n, dtype=torch.float64)
        C = C.index_put((torch.as_tensor(rows), torch.as_tensor(cols)), x[n:])
        variance = C.square().sum(dim=1)
        kl = 0.5 * ((inverse @ C * C).sum() + mean @ inverse @ mean - n)
        kl = kl + 0.5 * torch.logdet(K) - C.diagonal().abs().log().sum()
        z, w = np.polynomial.hermite_e.hermegauss(60)
        f = mean[:, None] + variance.sqrt()[:, None] * torch.tensor(z)
        log_p = torch.nn.functional.logsigmoid if likelihood == "logit" else None
        log_p = log_p or torch.special.log_ndtr
        fit = log_p(negative_bound.y[:, None] * f) @ torch.tensor(w / w.sum())
        bound = kl - fit.sum()
        bound.backward()
        return bound.item(), x.grad.numpy()

    return negative_bound, rows, cols


@pytest.mark.parametrize("link", LINKS)
def test_no_gaussian_has_a_higher_bound(link):
    X, y = two_moons(8)
    K, _ = gram_of(ConstantKernel(2.0) * RBF(1.0), X)
    negative_bound, rows, cols = best_bound(K, link)
    negative_bound.y = tensor(y)
    start = np.zeros(8 + len(rows))
    start[8:][rows == cols] = 1.0
    optimum = minimize(
        negative_bound, start, jac=True, method="BFGS", options={"gtol": 1e-8}
    )
    result = vi(K, Bernoulli(link, tensor(y)))
    assert result.lml == pytest.approx(-optimum.fun, abs=1e-7)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("variance", [0.1, 9.0, 1e3])
def test_gradient_against_differences(link, variance):
    X, y = two_moons(20)
    weight = tensor(np.random.RandomState(1).uniform(0.3, 3, 20))
    kernel = ConstantKernel(variance) * RBF([1.0, 2.0])
    for likelihood in (Bernoulli(link, tensor(y)), Bernoulli(link, tensor(y), weight)):
        check_gradient("vi", likelihood, kernel, X, rtol=1e-5, max_iter=300)


def test_a_bound_even_before_convergence():
    X, y = two_moons(30)
    K, _ = gram_of(ConstantKernel(50.0) * RBF(1.0), X)
    for link in LINKS:
        likelihood = Bernoulli(link, tensor(y))
        best = vi(K, likelihood).lml
        for steps in (1, 2, 4):
            assert vi(K, likelihood, max_iter=steps).lml < best
