"""Kernels that run through their own NumPy code: copies, and what they compute."""

import numpy as np
import pytest
import torch
from kernel_zoo import ZOO, Numpy, rows
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process.kernels import RBF, Exponentiation, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp._covariance.copies import at_theta
from sklearn_torchgp._covariance.fallback import Fallback

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_torchgp.exceptions.KernelFallbackWarning"
)
X = rows(12)
FORM = {"dtype": torch.float64, "device": torch.device("cpu")}


class InPlace(RBF):
    """Its theta is written into the array that it was given."""

    @property
    def theta(self):
        return np.log(self.length_scale)

    @theta.setter
    def theta(self, theta):
        self.length_scale[:] = np.exp(theta)


class Logging(RBF):
    """Tells how often it was evaluated, in a list that is no parameter."""

    calls = []

    def __call__(self, X, Y=None, eval_gradient=False):
        self.calls.append(eval_gradient)
        return super().__call__(X, Y, eval_gradient)


class Tagged(Numpy):
    """With a parameter of the user's that is slow to copy."""

    def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5), tag=None):
        super().__init__(length_scale, length_scale_bounds)
        self.tag = tag


class Counted(Numpy):
    """Its constructor leaves more than parameters: numbers, and with `memo` a cache."""

    made = 0

    def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5), memo=False):
        super().__init__(length_scale, length_scale_bounds)
        self.memo = memo
        self.known = {} if memo else [1, (2.0, "two")]
        self.room = np.zeros(3)
        type(self).made += 1

    def __call__(self, X, Y=None, eval_gradient=False):
        if not self.memo or eval_gradient or Y is not None:
            return super().__call__(X, Y, eval_gradient)
        if "K" not in self.known:
            self.known["K"] = super().__call__(X)
        return self.known["K"]


class Whole(Exponentiation):
    """A composition with code of its own: it is evaluated as one, parts and all."""

    def __init__(self, kernel, exponent=1):
        super().__init__(kernel, exponent)

    def __call__(self, X, Y=None, eval_gradient=False):
        return super().__call__(X, Y, eval_gradient)


def none(tree, points):
    """No few rows."""


@pytest.mark.parametrize("name", ZOO)
def test_a_copy_at_theta_is_a_clone_with_theta(name):
    kernel = ZOO[name]
    before, theta = repr(kernel), kernel.theta + 0.3
    found, wanted = (
        make(kernel, theta) for make in (at_theta, type(kernel).clone_with_theta)
    )
    assert found == wanted
    assert type(found) is type(kernel)
    assert_array_equal(found.theta, wanted.theta)
    assert_array_equal(found(X), wanted(X))
    assert repr(kernel) == before


@pytest.mark.parametrize("composed", [False, True])
def test_a_theta_that_is_written_in_place_stays_out_of_the_kernel(composed):
    part = InPlace(np.array([0.5, 1.0, 2.0]))
    kernel = part + WhiteKernel(0.1) if composed else part
    copy = at_theta(kernel, kernel.theta + 1)
    assert_allclose(copy.theta, kernel.theta + 1)
    assert_array_equal(part.length_scale, [0.5, 1.0, 2.0])


def test_parameters_that_are_no_kernel_are_shared_and_arrays_are_not():
    kernel = Tagged(np.ones(3), tag=object())
    copy = at_theta(kernel, np.zeros(3))
    assert copy.tag is kernel.tag
    assert copy.length_scale is not kernel.length_scale


@pytest.mark.parametrize("memo", [False, True])
def test_a_constructor_works_again_only_where_it_leaves_more_than_constants(memo):
    kernel = 1.5 * Counted([0.5, 1.0, 2.0], memo=memo) ** 2 + WhiteKernel(0.1)
    theta = kernel.theta + 0.3
    kernel(X)
    Counted.made = 0
    copy = at_theta(kernel, theta)
    assert Counted.made == memo
    wanted = kernel.clone_with_theta(theta)
    assert_array_equal(copy.theta, wanted.theta)
    assert_array_equal(copy(X), wanted(X))
    own, other = kernel.k1.k2.kernel, copy.k1.k2.kernel
    assert other.known == ({"K": other(X)} if memo else own.known)
    assert other.room is not own.room
    assert vars(other).keys() == vars(own).keys()


