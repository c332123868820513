"""Sums over shards equal those of one process, on workers that are here."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._covariance import Points
from sklearn_torchgp._data.spread import Copies, Shards

RNG = np.random.RandomState(3)
N = 90
X = RNG.uniform(-2, 2, (N, 2))
Y = np.sin(4 * X[:, 0]) + X[:, 1] + 0.3 * RNG.standard_normal(N)
WEIGHT = RNG.choice([0.5, 1.0, 3.0], N)
NOISE = RNG.uniform(0.01, 0.2, (N, 2))
KERNEL = 1.5 * RBF([0.7, 1.2]) + WhiteKernel(0.2)
KEPT = {"random_state": 0, "optimizer": None}
THROUGH = {**KEPT, "method": "inducing", "inducing_points": X[::4]}


class Workers:
    """A Client whose workers have names, and do at once what they are asked."""

    def submit(self, function, *args, **options):
        return function(*args)

    def gather(self, futures):
        return list(futures)

    def nthreads(self):
        return {"a": 2, "b": 1}


class Parts:
    """A Table whose parts are row numbers."""

    client = Workers()

    def __init__(self, *stops):
        self.parts = np.split(np.arange(N), stops)

    def by_worker(self):
        yield "a", self.parts[::2]
        yield "a", self.parts[1:2]
        yield "b", self.parts[3::2]


def regressor(**params):
    return TorchGPRegressor(KERNEL, **params, alpha=1e-3)


def labels(**params):
    model = TorchGPClassifier(1.5 * RBF([0.7, 1.2]), inference="vi", **params)
    return model.fit(X, Y > 0, WEIGHT).base_estimator_


MODELS = {
    "rows": lambda: regressor(**THROUGH).fit(X, Y),
    "weights and trend": lambda: regressor(**THROUGH, mean="linear").fit(X, Y, WEIGHT),
    "two factors": lambda: regressor(**THROUGH).fit(X, np.c_[Y, Y**2], None, NOISE),
    "float32": lambda: regressor(**THROUGH, dtype="float32").fit(X, Y),
    "labels": lambda: labels(**THROUGH),
}


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_rows(name, moves):
    model = MODELS[name]()._model()
    model = model.with_method(replace(model.method, moves=moves))
    points = model.covariance.points

    def bind(rows):
        own = Points(X[rows], dtype=points.dtype, device=points.device)
        return own, model.likelihood.rows(rows)

    shards = Shards(Parts(1, 40, 41, 70), bind)
    assert shards.n == N
    # Of the rows that are here one needs to know no more than that they are some.
    some = model.rows(np.arange(5)) if name != "labels" else model
    same_inference(model, replace(some, shards=shards), moves)


TERMS = {
    "terms": {},
    "trend and weights": {"mean": "constant"},
    "left out": {"objective": "loo"},
}


@pytest.mark.parametrize("name", TERMS)
def test_terms(name):
    params = {**KEPT, **TERMS[name], "method": "vecchia", "n_neighbors": 7}
    weight = WEIGHT if "weights" in name else None
    estimator = regressor(**params).fit(X, Y, weight)
    model = estimator._model(estimator._method(estimator.objective))
    shards = Copies(Workers(), model.covariance.points, model.likelihood)
    assert len(shards.groups) == 3
    same_inference(model, replace(model, shards=shards))


def same_inference(here, there, moves=False):
    single = here.covariance.points.itemsize == 4
    rtol = 2e-3 if single else 1e-8
    theta = {"kernel": here.covariance.own_theta + 0.1}
    if moves:
        Z = here.method.points
        theta["inducing"] = np.linspace(-0.1, 0.1, Z.size)
    places = here.method.places(here.covariance.at()) if moves else None
    found = [one.infer(theta, start=places) for one in (there, here)]
    assert_allclose(*[one.value for one in found], rtol=rtol)
    for ours, known in zip(*[one.gradient().values() for one in found], strict=True):
        assert_allclose(ours, known, rtol=rtol, atol=rtol * np.abs(known).max())
    posteriors = [one.infer().posterior() for one in (there, here)]
    means = [one.moments(X[:5] + 0.1)[0] for one in posteriors]
    assert_allclose(*means, rtol=rtol, atol=rtol)
