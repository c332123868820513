"""Exact inference against the formulas written out with explicit inverses."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from sklearn_torchgp._inference import Exact
from sklearn_torchgp._inference.exact.evidence import evidence
from sklearn_torchgp._inference.exact.method import JITTER_LADDER
from sklearn_torchgp._likelihoods.gaussian import Observations, rounding_jitter
from sklearn_torchgp.exceptions import NotPositiveDefiniteError


def problem(n, t=1, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.rand(n, 2)
    K = np.exp(-((X[:, None] - X[None]) ** 2).sum(-1))
    return K, rng.randn(n, t)


@pytest.mark.parametrize("n", [1, 2, 30, 300])
@pytest.mark.parametrize("t", [1, 3])
def test_value_and_derivative(n, t):
    K, Y = problem(n, t)
    noise = np.linspace(0.1, 0.2, n)
    C = K + np.diag(noise)
    expected = sum(multivariate_normal(np.zeros(n), C).logpdf(y) for y in Y.T)
    inverse = np.linalg.inv(C)
    alpha = inverse @ Y
    observed = Observations(torch.from_numpy(Y), torch.from_numpy(noise))
    lml, derivative, solution = evidence(torch.from_numpy(K.copy()), observed)
    assert lml == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(solution.alpha, alpha, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(
        derivative()[0].tril(), np.tril(alpha @ alpha.T - t * inverse) / 2, atol=1e-7
    )


def test_derivative_by_finite_differences():
    K, Y = problem(6, 2)
    noise, step = 0.3, 1e-6

    def lml(K):
        observed = Observations(torch.from_numpy(Y), noise, jitter=0.1)
        return evidence(torch.from_numpy(K.copy()), observed)

    G = lml(K)[1]()[0]
    for i, j in [(0, 0), (3, 1), (5, 4)]:
        E = np.zeros_like(K)
        E[i, j] = E[j, i] = step
        slope = (lml(K + E)[0] - lml(K - E)[0]) / (2 * step)
        assert (1 if i == j else 2) * G[i, j].item() == pytest.approx(slope, rel=1e-6)


class Given:
    """A covariance that is this matrix, whatever theta."""

    def __init__(self, K):
        self.K, self.points = K, SimpleNamespace(n=len(K))

    def gram(self, theta=None, out=None):
        return self.K.clone(), None


def infer(K, Y, noise, ladder=True):
    return Exact(ladder=ladder).infer(Given(K), Observations(Y, noise))


def test_jitter_only_as_much_as_needed():
    K, Y = problem(40)
    K, Y = torch.from_numpy(np.ones_like(K)), torch.from_numpy(Y)
    found = infer(K, Y, 1e-3)
    assert found.jitter == 0.0
    assert not found.needed_help
    found = infer(K - 1e-9 * torch.eye(40), Y, 1e-12)
    assert found.needed_help
    assert 1e-10 < found.jitter <= 1e-8
    assert found.jitter / (1 - 1e-9) == pytest.approx(
        min(JITTER_LADDER[K.dtype], key=lambda step: abs(step - found.jitter))
    )
    assert torch.isfinite(found.posterior().alpha).all()


def test_without_a_ladder_a_singular_matrix_is_an_error():
    K = torch.ones(5, 5, dtype=torch.float64) - 1e-9 * torch.eye(5)
    Y = torch.ones(5, 1, dtype=torch.float64)
    with pytest.raises(NotPositiveDefiniteError):
        infer(K, Y, 1e-12, ladder=False)
    assert infer(K, Y, 1e-12).needed_help


def test_observations_without_noise_get_no_help():
    K = torch.ones(5, 5, dtype=torch.float64)
    Y = torch.ones(5, 1, dtype=torch.float64)
    for noise in (0.0, torch.tensor([1e-12, 0.0, 1e-12, 1e-12, 1e-12]).double()):
        with pytest.raises(NotPositiveDefiniteError):
            infer(K - 1e-9 * torch.eye(5), Y, noise)


def test_a_ladder_that_does_not_reach_is_an_error():
    K = -torch.eye(5, dtype=torch.float64)
    with pytest.raises(NotPositiveDefiniteError):
        infer(K, torch.ones(5, 1, dtype=torch.float64), 1e-12)


def test_only_float32_gets_jitter_for_rounding():
    assert rounding_jitter(1000, torch.float64) == 0.0
    assert 1e-5 < rounding_jitter(1000, torch.float32) < 1e-3
