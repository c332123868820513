"""Coarse-to-fine optimisation and starts side by side: the same optimum, reported."""

import threading

import joblib
import numpy as np
import pytest
from helpers import surface
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._model.stages import growing_subsets
from sklearn_torchgp._model.together import run_together

KERNEL = 1.0 * RBF([1.0, 1.0], (1e-2, 1e2)) + WhiteKernel(0.1, (1e-4, 1e1))


def test_coarse_to_fine_ends_in_the_same_optimum():
    X, y = surface(640)
    plain = TorchGPRegressor(KERNEL).fit(X, y)
    coarse = TorchGPRegressor(KERNEL, optimizer="coarse-to-fine").fit(X, y)
    assert coarse.log_marginal_likelihood_value_ == pytest.approx(
        plain.log_marginal_likelihood_value_, abs=1e-4
    )
    np.testing.assert_allclose(coarse.kernel_.theta, plain.kernel_.theta, atol=1e-2)
    (record,) = coarse.optimizer_results_
    assert list(record.n_coarse_evaluations) == [320]
    assert record.n_coarse_evaluations[320] > 0
    assert 0 < record.n_evaluations < plain.optimizer_results_[0].n_evaluations


def test_coarse_to_fine_takes_noise_and_targets_of_its_rows():
    X, y = surface(600)
    Y, alpha = np.column_stack([y, -2 * y]), np.linspace(1e-3, 1e-1, 600)
    model = TorchGPRegressor(
        1.0 * RBF(1.0), alpha=alpha, optimizer="coarse-to-fine", normalize_y=True
    ).fit(X, Y)
    plain = model.__class__(1.0 * RBF(1.0), alpha=alpha, normalize_y=True).fit(X, Y)
    np.testing.assert_allclose(model.kernel_.theta, plain.kernel_.theta, atol=1e-2)


def test_few_rows_have_no_coarse_stage():
    X, y = surface(60)
    model = TorchGPRegressor(KERNEL, optimizer="coarse-to-fine").fit(X, y)
    plain = TorchGPRegressor(KERNEL).fit(X, y)
    np.testing.assert_array_equal(model.kernel_.theta, plain.kernel_.theta)
    assert model.optimizer_results_[0].n_coarse_evaluations == {}


def test_subsets_are_the_same_every_time_and_grow():
    first, second = growing_subsets(2400), growing_subsets(2400)
    assert [len(rows) for rows in first] == [300, 1200]
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert set(first[0]) <= set(first[1])
    assert growing_subsets(599) == []


def test_subsets_are_of_all_rows():
    """Not the first ones: of a time series they would tell another story."""
    for rows in growing_subsets(2400):
        eighths = np.bincount(rows // 300, minlength=8) / len(rows)
        np.testing.assert_allclose(eighths, 1 / 8, atol=0.04)
        assert np.array_equal(rows, np.sort(rows))


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_starts_side_by_side_change_nothing(backend):
    X, y = surface(40)
    options = dict(n_restarts_optimizer=3, random_state=3)
    alone = TorchGPRegressor(KERNEL, **options).fit(X, y)
    with joblib.parallel_config(backend, n_jobs=2):
        together = TorchGPRegressor(KERNEL, **options).fit(X, y)
    for a, b in zip(alone.optimizer_results_, together.optimizer_results_, strict=True):
        np.testing.assert_array_equal(a.theta_start, b.theta_start)
        np.testing.assert_allclose(a.theta, b.theta, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(alone.kernel_.theta, together.kernel_.theta, rtol=1e-6)


def test_n_jobs_is_taken_from_the_estimator():
    """Two starts that wait for each other: only side by side do they both go on."""

    def model(n_jobs, timeout):
        meeting = threading.Barrier(2, timeout=timeout)

        def optimizer(obj_func, initial_theta, bounds):
            meeting.wait()
            return initial_theta, obj_func(initial_theta, eval_gradient=False)

        return TorchGPRegressor(
            KERNEL, optimizer=optimizer, n_restarts_optimizer=1, n_jobs=n_jobs
        )

    X, y = surface(30)
    with joblib.parallel_config("threading"):
        model(2, 20).fit(X, y)
        with pytest.raises(threading.BrokenBarrierError):
            model(None, 0.1).fit(X, y)


def test_a_meeting_that_is_broken_off_lets_nobody_wait():
    """One member fails: the others hear of it at their next call."""
    started, told = threading.Event(), []

    def run(objective, start):
        if start == 0:
            started.wait(20)
            raise KeyboardInterrupt
        started.set()
        with pytest.raises(RuntimeError, match="broken off"):
            any(objective(i) is None for i in range(10**5))
        told.append(start)

    with pytest.raises(KeyboardInterrupt):
        run_together(lambda thetas: [(t, t) for t in thetas], run, [0, 1])
    assert told == [1]
