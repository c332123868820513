"""DeepKernel: a module trained together with theta."""

import copy
import pickle

import numpy as np
import pytest
import torch
from helpers import numeric_gradient
from kernel_zoo import network, rows
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct, WhiteKernel

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp._covariance.weights import set_weights, weights_of
from sklearn_torchgp.kernels import Additive, Columns, DeepKernel

CPU = torch.device("cpu")
X = rows(24)
Y = np.tanh(6 * (X[:, 0] - X[:, 1])) + 0.2 * np.random.RandomState(0).randn(24)
LABELS = np.median(Y) < Y


def kernel_of(*widths, inner=None):
    inner = RBF([0.5] * widths[-1]) if inner is None else inner
    return DeepKernel(network(*widths), inner)


def deep():
    return 1.2 * kernel_of(3, 2, 1) + WhiteKernel(0.05, (0.01, 1.0))


def features(kernel, X):
    with torch.no_grad():
        module = copy.deepcopy(kernel.network).double()
        return module(torch.from_numpy(X)).numpy()


def state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def same_state(one, other):
    return all(torch.equal(one[k], other[k]) for k in one)


def test_it_is_the_kernel_of_the_features():
    kernel = kernel_of(3, 4, 2)
    U, V = features(kernel, X), features(kernel, rows(5, seed=1))
    assert_allclose(kernel(X), kernel.kernel(U), rtol=1e-12)
    assert_allclose(kernel(rows(5, seed=1), X), kernel.kernel(V, U), rtol=1e-12)
    assert_array_equal(kernel.theta, kernel.kernel.theta)


@pytest.mark.parametrize(
    "inner", [RBF([0.5, 0.7]), DotProduct(0.8) + RBF(0.3)], ids=["rbf", "dot"]
)
@pytest.mark.parametrize("part", ["gram", "blocks", "cross", "diag"])
def test_gradient_in_the_weights(inner, part):
    kernel = 1.3 * kernel_of(3, 4, 2, inner=inner) + Columns(
        kernel_of(1, 2, 1), [2]
    ) * WhiteKernel(0.3)
    covariance = Covariance(kernel, X, dtype=torch.float64, device=CPU)
    vector = np.r_[kernel.theta, weights_of(kernel)]
    assert covariance.n_weights == len(weights_of(kernel)) == 12 + 10 + 2 + 3
    ask = {
        "gram": lambda v: covariance.gram(v),
        "blocks": lambda v: covariance.at(v).blocks(np.arange(24).reshape(6, 4)),
        "cross": lambda v: covariance.at(v).cross(
            covariance.points.others(rows(7, seed=2))
        ),
        "diag": lambda v: covariance.at(v).diag(),
    }[part]
    value, pullback = ask(vector)
    G = torch.from_numpy(np.random.RandomState(0).randn(*value.shape))
    if part == "gram":
        G = G + G.mT

    def total(v):
        value = ask(v)[0]
        value = value.tril() + value.tril(-1).mT if part == "gram" else value
        return (G * value).sum().item()

    wanted = numeric_gradient(total, vector)
    assert_allclose(pullback(G), wanted, rtol=1e-6, atol=1e-6)
    # Without weights in theta they are the kernel's own, and have no gradient.
    _, pullback = ask(kernel.theta)
    assert total(kernel.theta) == pytest.approx(total(vector), rel=1e-6)
    assert_allclose(pullback(G), wanted[: kernel.n_dims], rtol=1e-4, atol=1e-5)


REGRESSION = {
    "lml": {},
    "loo": {"objective": "loo"},
    "mixed": {"dtype": "mixed"},
    "trend": {"mean": "linear"},
    "restarts": {"n_restarts_optimizer": 1, "random_state": 0},
    "vecchia": {"method": "vecchia", "n_neighbors": 12, "random_state": 0},
    "vecchia, loo": {"method": "vecchia", "objective": "loo", "random_state": 0},
}


