"""scikit-learn's rules and tools, arrays of every kind, persistence."""

import pickle
import re
import warnings

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
import torch
from helpers import need_dispatch, wave
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Matern,
    WhiteKernel,
)
from sklearn.gaussian_process.tests._mini_sequence_kernel import MiniSeqKernel
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_torchgp import TorchGPRegressor

KERNEL = 1.0 * RBF(0.7) + WhiteKernel(0.1)

CONFIGURATIONS = [
    TorchGPRegressor(),
    TorchGPRegressor(1.0 * Matern(nu=2.5) + WhiteKernel()),
    TorchGPRegressor(DotProduct() + WhiteKernel(), alpha=1e-3),
    TorchGPRegressor(normalize_y=True),
    TorchGPRegressor(dtype="float32"),
    TorchGPRegressor(1.0 * RBF() + WhiteKernel(), n_restarts_optimizer=1),
    TorchGPRegressor(optimizer=None, device="cpu", copy_X_train=False),
    TorchGPRegressor(KERNEL, multi_output="independent", missing="mask"),
    TorchGPRegressor(KERNEL, multi_output="icm", missing="mask"),
]


# Warnings: fits of random data end at bounds or need jitter, which is not the point.
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(CONFIGURATIONS)
def test_check_estimator(estimator, check):
    check(estimator)


@pytest.fixture
def data():
    return wave()


@pytest.fixture
def model(data):
    return TorchGPRegressor(KERNEL).fit(*data)


# --- kinds of arrays ---------------------------------------------------------------


@pytest.mark.parametrize("dispatch", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("working", ["float64", "float32"])
@pytest.mark.parametrize("targets", [1, 2])
def test_tensors_in_tensors_out(data, dispatch, dtype, working, targets):
    if dispatch:
        need_dispatch()
    X, y = (torch.from_numpy(a).to(dtype) for a in data)
    if targets == 2:
        y = torch.stack([y, 2 * y], dim=1)
    with config_context(array_api_dispatch=dispatch):
        model = TorchGPRegressor(KERNEL, dtype=working).fit(X, y)
        mean, std = model.predict(X[:5], return_std=True)
        _, cov = model.predict(X[:5], return_cov=True)
        samples = model.sample_y(X[:5], 2)
        score = model.score(X, y)
    expected = torch.promote_types(dtype, getattr(torch, working))
    shape = (5,) if targets == 1 else (5, 2)
    for tensor in (mean, std, cov):
        assert isinstance(tensor, torch.Tensor)
        assert tensor.dtype == expected
    assert mean.shape == std.shape == shape
    assert cov.shape == (5, *shape)
    assert isinstance(samples, torch.Tensor)
    assert isinstance(score, float)
    for name in ("X_train_", "y_train_", "L_", "alpha_"):
        assert isinstance(getattr(model, name), torch.Tensor), name
    reference = TorchGPRegressor(KERNEL, dtype=working).fit(X.numpy(), y.numpy())
    np.testing.assert_allclose(mean, reference.predict(X[:5].numpy()), rtol=1e-6)
    assert isinstance(model.log_marginal_likelihood(model.kernel_.theta), np.float64)
    restored = pickle.loads(pickle.dumps(model))
    assert torch.equal(restored.predict(X[:5]), model.predict(X[:5]))


def test_tensor_parameters_and_gradients_are_no_obstacle(data):
    X, y = (torch.from_numpy(a) for a in data)
    alpha = torch.full((30,), 0.1)
    model = TorchGPRegressor(KERNEL, alpha=alpha).fit(X.requires_grad_(), y)
    assert not model.predict(X).requires_grad
    expected = TorchGPRegressor(KERNEL, alpha=np.full(30, 0.1, np.float32)).fit(*data)
    np.testing.assert_allclose(model.predict(X), expected.predict(data[0]), rtol=1e-6)


def test_without_dispatch_kinds_may_change_between_fit_and_predict(data):
    X, y = data
    by_numpy = TorchGPRegressor(KERNEL).fit(X, y)
    by_torch = TorchGPRegressor(KERNEL).fit(torch.from_numpy(X), torch.from_numpy(y))
    assert isinstance(by_torch.predict(X), np.ndarray)
    assert isinstance(by_numpy.predict(torch.from_numpy(X)), torch.Tensor)


def test_with_dispatch_kinds_must_agree(data):
    need_dispatch()
    X, y = data
    with config_context(array_api_dispatch=True):
        model = TorchGPRegressor(KERNEL).fit(torch.from_numpy(X), y)
        with pytest.raises(ValueError, match="must use the same namespace"):
            model.predict(X)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames(data, frame):
    X, y = data
    X = frame({name: X[:, i] for i, name in enumerate("abc")})
    model = TorchGPRegressor(KERNEL).fit(X, y)
    assert list(model.feature_names_in_) == list("abc")
    assert isinstance(model.predict(X), np.ndarray)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[["b", "a", "c"]])
    with pytest.warns(UserWarning, match="valid feature names"):
        model.predict(data[0])


