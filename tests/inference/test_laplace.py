"""Binary Laplace approximation: reference values, gradients, hard cases."""

import numpy as np
import pytest
import torch
from classification_cases import LINKS, check_gradient, gram_of, tensor, two_moons
from scipy.optimize import minimize
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from sklearn_torchgp._inference import SITE_ALGORITHMS
from sklearn_torchgp._inference.sites import few
from sklearn_torchgp._likelihoods import Bernoulli
from sklearn_torchgp.exceptions import NotPositiveDefiniteError

laplace = SITE_ALGORITHMS["laplace"]


def slow_laplace(K, likelihood):
    """Evidence by a generic minimiser in white coordinates and a dense determinant."""
    K = K.numpy()
    root = np.linalg.cholesky(K + 1e-12 * np.trace(K) / len(K) * np.eye(len(K)))

    def negative_psi(z):
        f = tensor(root @ z)
        log_p, (d1, _, _) = likelihood.log_p(f).sum(), likelihood.derivatives(f)
        return 0.5 * z @ z - log_p.item(), z - root.T @ d1.numpy()

    optimum = minimize(
        negative_psi,
        np.zeros(len(K)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-11, "maxcor": 50},
    )
    W = -likelihood.derivatives(tensor(root @ optimum.x))[1].numpy()
    return -optimum.fun - 0.5 * np.linalg.slogdet(np.eye(len(K)) + K * W)[1]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("variance", [1e-6, 1.0, 100.0, 1e5])
def test_evidence_against_a_generic_minimiser(link, variance):
    X, y = two_moons(40)
    K, _ = gram_of(ConstantKernel(variance) * RBF(1.5), X)
    likelihood = Bernoulli(link, tensor(y))
    result = laplace(K, likelihood)
    assert result.converged
    assert result.lml == pytest.approx(slow_laplace(K, likelihood), rel=1e-6)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("variance", [0.1, 9.0, 1e4])
def test_gradient_against_differences(link, variance):
    X, y = two_moons(25)
    weight = tensor(np.random.RandomState(1).uniform(0.3, 3, 25))
    kernel = ConstantKernel(variance) * RBF([1.0, 2.0])
    for likelihood in (Bernoulli(link, tensor(y)), Bernoulli(link, tensor(y), weight)):
        check_gradient("laplace", likelihood, kernel, X, rtol=1e-6)


class Poisson:
    """Counts with rate exp(f): a likelihood of three derivatives, and nothing else."""

    def __init__(self, y):
        self.y = y

    def log_p(self, f):
        return self.y * f - f.exp()

    def derivatives(self, f):
        rate = f.exp()
        return self.y - rate, -rate, -rate


def test_any_likelihood_of_three_derivatives():
    X, _ = two_moons(20)
    counts = Poisson(tensor(np.random.RandomState(0).poisson(3.0, 20)))
    kernel = ConstantKernel(2.0) * RBF(1.0)
    K, _ = gram_of(kernel, X)
    result = laplace(K, counts)
    assert result.converged
    assert result.lml == pytest.approx(slow_laplace(K, counts), rel=1e-7)
    check_gradient("laplace", counts, kernel, X, rtol=1e-6)


def test_step_halving_where_full_newton_steps_fail():
    X, y = two_moons(60, noise=0.6)
    K, _ = gram_of(ConstantKernel(1e5) * RBF(0.7), X)
    likelihood = Bernoulli("logit", tensor(y))

    def psi(f, a):
        return (likelihood.log_p(f).sum() - 0.5 * a @ f).item()

    # GPML's algorithm 3.1 as listed does not climb here.
    f, climb = torch.zeros(60, dtype=torch.float64), []
    for _ in range(30):
        d1, d2, _ = likelihood.derivatives(f)
        a = torch.linalg.solve(torch.eye(60).double() - d2[:, None] * K, d1 - d2 * f)
        f = K @ a
        climb.append(psi(f, a))
    assert min(np.diff(climb)) < -1.0
    result = laplace(K, likelihood)
    assert result.converged
    assert psi(K @ result.alpha, result.alpha) >= max(climb) - 1e-6


@pytest.mark.parametrize("link", LINKS)
def test_a_start_changes_nothing_but_the_time(link):
    X, y = two_moons(50)
    likelihood = Bernoulli(link, tensor(y))
    K, _ = gram_of(ConstantKernel(9.0) * RBF(1.0), X)
    near = laplace(1.2 * K, likelihood).start
    bad = 1e3 * torch.ones(50, dtype=torch.float64)
    cold = laplace(K, likelihood)
    for start in (near, bad):
        warm = laplace(K, likelihood, start)
        assert warm.lml == pytest.approx(cold.lml, rel=1e-11)
        np.testing.assert_allclose(warm.alpha, cold.alpha, atol=1e-9)
    assert laplace(K, likelihood, near).n_iterations < cold.n_iterations


def test_too_few_iterations_are_reported():
    X, y = two_moons(50)
    K, _ = gram_of(ConstantKernel(100.0) * RBF(1.0), X)
    result = laplace(K, Bernoulli("logit", tensor(y)), max_iter=1)
    assert not result.converged
    assert result.residual > 1e-3
    assert result.n_iterations == 1


@pytest.mark.parametrize("variance", [0.0, 1e-6, 1.0, 1e5])
@pytest.mark.parametrize("weighted", [False, True])
def test_few_rows_equal_torch(monkeypatch, variance, weighted):
    X, y = two_moons(40)
    X[1], y[:2] = X[0], [1, -1]  # a copy that says the contrary
    weight = tensor(np.linspace(0.2, 3, 40)) if weighted else None
    likelihood = Bernoulli("logit", tensor(y), weight)
    K = variance * gram_of(ConstantKernel(1.0) * RBF(0.7), X)[0].clone()

    def everything(start):
        found = laplace(K.clone(), likelihood, start)
        numbers = found.lml, *found.sites, found.alpha, found.start
        return *numbers, found.derivative().tril(), found.converged, found.n_iterations

    assert few.serves(K, likelihood)
    cold = everything(None)
    warm = everything(cold[4] + 0.1)
    monkeypatch.setattr(few, "serves", lambda *_: False)
    for found, start in ((cold, None), (warm, cold[4] + 0.1)):
        for one, other in zip(found, everything(start), strict=True):
            np.testing.assert_allclose(
                one, other, rtol=1e-7, atol=1e-9 * (1 + variance)
            )


def test_few_rows_without_a_factor():
    likelihood = Bernoulli("logit", torch.ones(3, dtype=torch.float64))
    for bad in (np.nan, np.inf):
        K = torch.eye(3, dtype=torch.float64)
        K[1, 1] = bad
        with pytest.raises(NotPositiveDefiniteError):
            laplace(K, likelihood)