@pytest.mark.parametrize("options", REGRESSION.values(), ids=REGRESSION)
def test_a_fit_trains_a_copy(options):
    kernel = clone(deep())
    module = kernel.k1.k2.module
    before = state(module)
    if "n_restarts_optimizer" in options:
        kernel.k1.k1.constant_value_bounds = (0.1, 10.0)
        kernel.k1.k2.kernel.length_scale_bounds = (0.1, 10.0)
    model = TorchGPRegressor(kernel, **options).fit(X, Y)
    assert same_state(before, module.state_dict())
    assert model.kernel.k1.k2.module is module
    assert not hasattr(model.kernel.k1.k2, "module_")
    trained = model.kernel_.k1.k2.module_
    assert not same_state(before, {k: v.float() for k, v in state(trained).items()})
    assert torch.equal(trained[0].bias.float(), module[0].bias)  # not to be trained
    assert all(len(r.theta) == kernel.n_dims for r in model.optimizer_results_)
    # An optimum in the weights, too, and better than that of theta alone.
    alone = TorchGPRegressor(
        kernel, objective=lambda gp, t, g: gp.log_marginal_likelihood(t, g)
    ).fit(X, Y)
    assert not hasattr(alone.kernel_.k1.k2, "module_")
    if not options:
        value = model.log_marginal_likelihood_value_
        assert value > alone.log_marginal_likelihood_value_ + 1
        assert value == pytest.approx(
            model.log_marginal_likelihood(model.kernel_.theta), abs=1e-8
        )


def test_what_is_fitted_stays():
    model = TorchGPRegressor(deep()).fit(X[:18], Y[:18])
    Z = rows(5, seed=4)
    expected = model.predict(Z)
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_allclose(copied.predict(Z), expected, rtol=1e-12)
    kernel = model.kernel_
    part = kernel.k1.k2
    with_theta = part.clone_with_theta(part.theta)
    assert with_theta == part
    assert_allclose(with_theta(X), part(X), rtol=1e-12)
    reset = clone(kernel)
    assert reset != kernel
    assert_array_equal(weights_of(reset), weights_of(model.kernel))
    again = clone(model).fit(X[:18], Y[:18])
    assert_allclose(again.predict(Z), expected, rtol=1e-6)
    model.partial_fit(X[18:], Y[18:])
    whole = kernel(Z, X) @ np.linalg.solve(kernel(X) + 1e-10 * np.eye(24), Y)
    assert_allclose(model.predict(Z), whole, rtol=1e-6)
    slopes = model.predict_gradient(Z)
    wanted = numeric_gradient(model.predict, Z, step=1e-5)
    assert_allclose(slopes, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("inference", ["laplace", "ep", "vi"])
def test_classification(inference):
    kernel = kernel_of(3, 2, 1)
    fixed = TorchGPClassifier(kernel, optimizer=None, inference=inference)
    value = "log_marginal_likelihood_value_"
    start = getattr(fixed.fit(X, LABELS), value)
    model = TorchGPClassifier(kernel, inference=inference).fit(X, LABELS)
    assert getattr(model, value) > start
    assert hasattr(model.kernel_, "module_")
    at_theta = model.log_marginal_likelihood(model.kernel_.theta)
    assert getattr(model, value) == pytest.approx(at_theta, abs=1e-4)
    model = TorchGPClassifier(kernel).fit(X, np.digitize(Y, [-0.3, 0.3]))
    assert model.predict_proba(X).shape == (24, 3)


def test_in_scikit_learns_own_the_weights_stay():
    model = GaussianProcessRegressor(deep()).fit(X, Y)
    assert_array_equal(weights_of(model.kernel_), weights_of(deep()))
    assert not hasattr(model.kernel_.k1.k2, "module_")


def test_images_arrive_flattened():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Unflatten(1, (1, 6, 6)),
            torch.nn.Conv2d(1, 2, 3),
            torch.nn.Flatten(),
            torch.nn.Linear(32, 2),
        )
    images = np.random.RandomState(0).rand(20, 36)
    y = images[:, :18].sum(1) - images[:, 18:].sum(1)
    model = TorchGPRegressor(DeepKernel(net, RBF()) + WhiteKernel(0.1)).fit(images, y)
    assert model.score(images, y) > 0.9


def test_weights_there_and_back():
    kernel = clone(deep())
    weights = weights_of(kernel)
    set_weights(kernel, weights + 1 / 3)
    assert_array_equal(weights_of(kernel), weights + 1 / 3)  # in float64
    assert "<Sequential, 11 weights>" in repr(kernel)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (DeepKernel("net", RBF()), "'module' parameter of DeepKernel.*'net'"),
        (kernel_of(5, 2, 1), "'module' parameter of DeepKernel cannot be given rows"),
        (
            DeepKernel(torch.nn.Flatten(0), RBF()),
            r"'module' parameter of DeepKernel must map rows",
        ),
        (kernel_of(3, 2, 2, inner=RBF([1.0] * 3)), "Anisotropic"),
        (Additive(kernel_of(1, 2, 1)), "'kernel' parameter of Additive.*DeepKernel"),
    ],
)
def test_modules_that_do_not_fit(kernel, message):
    model = TorchGPRegressor(kernel)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert not hasattr(model, "kernel_")
