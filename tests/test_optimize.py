"""The minimiser where the objective has no value."""

import numpy as np
import pytest

from sklearn_torchgp._model.optimize import lbfgsb, run_starts

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
