"""method="vecchia" and "auto" as a scikit-learn estimator, and bad input."""

import pickle

import numpy as np
import pytest
import torch
from helpers import surface
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    WhiteKernel,
)
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator
from vecchia_cases import (
    KERNEL,
    N,
    X,
    Y,
    Z,
    pair,
    vecchia,
)

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor

BAD = {
    "unknown method": ({"method": "nearest"}, "'method'.*'exact', 'vecchia'.*nearest"),
    "no neighbours": ({"n_neighbors": 0}, "'n_neighbors'.*positive integer.*0"),
    "half a neighbour": ({"n_neighbors": 1.5}, "'n_neighbors'.*1.5"),
    "neighbours as text": ({"n_neighbors_predict": "8"}, "'n_neighbors_predict'.*'8'"),
    "true": ({"n_neighbors": True}, "'n_neighbors'.*True"),
    "none": ({"n_neighbors": None}, "'n_neighbors'.*None"),
    "no rows": ({"optimizer_rows": -1}, "'optimizer_rows'.*None for all.*-1"),
    "mixed": ({"dtype": "mixed"}, "'dtype' parameter is 'mixed'.*vecchia.*float64"),
    "left-out rows of a trend": (
        {"objective": "loo", "mean": "linear"}, "'objective'.*'loo'.*'linear'.*exact",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fitted", [False, True], ids=["fresh", "fitted"])
@pytest.mark.parametrize(("params", "message"), BAD.values(), ids=BAD)
def test_bad_parameters(params, message, fitted):
    model = vecchia()
    if fitted:
        model.fit(X, Y)
    model.set_params(**params)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert vars(model) == before


def test_rows_that_are_no_table():
    from sklearn.gaussian_process.tests._mini_sequence_kernel import MiniSeqKernel

    model = vecchia(MiniSeqKernel())
    before = dict(vars(model))
    with pytest.raises(ValueError, match="'method' parameter is 'vecchia'.*'exact'"):
        model.fit(["A", "AB", "B"], [1.0, 2.0, 3.0])
    assert vars(model) == before
    auto = model.set_params(method="auto").fit(["A", "AB", "B"], [1.0, 2.0, 3.0])
    assert auto.method_ == "exact"
    assert "no table of numbers" in auto.method_reason_


def test_classifiers_have_no_such_method():
    known = r"\['exact', 'inducing', 'auto'\]"
    with pytest.raises(ValueError, match=rf"'method'.*{known}.*'vecchia'"):
        TorchGPClassifier(method="vecchia").fit(X, Y > 0)


def test_memory_that_is_not_there_names_the_cure():
    n = 3_000_000
    X = np.zeros((n, 1))
    model = TorchGPRegressor(RBF(), optimizer=None, copy_X_train=False)
    with pytest.raises(MemoryError, match=r"GiB.*method='vecchia' or 'auto'"):
        model.fit(X, X[:, 0])


def test_there_is_no_factor():
    model = vecchia().fit(X, Y)
    for name in ("L_", "alpha_"):
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=f"'{name}'.*method='vecchia'.*exact"):
            getattr(model, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing_'"):
        model.nothing_  # noqa: B018
    assert not hasattr(vecchia(), "L_")


def test_pickles_hold_numpy_and_no_tree():
    model = vecchia().fit(X, Y)
    expected = model.predict(Z, return_cov=True)[1]
    data = pickle.dumps(model)
    assert b"KDTree" not in data
    assert b"torch._utils" not in data
    again = pickle.loads(data)
    assert_allclose(again.predict(Z, return_cov=True)[1], expected, rtol=1e-12)
    for name in ("order_", "neighbors_"):
        assert isinstance(getattr(again, name), np.ndarray)


def test_what_is_assigned_takes_effect():
    model = vecchia().fit(X, Y)
    other = vecchia().fit(X, 2 * Y)
    model.y_train_ = 2 * model.y_train_
    assert_allclose(model.predict(Z), other.predict(Z))
    model.kernel_ = clone(KERNEL).clone_with_theta(KERNEL.theta + 0.3)
    other = vecchia(model.kernel_).fit(X, 2 * Y)
    assert_allclose(model.predict(Z), other.predict(Z))
    model.set_params(n_neighbors_predict=N)
    assert_allclose(
        model.predict(Z), pair(model.kernel_)[0].fit(X, 2 * Y).predict(Z), rtol=1e-8
    )


def test_tensors_in_tensors_out():
    model = vecchia().fit(torch.from_numpy(X), torch.from_numpy(Y))
    mean, std = model.predict(torch.from_numpy(Z), return_std=True)
    assert isinstance(model.order_, torch.Tensor)
    assert isinstance(std, torch.Tensor)
    assert_allclose(mean.numpy(), vecchia().fit(X, Y).predict(Z))


def test_a_search_over_methods():
    X, y = surface(60)
    grid = {"method": ["exact", "vecchia"], "n_neighbors": [5, 60]}
    model = TorchGPRegressor(RBF(1.0) + WhiteKernel(0.1), optimizer=None)
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks():
    check_estimator(TorchGPRegressor(RBF(1.0), method="vecchia", alpha=1e-3))