def test_fixed_hyperparameters_stay_what_they_are():
    kernel = Numpy(0.7, "fixed") * Numpy(np.ones(3)) + WhiteKernel(0.1, "fixed")
    copy = at_theta(kernel, np.log([0.5, 1.0, 2.0]))
    assert copy.k1.k1.length_scale == 0.7
    assert_allclose(copy.k1.k2.length_scale, [0.5, 1.0, 2.0])
    assert copy.k2.noise_level == 0.1


def test_the_value_comes_with_the_gradient_where_that_was_asked_for_last():
    y = X.sum(axis=1)
    model = TorchGPRegressor(Logging() + WhiteKernel(), optimizer=None).fit(X, y)
    theta = model.kernel_.theta
    plain = model.log_marginal_likelihood(theta)
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    Logging.calls.clear()
    again, same = model.log_marginal_likelihood(theta, eval_gradient=True)
    assert Logging.calls == [True]
    assert again == value == plain
    assert_array_equal(same, gradient)
    Logging.calls.clear()
    model.log_marginal_likelihood(theta)
    model.log_marginal_likelihood(theta)
    assert Logging.calls == [True, False]  # a guess, given up at once


WHOLE = {
    "free": Numpy(np.array([0.5, 1.0, 2.0])),
    "power": (1.5 * Counted(0.8)) ** 2,
    "nothing free": Numpy(0.8, "fixed"),
}


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("name", WHOLE)
def test_few_rows_of_a_numpy_kernel_are_what_its_node_says(name, own):
    covariance = Covariance(Whole(WHOLE[name]), X, **FORM)
    theta = None if own else WHOLE[name].theta - 0.2
    G = torch.randn(12, 12, dtype=torch.float64, generator=torch.manual_seed(0))
    G = G + G.mT
    given = G.clone()
    out = torch.empty(12, 12, dtype=torch.float64)
    for _ in range(2):  # the second time the value comes with the gradient
        K, pullback = covariance.few.gram(theta, out)
        wanted, pull = covariance.at(theta).gram(torch.empty_like(out))
        assert_array_equal(K.tril(), wanted.tril())
        assert_allclose(pullback(G.tril()), pull(G), rtol=1e-12)
    assert_array_equal(G, given)
    Z = rows(5, seed=4)
    assert_array_equal(covariance.few.cross(Z), covariance.cross(Z))
    for noise in (True, False):
        wanted = covariance.diag(Z, noise=noise)
        assert_array_equal(covariance.few.diag(Z, noise=noise), wanted)


@pytest.mark.parametrize("name", WHOLE)
def test_a_posterior_of_few_rows_is_that_of_torch(name, monkeypatch):
    y = np.column_stack([X.sum(axis=1), X[:, 0]])
    model = TorchGPRegressor(Whole(WHOLE[name]), alpha=0.01, optimizer=None).fit(X, y)
    Z, theta = rows(5, seed=4), model.kernel_.theta - 0.2

    def said():
        mean, std = model.predict(Z, return_std=True)
        one = model.predict(Z[:1], return_std=True, include_noise=True)
        return mean, std, *one, *model.log_marginal_likelihood(theta, True)

    assert model._model().covariance.few is not None
    found = said()
    monkeypatch.setattr("sklearn_torchgp._covariance.covariance.few_rows", none)
    assert model._model().covariance.few is None
    for got, want in zip(found, said(), strict=True):
        assert_allclose(got, want, rtol=1e-10)


def test_values_that_are_not_finite_are_left_to_torch():
    covariance = Covariance(Numpy(0.7), X, **FORM)
    assert covariance.few.cross(np.full((1, 3), np.nan)) is None


def test_a_node_evaluates_what_the_kernel_does():
    kernel = Numpy(0.7)
    node = Fallback(kernel, 0, 0)
    points = torch.as_tensor(X)
    assert node.parameters(None, points) is kernel
    assert node.parameters(np.log([0.5]), points) == Numpy(0.5)
