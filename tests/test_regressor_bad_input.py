"""Bad input: refused before any work, by name and with the cure, without a trace."""

import re

import numpy as np
import pytest
import scipy.sparse
import torch
from helpers import wave
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ExpSineSquared,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.gaussian_process.tests._mini_sequence_kernel import MiniSeqKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._data import arrays

X, Y = wave(10)


@pytest.fixture(autouse=True, params=["short way", "long way"])
def way(request, monkeypatch):
    """Arrays that need no conversion, of few entries, skip scikit-learn's checks."""
    if request.param == "long way":
        monkeypatch.setattr(arrays, "FEW_ENTRIES", 0)


def spoilt(array, value):
    array = array.astype(object if isinstance(value, str) else type(value), copy=True)
    array.flat[3] = value
    return array


BAD_DATA = {
    "nan in X": (spoilt(X, np.nan), Y, ValueError, "X contains NaN"),
    "inf in X": (spoilt(X, np.inf), Y, ValueError, "X contains infinity"),
    "nan in y": (X, spoilt(Y, np.nan), ValueError, "y contains NaN"),
    "inf in y": (X, spoilt(Y, np.inf), ValueError, "y contains infinity"),
    "strings in X": (spoilt(X, "a"), Y, ValueError, "could not convert"),
    "strings in y": (X, np.array(["a"] * 10, dtype=object), ValueError, "could not"),
    "complex X": (X + 1j, Y, ValueError, "Complex data"),
    "one-dimensional X": (X[:, 0], Y, ValueError, "Expected 2D array"),
    "three-dimensional X": (
        X[None],
        Y,
        ValueError,
        "dim 3",
    ),
    "three-dimensional y": (X, Y[:, None, None], ValueError, "dim 3"),
    "no rows": (X[:0], Y[:0], ValueError, "0 sample"),
    "no columns": (X[:, :0], Y, ValueError, "0 feature"),
    "sparse X": (scipy.sparse.csr_array(X), Y, TypeError, "Sparse data"),
    "too few targets": (X, Y[:-1], ValueError, r"inconsistent numbers of samples"),
    "no targets": (X, None, ValueError, "y cannot be None|requires y"),
}

BAD_PARAMETERS = {
    "negative alpha": ({"alpha": -1.0}, ValueError, "'alpha'.*-1.0"),
    "alpha of wrong length": ({"alpha": np.ones(3)}, ValueError, "alpha.*3 != 10"),
    "square alpha": ({"alpha": np.eye(10)}, ValueError, "alpha.*10x10 != 10"),
    "nan in alpha": ({"alpha": spoilt(np.ones(10), np.nan)}, ValueError, "'alpha'"),
    "negative in alpha": ({"alpha": spoilt(np.ones(10), -1.0)}, ValueError, "'alpha'"),
    "alpha as list": ({"alpha": [0.1] * 10}, ValueError, "'alpha'"),
    "kernel as text": ({"kernel": "rbf"}, ValueError, "'kernel'.*'rbf'"),
    "kernel of other width": ({"kernel": RBF([1, 2])}, ValueError, r"2!=3"),
    "kernel with matrix": (
        {"kernel": RBF(np.eye(3), "fixed")},
        ValueError,
        "dimension",
    ),
    "compound kernel": ({"kernel": CompoundKernel([RBF()])}, ValueError, "combine"),
    "unknown optimizer": ({"optimizer": "adam"}, ValueError, "'optimizer'.*'adam'"),
    "negative restarts": ({"n_restarts_optimizer": -1}, ValueError, "n_restarts"),
    "restarts without bounds": (
        {"kernel": RBF(length_scale_bounds=(1e-3, np.inf)), "n_restarts_optimizer": 1},
        ValueError,
        "all bounds are finite",
    ),
    "other number of targets": ({"n_targets": 2}, ValueError, "n_targets.*1 != 2"),
    "no targets": ({"n_targets": 0}, ValueError, "'n_targets'"),
    "unknown dtype": ({"dtype": "float16"}, ValueError, "'dtype'.*float32.*'float16'"),
    "dtype object": ({"dtype": np.float32}, ValueError, "'dtype'"),
    "unknown device": ({"device": "gpu"}, ValueError, "'device'.*'cpu'.*'gpu'"),
    "meta device": ({"device": "meta"}, ValueError, "'device'"),
    "device number": ({"device": 3}, ValueError, "'device'"),
    "absent GPU": (
        {"device": "cuda:63"},
        ValueError,
        "'device'.*cuda:63.*device='cpu'",
    ),
    "absent GPU object": (
        {"device": torch.device("cuda", 63)},
        ValueError,
        "'device'.*device='cpu'",
    ),
    "mixed, leaving out": (
        {"dtype": "mixed", "objective": "loo"},
        ValueError,
        "'dtype' parameter is 'mixed'.*float64.*'loo'",
    ),
    "mixed with a trend": (
        {"dtype": "mixed", "mean": "constant"},
        ValueError,
        "'dtype' parameter is 'mixed'.*mean='constant'",
    ),
    "bad seed": ({"random_state": "seed"}, ValueError, "'random_state'"),
}


