"""Variational inference against a generic maximiser of the bound."""

import importlib

import numpy as np
import pytest
import torch
from classification_cases import (
    LINKS,
    check_gradient,
    extreme_problems,
    gram_of,
    tensor,
    two_moons,
)
from scipy.optimize import minimize
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from sklearn_torchgp._inference import SITE_ALGORITHMS
from sklearn_torchgp._inference.sites.response import Step, scale_precision
from sklearn_torchgp._likelihoods import Bernoulli

vi = SITE_ALGORITHMS["vi"]
vi_module = importlib.import_module("sklearn_torchgp._inference.sites.vi")


def best_bound(K, likelihood, weight=None):
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
        z = np.linspace(-9, 9, 1501)  # the trapezoidal rule, fine for f to 0.6
        w = np.exp(-0.5 * z**2)
        f = mean[:, None] + variance.sqrt()[:, None] * torch.tensor(z)
        log_p = torch.nn.functional.logsigmoid if likelihood == "logit" else None
        log_p = log_p or torch.special.log_ndtr
        fit = log_p(negative_bound.y[:, None] * f) @ torch.tensor(w / w.sum())
        bound = kl - (fit if weight is None else tensor(weight) * fit).sum()
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


@pytest.mark.parametrize("link", LINKS)
def test_every_step_raises_the_bound(link, monkeypatch):
    accepted = []

    def watched(K, likelihood, here, step, *rest):
        there, tried = search(K, likelihood, here, step, *rest)
        if there is not None:
            accepted.append((there.value - here.value, here.noise, tried))
        return there, tried

    search = vi_module._search
    monkeypatch.setattr(vi_module, "_search", watched)
    for _, X, y, weight in extreme_problems():
        weight = None if weight is None else tensor(weight)
        for variance in (1.0, 1e2, 1e4, 1e6):
            K, _ = gram_of(ConstantKernel(variance) * RBF(1.0), X)
            vi(K, Bernoulli(link, tensor(y), weight))
    gain, noise, _ = np.array(accepted).T
    assert len(gain) > 100
    assert np.all(gain + noise >= 0)


@pytest.mark.parametrize("link", LINKS)
def test_a_step_that_is_too_long_is_shortened(link):
    X, y = two_moons(20)
    K, _ = gram_of(ConstantKernel(1e4) * RBF(1.0), X)
    likelihood = Bernoulli(link, tensor(y))
    here = vi_module._start(K, likelihood, None, None)
    step = vi_module._newton(here)
    longer = Step(*(30 * part for part in step))
    args = (K, likelihood, here, longer)
    full, _ = scale_and_evaluate(*args)
    assert full < here.value
    there, tried = vi_module._search(*args, 20, None)
    assert tried > 1
    assert there.value > here.value
    assert vi_module._search(*args, 1, None) == (None, 1)


def scale_and_evaluate(K, likelihood, here, step):
    precision = scale_precision(here.precision, step.relative)
    alpha = here.q.alpha + step.alpha
    there = vi_module._evaluate(K, likelihood, alpha, precision, None)
    return there.value, there


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("variance", [1e2, 1e4])
def test_the_slow_optimum_at_large_variance(link, variance):
    X, y = two_moons(6)
    weight = np.array([1.0, 30.0, 0.2, 1.0, 5.0, 1.0])
    K, _ = gram_of(ConstantKernel(variance) * RBF(0.5), X)
    for w in (None, weight):
        negative_bound, rows, cols = best_bound(K, link, w)
        negative_bound.y = tensor(y)
        start = np.zeros(6 + len(rows))
        start[6:][rows == cols] = 0.3 * variance**0.5
        start[:6] = y * variance**0.5
        for _ in range(3):
            optimum = minimize(
                negative_bound, start, jac=True, method="BFGS", options={"gtol": 1e-9}
            )
            start = optimum.x
        result = vi(K, Bernoulli(link, tensor(y), None if w is None else tensor(w)))
        assert result.lml == pytest.approx(-optimum.fun, abs=1e-5)


@pytest.mark.parametrize("link", LINKS)
def test_one_row_against_a_grid(link):
    """n = 1: the bound over the mean and the deviation, by brute force."""
    for variance in (1e-2, 1.0, 1e2, 1e4):
        K = tensor([[variance]])
        likelihood = Bernoulli(link, tensor([1.0]))
        result = vi(K, likelihood)
        unit = variance**0.5
        mean = tensor(np.linspace(0, 4, 161) * unit)
        for sd in tensor(np.geomspace(0.02, 1.2, 60) * unit):
            v = sd.square().expand(161)
            fit = Bernoulli(link, torch.ones(161).double()).expectations(mean, v)[0]
            kl = 0.5 * ((v + mean.square()) / variance - 1 - (v / variance).log())
            assert (fit - kl).max() <= result.lml + 1e-9
        assert result.lml < -np.log(2) + 1e-12


def test_a_start_changes_nothing_but_the_time():
    X, y = two_moons(50)
    for link in LINKS:
        likelihood = Bernoulli(link, tensor(y))
        K, _ = gram_of(ConstantKernel(9.0) * RBF(1.0), X)
        cold = vi(K, likelihood)
        for factor in (1.2, 1e4):
            warm = vi(K, likelihood, vi(factor * K, likelihood).start)
            assert warm.lml == pytest.approx(cold.lml, rel=1e-11)
        near = vi(1.05 * K, likelihood).start
        assert vi(K, likelihood, near).n_iterations < cold.n_iterations
