"""The kernels of `sklearn_torchgp.kernels` in every method and inference."""

import pickle

import numpy as np
import pytest
from helpers import numeric_gradient
from kernel_zoo import EVERY_OF_OURS, rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    WhiteKernel,
)

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._covariance.features import PriorPaths, terms
from sklearn_torchgp.kernels import (
    Categorical,
    Columns,
    Periodic,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_torchgp.exceptions.KernelFallbackWarning"
)
every = pytest.mark.parametrize(
    "kernel", EVERY_OF_OURS.values(), ids=list(EVERY_OF_OURS)
)
X = rows(14)
Y = np.sin(4 * X[:, 0]) + X[:, 1]
LABELS = np.where(np.median(Y) < Y, "a", "b")
THREE = np.array(["a", "b", "c"])[np.argsort(np.argsort(Y)) * 3 // len(Y)]
REGRESSION = {
    "lml": {},
    "loo": {"objective": "loo"},
    "trend": {"mean": "linear"},
    "targets": {"normalize_y": True},
}


@every
@pytest.mark.parametrize("options", REGRESSION.values(), ids=REGRESSION)
def test_regression(kernel, options):
    y = np.c_[Y, Y**2] if "normalize_y" in options else Y
    model = TorchGPRegressor(kernel + WhiteKernel(0.1), optimizer=None, **options)
    model.fit(X, y)
    theta = model.kernel_.theta
    loo = model.loo_log_predictive_density
    value = loo if "objective" in options else model.log_marginal_likelihood
    gradient = value(theta, eval_gradient=True)[1]
    wanted = numeric_gradient(value, theta)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())
    Z = rows(4, seed=3)
    slopes = model.predict_gradient(Z)
    wanted = numeric_gradient(model.predict, Z, step=1e-5)
    assert_allclose(slopes, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    grown = clone(model).fit(X[:9], y[:9]).partial_fit(X[9:], y[9:])
    if "normalize_y" not in options:
        assert_allclose(grown.predict(Z), model.predict(Z), rtol=1e-6, atol=1e-8)
    assert_allclose(pickle.loads(pickle.dumps(model)).predict(Z), model.predict(Z))


@every
@pytest.mark.parametrize("inference", ["laplace", "ep", "vi"])
def test_classification(kernel, inference):
    model = TorchGPClassifier(kernel, optimizer=None, inference=inference)
    model.fit(X, LABELS)
    theta = model.kernel_.theta
    value = model.log_marginal_likelihood
    gradient = value(theta, eval_gradient=True)[1]
    wanted = numeric_gradient(value, theta)
    assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    assert_allclose(model.predict_proba(rows(4, seed=3)).sum(1), 1.0)


@every
def test_several_classes(kernel):
    for options in ({}, {"multi_class": "softmax"}):
        model = TorchGPClassifier(kernel, optimizer=None, **options).fit(X, THREE)
        assert model.predict_proba(X).shape == (14, 3)


@every
def test_a_fit_climbs(kernel):
    kernel = 1.0 * kernel + WhiteKernel(0.1)
    fixed = TorchGPRegressor(kernel, optimizer=None).fit(X, Y)
    model = TorchGPRegressor(kernel, dtype="mixed").fit(X, Y)
    value = model.log_marginal_likelihood_value_
    assert value > fixed.log_marginal_likelihood_value_
    lower, upper = model.kernel_.bounds.T
    theta = model.kernel_.theta
    assert (theta >= lower - 1e-9).all()
    assert (theta <= upper + 1e-9).all()


HAVE_PATHS = [
    "columns",
    "periodic",
    "periodic-ard",
    "rational-quadratic-ard",
    "tied-matern-ard",
    "polynomial",
    "additive",
    "additive-ard",
    "spectral-mixture",
    "spectral-mixture-alike",
    "partly-fixed",
]


@pytest.mark.parametrize("name", HAVE_PATHS)
def test_the_prior_of_paths_has_the_kernel_as_covariance(name):
    kernel, rng = EVERY_OF_OURS[name], np.random.RandomState(0)
    Z = rows(5, seed=7)
    values = sum(
        PriorPaths(term, 8, 6000, 3, rng)(Z).numpy() for term in terms(kernel, 3)
    )
    K = kernel(Z, Z)
    scale = np.sqrt(np.outer(np.diag(K), np.diag(K)))
    assert_allclose(np.cov(values) / scale, K / scale, atol=0.09)


def test_paths_of_a_model():
    kernel = Columns(Periodic(1.0, 0.8), 0) + Columns(RBF([1.0, 1.0]), [1, 2])
    model = TorchGPRegressor(kernel + WhiteKernel(0.01), optimizer=None).fit(X, Y)
    paths = model.sample_paths(500, random_state=0, n_features=64)(X)
    assert_allclose(paths.mean(1), model.predict(X), atol=0.05)
    categorical = TorchGPRegressor(Categorical(), optimizer=None).fit(X, Y)
    with pytest.raises(ValueError, match="Categorical.*without random features"):
        categorical.sample_paths()
