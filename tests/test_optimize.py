"""The minimiser where the objective has no value."""

import warnings

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import LbfgsInvHessProduct
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._model.lbfgsb import lbfgsb
from sklearn_torchgp._model.starts import run_starts

BOUNDS = np.array([[-10.0, 10.0], [-10.0, 10.0]])


def walled(wall):
    """A quadratic with its minimum at (2, -1), and no value where x + |y| > wall."""

    def objective(theta, eval_gradient=True):
        if theta[0] + abs(theta[1]) > wall:
            return (-np.inf, np.zeros(2)) if eval_gradient else -np.inf
        gap = theta - np.array([2.0, -1.0])
        value = -10 * gap @ gap
        return (value, -20 * gap) if eval_gradient else value

    return objective


def negative(objective):
    return lambda theta: tuple(-part for part in objective(theta))


@pytest.mark.parametrize("wall", [3.01, 3.5, 5.0])
def test_a_point_without_a_value_is_stepped_back_from(wall):
    found = lbfgsb(negative(walled(wall)), np.array([-8.0, 0.5]), BOUNDS, eps=1e-16)
    theta, value = found
    assert found.converged
    np.testing.assert_allclose(theta, [2, -1], atol=1e-3)
    assert value == pytest.approx(0, abs=1e-5)


def test_a_start_without_a_value_has_not_converged():
    found = lbfgsb(negative(walled(-100.0)), np.zeros(2), BOUNDS, eps=1e-16)
    assert not found.converged
    np.testing.assert_array_equal(found[0], np.zeros(2))


def test_failures_are_counted_apart_from_evaluations():
    def minimise(obj_func, theta, bounds):
        return lbfgsb(obj_func, theta, bounds, eps=1e-16)

    starts = [np.array([-8.0, 0.5]), np.array([9.0, 9.0])]
    stages = lambda: [(10, walled(3.2))]  # noqa: E731
    good, bad = run_starts(stages, minimise, starts, BOUNDS)
    assert 0 < good.n_failed_evaluations < good.n_evaluations
    assert bad.n_failed_evaluations == bad.n_evaluations > 0
    assert good.converged
    assert not bad.converged
    assert bad.value == -np.inf


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_a_warning_points_to_whoever_called(n_classes):
    X = np.linspace(0, 9, 30)[:, None]
    y, kernel = np.sin(X[:, 0]), RBF(1.0, (1e-1, 1.0)) + WhiteKernel(1e-4)
    model = TorchGPRegressor(kernel)
    if n_classes:
        y, model = np.arange(30) * n_classes // 30, TorchGPClassifier(kernel)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    of_bounds = [w for w in caught if "close to the specified" in str(w.message)]
    assert of_bounds
    assert all(w.category is ConvergenceWarning for w in of_bounds)
    assert {w.filename for w in of_bounds} == {__file__}


def test_where_round_off_is_large_a_small_decrease_is_no_convergence():
    """A valley of float32: no step gains what it can tell, but the slope is steep."""

    def steep(theta):
        return 1e4 + 1e-4 * abs(theta[0] - 7.0), np.sign(theta - 7.0) * 1e5

    start, bounds = np.zeros(1), BOUNDS[:1]
    eps = np.finfo(np.float32).eps
    found = lbfgsb(steep, start, bounds, eps=eps, must_be_flat=True)
    assert abs(found[0][0] - 7) > 1e-3
    assert found.converged is False  # as the warning asks


HIGH = np.array([2 + 1e-5, -1 + 1e-3])


def narrow(theta):
    """A valley of curvatures 4000 and 0.5; round-off of 1e-4 speaks for one point."""
    curvature, gap = np.array([4000.0, 0.5]), theta - [2.0, -1.0]
    value = 100 + curvature @ gap**2 / 2 + 1e-4 * np.any(theta != HIGH)
    return value, curvature * gap


def test_where_no_value_is_less_the_slope_leads_on():
    assert np.abs(narrow(HIGH)[1]).max() > 0.03
    found = lbfgsb(narrow, HIGH, BOUNDS, eps=1e-16)
    assert found.n_iterations == 0
    assert found.converged
    assert np.abs(narrow(found[0])[1]).max() < 0.01

    def uphill(theta):  # its slope is wrong, and leads nowhere
        value, gradient = narrow(theta)
        return value, -gradient

    found = lbfgsb(uphill, HIGH, BOUNDS, eps=1e-16)
    assert found.converged is False
    np.testing.assert_array_equal(found[0], HIGH)


@pytest.mark.parametrize(
    ("curvature", "n_iterations", "converged"),
    [(1e5, 2, True), (1.0, 2, False), (1e5, 1, False)],
)
def test_a_steep_slope_is_at_rest_where_a_newton_step_gains_nothing(
    monkeypatch, curvature, n_iterations, converged
):
    """Said of the last search, and only by one that saw as many steps as dimensions."""
    searches = []

    def minimize(function, theta, **options):
        searches.append(theta)
        steps = np.eye(len(theta))
        return scipy.optimize.OptimizeResult(
            x=theta,
            fun=100.0,
            jac=np.full_like(theta, 10.0),  # 10^2 / curvature nats in two directions
            nit=n_iterations,
            success=True,
            message="CONVERGENCE",
            hess_inv=LbfgsInvHessProduct(steps, curvature * steps),
        )

    monkeypatch.setattr(scipy.optimize, "minimize", minimize)
    found = lbfgsb(None, np.zeros(2), BOUNDS, eps=1e-7, must_be_flat=True)
    assert len(searches) == 4
    assert found.converged is converged
