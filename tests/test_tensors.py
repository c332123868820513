"""Devices, precisions, kinds of arrays, blocks and memory."""

import numpy as np
import pytest
import torch

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._data.arrays import (
    ArrayKind,
    as_numpy,
    resolve_device,
    resolve_dtype,
)
from sklearn_torchgp._linalg.memory import memory_for, row_blocks


def test_a_covariance_that_does_not_fit_says_so():
    model = TorchGPRegressor(optimizer=None).fit([[0.0], [1.0]], [0.0, 1.0])
    rows = np.zeros((2_000_000, 1))
    with pytest.raises(MemoryError, match=r"2000000 rows.* GiB on .*std"):
        model.predict(rows, return_cov=True)


def test_other_errors_pass_through_the_memory_guard():
    with pytest.raises(RuntimeError, match="else"), memory_for("x", 8, "cpu", "y"):
        raise RuntimeError("something else")


def test_auto_is_the_cpu_where_there_is_no_gpu_or_few_rows():
    assert resolve_device("auto", 10).type == "cpu"


@pytest.mark.cuda
def test_auto_is_the_gpu_for_many_rows():
    assert resolve_device("auto", 10**5).type == "cuda"


@pytest.mark.parametrize("name", ["float64", "float32"])
def test_dtypes_by_name(name):
    assert resolve_dtype(name) is getattr(torch, name)


@pytest.mark.parametrize("n", [0, 1, 64, 1000])
def test_row_blocks_cover(n):
    blocks = row_blocks(n, 2**20, torch.device("cpu"))
    assert [i for rows in blocks for i in range(rows.start, rows.stop)] == list(
        range(n)
    )


def test_kinds():
    value = torch.ones(2, dtype=torch.float64)
    assert isinstance(ArrayKind([[1.0]])(value), np.ndarray)
    assert isinstance(ArrayKind(value)(np.ones(2)), torch.Tensor)
    assert ArrayKind(value)(3.0) == 3.0
    assert as_numpy("as it is") == "as it is"
