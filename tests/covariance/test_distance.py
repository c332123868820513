"""Distances: exact for near rows, at any scale, and taken once where they are kept."""

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, Matern, RationalQuadratic

from sklearn_torchgp import TorchGPClassifier
from sklearn_torchgp._covariance import Covariance, Points, distance
from sklearn_torchgp._covariance.distance import Separation

CPU = torch.device("cpu")


def tensor(seed=0, scale=1.0):
    return scale * torch.from_numpy(np.random.RandomState(seed).randn(20, 3))


@pytest.mark.parametrize("scale", [1e-200, 1e-90, 1.0, 1e8, 1e90, 1e200])
def test_kept_distances_equal_those_taken_anew(scale):
    X, Z = tensor(0, scale), tensor(1, scale)
    kept, anew = Separation(X, Z, kept=True), Separation(X, Z)
    for length_scale in (0.3 * scale, 4.0 * scale):
        np.testing.assert_allclose(
            kept.distance(length_scale), anew.distance(length_scale), rtol=1e-14
        )
    each = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) * scale
    assert torch.equal(kept.distance(each), anew.distance(each))


def count_calls(monkeypatch):
    calls, plain = [], distance.distance
    monkeypatch.setattr(
        distance, "distance", lambda *args: calls.append(1) or plain(*args)
    )
    return calls


def test_kernels_with_one_length_scale_share_the_distances(monkeypatch):
    calls = count_calls(monkeypatch)
    X = np.random.RandomState(0).randn(40, 3)
    points = Points(X, dtype=torch.float64, device=CPU)
    for kernel in (Matern(nu=0.7) + RationalQuadratic(), RBF() * RationalQuadratic()):
        cov = Covariance(kernel, points, dtype=torch.float64, device=CPU)
        cov.gram(kernel.theta)
        cov.gram(kernel.theta + 1)
    assert len(calls) == 1


def test_many_rows_keep_no_distances(monkeypatch):
    monkeypatch.setattr("sklearn_torchgp._covariance.at.KEPT", 10)
    calls = count_calls(monkeypatch)
    X = np.random.RandomState(0).randn(40, 3)
    kernel = RationalQuadratic()
    cov = Covariance(kernel, X, dtype=torch.float64, device=CPU)
    for _ in range(2):
        cov.gram(kernel.theta)
    assert len(calls) == 2
    assert not cov.points._pairs


def test_one_vs_rest_problems_share_the_distances(monkeypatch):
    calls = count_calls(monkeypatch)
    X = np.random.RandomState(0).randn(30, 2)
    y = np.arange(30) % 3
    TorchGPClassifier(Matern(nu=0.7), multi_class="one_vs_rest").fit(X, y)
    assert len(calls) == 1
