"""Columns of data frames and arrays, by name, position and mask."""

import pickle

import numpy as np
import pandas as pd
import pytest
from kernel_zoo import rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    WhiteKernel,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp.kernels import (
    Categorical,
    ChangePoint,
    Columns,
    Periodic,
)

X = rows(14)
Y = np.sin(4 * X[:, 0]) + X[:, 1]


def frame(n=40):
    rng = np.random.RandomState(0)
    table = pd.DataFrame(
        {
            "hour": rng.uniform(0, 48, n),
            "colour": rng.choice(["red", "green", "blue"], n),
            "x": rng.uniform(-1, 1, n),
        }
    )
    level = table["colour"].map({"red": 0.0, "green": 1.0, "blue": 3.0})
    y = np.sin(2 * np.pi * table["hour"] / 24) + level + 0.5 * table["x"]
    return table, y.to_numpy() + 0.05 * rng.randn(n)


def by_names():
    return (
        Columns(Periodic(1.0, 24.0, periodicity_bounds="fixed"), "hour")
        + Columns(Categorical(), ["colour"])
        + Columns(RBF(), "x")
        + WhiteKernel(0.1)
    )


def test_columns_by_name_in_a_pipeline_with_encoded_categories():
    table, y = frame()
    encode = ColumnTransformer(
        [("codes", OrdinalEncoder(), ["colour"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    model = make_pipeline(encode, TorchGPRegressor(by_names(), normalize_y=True))
    model.fit(table[:30], y[:30])
    assert np.abs(model.predict(table[30:]) - y[30:]).max() < 0.5
    kernel = model[-1].kernel_
    codes = encode.transform(table[30:])
    by_position = kernel.get_params()
    assert by_position["k1__k1__k1__columns"] == "hour"
    # What knows the names is evaluated on plain arrays, as are its copies.
    for copy in (
        clone(kernel),
        kernel.clone_with_theta(kernel.theta),
        pickle.loads(pickle.dumps(kernel)),
    ):
        assert_allclose(copy(codes.to_numpy()), kernel(codes))
    restored = pickle.loads(pickle.dumps(model))
    assert_allclose(restored.predict(table[30:]), model.predict(table[30:]))
    again = clone(model).fit(table[:30], y[:30])
    assert_allclose(again.predict(table[30:]), model.predict(table[30:]), rtol=1e-6)


def test_names_in_a_classifier_and_within_columns():
    table, y = frame()
    table["colour"] = table["colour"].astype("category").cat.codes
    inner = Columns(Columns(RBF(), "x") * Columns(Categorical(), "colour"), [1, 2])
    for labels in (y > 1, np.digitize(y, [0.5, 2])):
        model = TorchGPClassifier(1.0 * inner, optimizer=None).fit(table, labels)
        by_number = Columns(RBF(), 2) * Columns(Categorical(), 1)
        same = TorchGPClassifier(1.0 * by_number, optimizer=None)
        same.fit(table.to_numpy(), labels)
        assert_allclose(
            model.predict_proba(table), same.predict_proba(table.to_numpy())
        )
    changing = ChangePoint(RBF(), ConstantKernel(), 24.0, 1.0, feature="hour")
    model = TorchGPRegressor(Columns(changing, ["x", "hour"])).fit(table, y)
    kernel = model.kernel_.kernel
    assert kernel.location_bounds == (table["hour"].min(), table["hour"].max())


def test_names_without_a_frame():
    table, y = frame()
    numbers = table[["hour", "x"]].to_numpy()
    kernel = Columns(RBF(), "x")
    for model in (
        TorchGPRegressor(kernel),
        TorchGPClassifier(kernel),
        GaussianProcessRegressor(kernel),
    ):
        labels = y > 1 if isinstance(model, TorchGPClassifier) else y
        with pytest.raises(ValueError, match=r"'columns' parameter of Columns.*'x'"):
            model.fit(numbers, labels)
        assert not hasattr(model, "X_train_") or type(model) in (
            GaussianProcessRegressor,
        )
    with pytest.raises(ValueError, match=r"names among \['hour', 'x'\]"):
        TorchGPRegressor(Columns(RBF(), "y")).fit(table[["hour", "x"]], y)
    assert_allclose(kernel(table[["hour", "x"]]), RBF()(numbers[:, [1]]), rtol=1e-12)


@pytest.mark.parametrize(
    "columns",
    [[2, 0], np.array([2, 0]), [-1, 0], (2, -3), slice(2, None, -2)],
    ids=str,
)
def test_columns_by_position(columns):
    X = rows(5)
    kernel = Columns(RBF([0.5, 1.5]), columns)
    assert_allclose(kernel(X), RBF([0.5, 1.5])(X[:, [2, 0]]), rtol=1e-12)
    assert_allclose(clone(kernel)(X, X), kernel(X, X))


def test_columns_by_mask():
    X = rows(5)
    for mask in ([True, False, True], np.array([True, False, True])):
        assert_allclose(Columns(RBF(), mask)(X), RBF()(X[:, [0, 2]]), rtol=1e-12)


@pytest.mark.parametrize(
    ("columns", "allowed"),
    [
        (3, "positions below 3"),
        ([0, -4], "positions below 3"),
        ([0.5], "positions below 3"),
        ([True, False], "a mask of 3 entries"),
        ([False, False, False], "at least one of the 3 columns"),
        ([], "at least one of the 3 columns"),
        (slice(5, 9), "at least one of the 3 columns"),
        (None, "positions, names, a slice or a mask"),
        (["a", 1], "positions below 3"),
    ],
)
def test_columns_that_there_are_not(columns, allowed):
    model = TorchGPRegressor(Columns(RBF(), columns))
    with pytest.raises(ValueError, match=f"'columns' parameter .*{allowed}.* Got"):
        model.fit(X, Y)
    assert not hasattr(model, "kernel_")