def assert_refused(model, X, y, error, message):
    before = dict(vars(model))
    with pytest.raises(error) as caught:
        model.fit(X, y)
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)
    assert vars(model).keys() == before.keys()
    for name, value in before.items():
        assert vars(model)[name] is value, name


@pytest.mark.parametrize("fitted", [False, True], ids=["fresh", "fitted"])
@pytest.mark.parametrize("case", BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data(case, fitted):
    model = TorchGPRegressor(RBF() + WhiteKernel(0.1))
    if fitted:
        model.fit(X, Y)
    assert_refused(model, *case)


@pytest.mark.parametrize("fitted", [False, True], ids=["fresh", "fitted"])
@pytest.mark.parametrize(
    ("options", "error", "message"), BAD_PARAMETERS.values(), ids=BAD_PARAMETERS
)
def test_bad_parameters(options, error, message, fitted):
    model = TorchGPRegressor(RBF() + WhiteKernel(0.1))
    if fitted:
        model.fit(X, Y)
    assert_refused(model.set_params(**options), X, Y, error, message)


VECTOR = [1.0, 2.0, 3.0]


@pytest.mark.parametrize("kernel", [RationalQuadratic(VECTOR), ExpSineSquared(VECTOR)])
def test_isotropic_kernels_refuse_vectors(kernel):
    model = TorchGPRegressor(kernel, optimizer=None)
    assert_refused(model, X, Y, ValueError, "single length_scale")


def test_an_interrupted_fit_leaves_no_trace():
    def interrupted(obj_func, initial_theta, bounds):
        obj_func(initial_theta)
        raise KeyboardInterrupt

    model = TorchGPRegressor(RBF(), optimizer=interrupted)
    assert_refused(model, X, Y, KeyboardInterrupt, "")
    assert not hasattr(model, "n_features_in_")


def test_a_singular_matrix_leaves_no_trace():
    model = TorchGPRegressor(RBF(), alpha=0, optimizer=None)
    assert_refused(
        model, np.zeros((3, 1)), np.arange(3.0), np.linalg.LinAlgError, "alpha"
    )


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (X[:, :2], "2 features"),
        (spoilt(X, np.nan), "NaN"),
        (X[:0], "0 sample"),
        (X[0], "2D array"),
    ],
)
def test_predict_refuses_bad_rows(bad, error):
    model = TorchGPRegressor(RBF() + WhiteKernel(0.1)).fit(X, Y)
    with pytest.raises(ValueError, match=error):
        model.predict(bad)


@pytest.mark.parametrize("theta", [[0.0], [0.0, 0.0, 0.0], 0.0, [[0.0, 0.0]]])
def test_theta_of_wrong_length(theta):
    model = TorchGPRegressor(RBF() + WhiteKernel(0.1)).fit(X, Y)
    before = model.kernel_.theta.copy()
    with pytest.raises(ValueError, match=r"theta.*Should be 2"):
        model.log_marginal_likelihood(theta, clone_kernel=False)
    np.testing.assert_array_equal(model.kernel_.theta, before)


def test_mixed_precision_knows_no_weights():
    model = TorchGPRegressor(RBF() + WhiteKernel(0.1), dtype="mixed")
    with pytest.raises(ValueError, match="'dtype' parameter is 'mixed'.*sample_weight"):
        model.fit(X, Y, sample_weight=np.arange(1, 11))
    assert vars(model).keys() == vars(TorchGPRegressor()).keys()


@pytest.mark.parametrize("dtype", ["float64", "float32", "mixed"])
def test_a_covariance_that_overflows_has_no_likelihood(dtype):
    model = TorchGPRegressor(1.0 * RBF() + WhiteKernel(0.1), dtype=dtype).fit(X, Y)
    theta = np.array([800.0, 0.0, 0.0])
    with np.errstate(over="ignore"):
        value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    assert value == -np.inf
    np.testing.assert_array_equal(gradient, 0.0)


def test_a_linear_trend_needs_numbers():
    model = TorchGPRegressor(MiniSeqKernel(), mean="linear", optimizer=None)
    words = ["ACG", "AAT", "CCG", "TTA"]
    assert_refused(model, words, np.arange(4.0), ValueError, "'mean' .*numeric feat")
