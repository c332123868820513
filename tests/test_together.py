"""Starts evaluated as one batch: the same fits as one after the other."""

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp._inference import Exact
from sklearn_torchgp._inference.exact.batch import log_marginal_likelihoods
from sklearn_torchgp._inference.exact.evidence import evidence
from sklearn_torchgp._likelihoods.gaussian import Observations
from sklearn_torchgp._model import together
from sklearn_torchgp._model.together import run_together

KERNEL = 1.0 * RBF([1.0, 1.0], (1e-2, 1e2)) + WhiteKernel(0.1, (1e-4, 1e1))


@pytest.fixture
def batched(monkeypatch):
    """As on a GPU; answers how many thetas each evaluation had."""
    sizes, plain = [], Exact.infer_all

    def counted(method, covariance, observations, thetas):
        sizes.append(len(thetas))
        return plain(method, covariance, observations, thetas)

    monkeypatch.setitem(together.BATCH_ROWS, "cpu", 512)
    monkeypatch.setattr(Exact, "infer_all", counted)
    return sizes


def data(n=60, targets=1):
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, (n, 2))
    Y = np.sin(2 * X[:, :1]) + X[:, 1:] * np.arange(1, targets + 1)
    return X, np.squeeze(Y + 0.1 * rng.randn(n, targets))


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("kernel", [KERNEL, 1.0 * Matern(nu=0.8) + WhiteKernel()])
def test_batched_starts_equal_single_ones(kernel, targets, batched, monkeypatch):
    X, y = data(targets=targets)
    settings = {"n_restarts_optimizer": 4, "random_state": 0}
    batch = TorchGPRegressor(kernel, **settings).fit(X, y)
    assert batched[0] == 5
    assert sorted(batched, reverse=True) == batched  # as starts converge they leave
    monkeypatch.setitem(together.BATCH_ROWS, "cpu", 0)
    single = TorchGPRegressor(kernel, **settings).fit(X, y)
    np.testing.assert_allclose(batch.kernel_.theta, single.kernel_.theta, atol=1e-4)
    pairs = zip(batch.optimizer_results_, single.optimizer_results_, strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one.theta_start, other.theta_start)
        assert one.value == pytest.approx(other.value, rel=1e-6)
    assert sum(batched) == sum(r.n_evaluations for r in batch.optimizer_results_)


def test_what_is_not_plain_runs_one_after_the_other(batched):
    X, y = data()
    settings = {"n_restarts_optimizer": 1, "random_state": 0}
    TorchGPRegressor(KERNEL, mean="constant", **settings).fit(X, y)
    TorchGPRegressor(KERNEL, objective="loo", **settings).fit(X, y)
    TorchGPRegressor(KERNEL, **settings).fit(X, y, sample_weight=np.arange(1, 61))
    TorchGPRegressor(KERNEL).fit(X, y)
    assert batched == []


@pytest.mark.parametrize("targets", [1, 2])
def test_a_batch_equals_its_members(targets):
    rng = np.random.RandomState(0)
    A = torch.from_numpy(rng.randn(3, 12, 14))
    K = A @ A.mT
    K[1] -= 100 * torch.eye(12)  # not positive definite
    y = torch.from_numpy(rng.randn(12, targets))
    noise = torch.from_numpy(rng.rand(12))
    values, derivative = log_marginal_likelihoods(K.clone(), y, noise, 1e-3)
    G = derivative()
    assert values[1] == -np.inf
    assert not G[1].any()
    for b in (0, 2):
        lml, one, _ = evidence(K[b].clone(), Observations(y, noise, 1e-3))
        assert values[b].item() == pytest.approx(lml, rel=1e-12)
        np.testing.assert_allclose(G[b].tril(), one()[0].tril(), rtol=1e-9, atol=1e-12)


def test_members_leave_when_they_are_done():
    seen = []

    def evaluate(thetas):
        seen.append(sorted(thetas))
        return [(theta**2, 2 * theta) for theta in thetas]

    def run(objective, start):
        return [objective(start + i) for i in range(start)]

    found = run_together(evaluate, run, [1, 2, 3])
    values = [[value for value, _ in answers] for answers in found]
    assert values == [[1], [4, 9], [9, 16, 25]]
    assert seen == [[1, 2, 3], [3, 4], [5]]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_reaches_every_member():
    def evaluate(thetas):
        raise ValueError(f"nothing for {len(thetas)}")

    errors = []

    def run(objective, start):
        try:
            objective(start)
        except ValueError as error:
            errors.append(str(error))
            raise

    with pytest.raises(ValueError, match="nothing for 3"):
        run_together(evaluate, run, [1, 2, 3])
    assert errors == ["nothing for 3"] * 3


def test_a_member_that_fails_does_not_hold_the_others_up():
    def run(objective, start):
        if start == 2:
            raise RuntimeError("gone")
        return objective(start)

    with pytest.raises(RuntimeError, match="gone"):
        run_together(lambda thetas: [(t, t) for t in thetas], run, [1, 2, 3])


@pytest.mark.cuda
def test_batched_starts_on_cuda():
    X, y = data()
    settings = {"n_restarts_optimizer": 4, "random_state": 0}
    there = TorchGPRegressor(KERNEL, device="cuda", **settings).fit(X, y)
    here = TorchGPRegressor(KERNEL, device="cpu", **settings).fit(X, y)
    np.testing.assert_allclose(there.kernel_.theta, here.kernel_.theta, atol=1e-4)


def test_a_covariance_that_overflows_has_no_gradient(batched):
    kernel = DotProduct() ** 8
    X = torch.arange(1.0, 9.0)[:, None].double()
    covariance = Covariance(kernel, X.numpy(), dtype=torch.float32, device=X.device)
    observations = Observations(torch.ones(8, 1), 0.1)
    thetas = [{"kernel": np.array([20.0])}]
    ((value, gradient),) = Exact().infer_all(covariance, observations, thetas)
    assert value == -np.inf
    assert not gradient["kernel"].any()


def test_an_overridden_minimiser_has_its_thread_to_itself(batched):
    class Own(TorchGPRegressor):
        def _constrained_optimization(self, obj_func, initial_theta, bounds):
            return super()._constrained_optimization(obj_func, initial_theta, bounds)

    X, y = data()
    Own(KERNEL, n_restarts_optimizer=2, random_state=0).fit(X, y)
    assert batched == []
