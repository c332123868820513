"""Parallel EP against a slow sequential one, and against what EP must satisfy."""

import numpy as np
import pytest
import torch
from classification_cases import (
    LINKS,
    check_gradient,
    gram_of,
    latent,
    tensor,
    two_moons,
)
from scipy.stats import multivariate_normal
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from sklearn_torchgp._inference import SITE_ALGORITHMS
from sklearn_torchgp._inference.sites.engine import leave_one_out
from sklearn_torchgp._likelihoods import Bernoulli

ep = SITE_ALGORITHMS["ep"]


def sequential_ep(K, likelihood, sweeps=200):
    """GPML algorithm 3.5 with dense matrices; evidence from its definition (3.65)."""
    K = K.numpy()
    n = len(K)
    tau, nu, Sigma, mu = np.zeros(n), np.zeros(n), K.copy(), np.zeros(n)
    cavity = np.zeros((n, 3))  # mean, variance, log Z
    for _ in range(sweeps):
        before = tau.copy()
        for i in range(n):
            precision = 1 / Sigma[i, i] - tau[i]
            m, v = (mu[i] / Sigma[i, i] - nu[i]) / precision, 1 / precision
            # The likelihood of row i only: the rest of the vector is ignored.
            ms, vs = np.zeros(n), np.ones(n)
            ms[i], vs[i] = m, v
            t = likelihood.tilted(tensor(ms), tensor(vs))
            log_z, slope, shrinkage = (x[i].item() for x in (t[0], t[1], t[3]))
            mean, variance = m + v * slope, v * shrinkage
            tau[i], nu[i] = 1 / variance - precision, mean / variance - m * precision
            Sigma = np.linalg.inv(np.eye(n) + K * tau) @ K
            mu = Sigma @ nu
            cavity[i] = m, v, log_z
        if np.abs(tau - before).max() < 1e-12:
            break
    m, v, log_z = cavity.T
    s2, mu_site = 1 / tau, nu / tau
    log_sites = log_z + 0.5 * np.log(2 * np.pi * (v + s2))
    log_sites += (m - mu_site) ** 2 / (2 * (v + s2))
    gaussian = multivariate_normal.logpdf(mu_site, np.zeros(n), K + np.diag(s2))
    return log_sites.sum() + gaussian, tau, nu


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("variance", [1.0, 100.0])
def test_fixed_point_of_sequential_ep(link, variance):
    X, y = two_moons(14)
    K, _ = gram_of(ConstantKernel(variance) * RBF(1.0), X)
    likelihood = Bernoulli(link, tensor(y))
    lml, tau, nu = sequential_ep(K, likelihood)
    result = ep(K, likelihood)
    assert result.lml == pytest.approx(lml, rel=1e-9)
    np.testing.assert_allclose(result.sites.precision, tau, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(result.sites.shift, nu, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("variance", [0.1, 9.0, 1e4])
def test_gradient_against_differences(link, variance):
    X, y = two_moons(20)
    weight = tensor(np.random.RandomState(1).uniform(0.3, 3, 20))
    kernel = ConstantKernel(variance) * RBF([1.0, 2.0])
    for likelihood in (Bernoulli(link, tensor(y)), Bernoulli(link, tensor(y), weight)):
        check_gradient("ep", likelihood, kernel, X, rtol=1e-5)


def test_weights_near_an_integer_are_near_the_copies():
    X, y = two_moons(15)
    K, _ = gram_of(ConstantKernel(9.0) * RBF(1.0), X)
    for link in LINKS:
        for w in (1.0, 2.0):
            lml = [
                ep(K, Bernoulli(link, tensor(y), tensor(np.full(15, w + d)))).lml
                for d in (-1e-6, 0.0, 1e-6)
            ]
            assert lml[0] == pytest.approx(lml[1], abs=1e-4)
            assert lml[2] == pytest.approx(lml[1], abs=1e-4)


@pytest.mark.parametrize("link", LINKS)
def test_warm_sites_change_nothing_but_the_time(link):
    X, y = two_moons(50)
    likelihood = Bernoulli(link, tensor(y))
    K, _ = gram_of(ConstantKernel(9.0) * RBF(1.0), X)
    cold = ep(K, likelihood)
    warm = ep(K, likelihood, ep(1.2 * K, likelihood).start)
    assert warm.lml == pytest.approx(cold.lml, rel=1e-10)
    assert warm.n_iterations < cold.n_iterations


def test_oscillating_problem_converges():
    # A large variance: undamped parallel EP cycles.
    X, y = two_moons(120, noise=0.5)
    K, _ = gram_of(ConstantKernel(1e4) * RBF(1.0), X)
    for link in LINKS:
        result = ep(K, Bernoulli(link, tensor(y)))
        assert result.converged
        assert result.residual <= 1e-7


def test_evidence_stays_finite_where_sites_vanish():
    # A label so certain that its site precision underflows.
    X = np.array([[0.0], [0.01], [50.0]])
    K, _ = gram_of(ConstantKernel(1e-30) * RBF(1.0), X)
    result = ep(K, Bernoulli("probit", tensor([1.0, 1.0, -1.0])))
    assert result.lml == pytest.approx(-3 * np.log(2))


@pytest.mark.parametrize("link", LINKS)
def test_cavity_against_leaving_the_row_out(link):
    # EP's cavity is its own answer without the row, up to the motion of other sites.
    X, y = two_moons(40)
    K, _ = gram_of(ConstantKernel(2.0) * RBF(1.0), X)
    m, v = leave_one_out(K, ep(K, Bernoulli(link, tensor(y))).sites)
    for i in range(0, 40, 7):
        rest = torch.arange(40) != i
        result = ep(K[rest][:, rest], Bernoulli(link, tensor(y)[rest]))
        mean, explained = latent(result, K[rest][:, rest], K[[i]][:, rest])
        assert m[i].item() == pytest.approx(mean.item(), abs=0.05)
        left = K[i, i].item() - explained.item()
        assert v[i].item() == pytest.approx(left, rel=0.05)


def test_a_large_variance_on_sorted_rows():
    """Accelerated steps do not get there; damped ones do."""
    x = np.linspace(0, 1, 1000)[:, None]
    noise = 0.3 * np.random.RandomState(0).randn(1000)
    y = np.where(np.sin(12 * x[:, 0]) + noise > 0, 1.0, -1.0)
    K, _ = gram_of(ConstantKernel(1e4) * RBF(0.2), x)
    result = ep(K, Bernoulli("logit", tensor(y)))
    assert result.converged