def test_lists_of_strings():
    X, y = ["A", "AB", "B", "BB"], [0.0, 1.0, 2.0, 3.0]
    kernel = MiniSeqKernel(baseline_similarity_bounds="fixed") + WhiteKernel(1e-3)
    model = TorchGPRegressor(kernel).fit(X, y)
    mean, std = model.predict(["A", "BA"], return_std=True)
    assert mean.shape == std.shape == (2,)
    assert model.sample_y(["A", "BA"], 3).shape == (2, 3)


# --- persistence -------------------------------------------------------------------


def roundtrips(model, path):
    yield pickle.loads(pickle.dumps(model))
    yield cloudpickle.loads(cloudpickle.dumps(model))
    joblib.dump(model, path / "model.joblib")
    yield joblib.load(path / "model.joblib")
    blob = skops.io.dumps(model)
    unknown = skops.io.get_untrusted_types(data=blob)
    ours = re.compile(r"(sklearn_torchgp|sklearn|numpy)\.")
    assert all(ours.match(name) for name in unknown), unknown
    yield skops.io.loads(blob, trusted=unknown)


@pytest.mark.parametrize("options", [{}, {"normalize_y": True}, {"dtype": "float32"}])
def test_round_trips(data, options, tmp_path):
    X, y = data
    model = TorchGPRegressor(KERNEL, **options).fit(X, y)
    expected = model.predict(X, return_std=True)
    for restored in roundtrips(model, tmp_path):
        np.testing.assert_array_equal(restored.predict(X, return_std=True), expected)
        assert restored.log_marginal_likelihood() == model.log_marginal_likelihood()
        assert len(restored.optimizer_results_) == 1


def test_clone_and_nested_parameters():
    model = TorchGPRegressor(KERNEL, alpha=0.1, device="cpu", dtype="float32")
    copy = clone(model).set_params(kernel__k1__k2__length_scale=3.0)
    assert copy.kernel.k1.k2.length_scale == 3.0
    assert model.kernel.k1.k2.length_scale == 0.7
    assert copy.get_params()["kernel__k2__noise_level"] == 0.1
    assert (copy.alpha, copy.device, copy.dtype) == (0.1, "cpu", "float32")


@pytest.mark.parametrize("scale", [[0.5, 1, 2], (0.5, 1, 2), np.array([0.5, 1, 2]), 1])
def test_length_scales_of_every_type_survive_clone(data, scale):
    model = TorchGPRegressor(RBF(scale) + WhiteKernel(0.1))
    assert clone(model).fit(*data).kernel_.k1.anisotropic is np.ndim(scale).__bool__()


# --- tools -------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_over_kernels(data, n_jobs):
    grid = {"kernel": [KERNEL, Matern() + WhiteKernel(0.1), ConstantKernel(1.0)]}
    # threading: the loky backend is scikit-learn's business and costs seconds to start
    with joblib.parallel_config("threading"):
        search = GridSearchCV(TorchGPRegressor(), grid, n_jobs=n_jobs, cv=3).fit(*data)
    assert search.best_score_ > 0.5
    assert search.best_index_ in (0, 1)


def test_grid_search_in_processes(data):
    grid = {"kernel__k1__k2__length_scale": [1e-3, 0.7]}
    model = TorchGPRegressor(KERNEL, optimizer=None)
    search = GridSearchCV(model, grid, n_jobs=2, cv=3).fit(*data)
    assert search.best_params_ == {"kernel__k1__k2__length_scale": 0.7}


def test_pipeline_passes_std_on(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), TorchGPRegressor(KERNEL)).fit(X, y)
    mean, std = pipeline.predict(X, return_std=True)
    assert mean.shape == std.shape == y.shape
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.5


def test_transformed_target(data):
    X, y = data
    model = TransformedTargetRegressor(
        TorchGPRegressor(KERNEL), transformer=PowerTransformer()
    )
    assert model.fit(X, y).score(X, y) > 0.9


def test_meta_estimators(data):
    X, y = data
    base = TorchGPRegressor(KERNEL)
    two = MultiOutputRegressor(base).fit(X, np.column_stack([y, -y]))
    assert two.predict(X).shape == (30, 2)
    bag = BaggingRegressor(base, n_estimators=2, random_state=0).fit(X, y)
    assert bag.score(X, y) > 0.8
    stack = StackingRegressor([("gp", base), ("linear", LinearRegression())], cv=3)
    assert stack.fit(X, y).score(X, y) > 0.8


def test_permutation_importance(data):
    X, _ = data
    model = TorchGPRegressor(KERNEL).fit(X, np.sin(4 * X[:, 0]))
    result = permutation_importance(model, X, np.sin(4 * X[:, 0]), random_state=0)
    assert result.importances_mean.argmax() == 0


@pytest.mark.parametrize(
    ("X_type", "y_type"),
    [(">f8", ">f8"), (">f4", "f8"), ("f8", np.longdouble), (">i4", ">i4")],
)
def test_foreign_numbers(X_type, y_type):
    """FITS and netCDF files hold big-endian numbers."""
    rng = np.random.RandomState(0)
    X, y = 10 * rng.rand(20, 2), 100 * rng.rand(20)
    X, y = X.astype(X_type), y.astype(y_type)
    kernel = DotProduct() + RBF() + WhiteKernel(0.1)
    ours = TorchGPRegressor(kernel, optimizer=None).fit(X, y)
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(X, y)
    rtol = 1e-3 if X_type == ">f4" else 1e-6  # theirs is then float32 in part
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=rtol)


def test_reversed_views_without_a_copy():
    X = np.linspace(0, 1, 20)[:, None]
    y = np.sin(6 * X[:, 0])
    kernel = RBF() + WhiteKernel(0.1)
    view = TorchGPRegressor(kernel, copy_X_train=False).fit(X[::-1], y[::-1])
    np.testing.assert_allclose(
        view.predict(X), TorchGPRegressor(kernel).fit(X, y).predict(X), rtol=1e-6
    )


def test_a_memory_map_that_is_read_only(tmp_path):
    X = np.linspace(0, 1, 20)[:, None]
    model = TorchGPRegressor(RBF() + WhiteKernel(0.1), optimizer=None).fit(X, X[:, 0])
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mapped.predict(X, return_std=True)
    np.testing.assert_array_equal(found, model.predict(X, return_std=True))


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="no device=")
def test_an_array_that_is_not_on_the_cpu_is_copied():
    """As the standard of array APIs asks it to be."""

    class Elsewhere:
        def __init__(self, values):
            self.values = values
            self.asked = []

        def __array_namespace__(self, api_version=None):
            raise NotImplementedError

        def __dlpack_device__(self):
            return 2, 0

        def __dlpack__(self, *, dl_device=None, copy=None, **options):
            self.asked.append((dl_device, copy))
            if dl_device != (1, 0) or not copy:
                raise BufferError("this memory is not the CPU's")
            return self.values.copy().__dlpack__()

    X, y = wave()
    there = Elsewhere(y)
    model = TorchGPRegressor(KERNEL, optimizer=None).fit(X, there)
    np.testing.assert_array_equal(model.y_train_, y)
    assert there.asked[-1] == ((1, 0), True)
