"""Devices, precisions, kinds of arrays, blocks and memory."""

import numpy as np
import pretended_device
import pytest
import torch

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._data.arrays import (
    ArrayKind,
    accelerators,
    as_numpy,
    resolve_device,
    resolve_dtype,
)
from sklearn_torchgp._linalg import precision
from sklearn_torchgp._linalg.memory import memory_for, row_blocks


def test_a_covariance_that_does_not_fit_says_so():
    model = TorchGPRegressor(optimizer=None).fit([[0.0], [1.0]], [0.0, 1.0])
    rows = np.zeros((2_000_000, 1))
    with pytest.raises(MemoryError, match=r"2000000 rows.* GiB on .*std"):
        model.predict(rows, return_cov=True)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    ],
)
def test_memory_that_was_not_had_on_any_device(error):
    with pytest.raises(MemoryError, match="K needs at least 2 GiB on xpu:0.*Cure"):  # noqa: SIM117
        with memory_for("K", 2**31, "xpu:0", "Cure."):
            raise error


def test_other_errors_pass_through_the_memory_guard():
    with pytest.raises(RuntimeError, match="else"), memory_for("x", 8, "cpu", "y"):
        raise RuntimeError("something else")


def test_auto_is_the_cpu_for_few_rows():
    assert resolve_device("auto", 10).type == "cpu"


@pytest.mark.cuda
def test_auto_is_the_gpu_for_many_rows():
    assert resolve_device("auto", 10**5).type == "cuda"


@pytest.fixture
def accelerator():
    """The name of the pretended device, which is there."""
    if not pretended_device.CAN_OPEN:
        pytest.skip("torch has an accelerator here, or registers none from Python")
    with pretended_device.opened():
        yield pretended_device.NAME


def test_auto_is_the_accelerator_for_many_rows(accelerator):
    assert accelerators() == (accelerator, 1)
    assert resolve_device("auto", 10**5) == torch.device(accelerator, 0)
    assert resolve_device("auto", 10).type == "cpu"
    assert resolve_device("cpu", 10**5).type == "cpu"


@pytest.mark.parametrize("form", [str, torch.device])
def test_an_accelerator_by_name_has_its_index(form, accelerator):
    for name in (accelerator, f"{accelerator}:0"):
        assert resolve_device(form(name), 10) == torch.device(accelerator, 0)


def test_an_accelerator_that_is_not_there(accelerator):
    message = f"'device'.*{accelerator}:7.*1 usable.*{accelerator}.*device='cpu'"
    with pytest.raises(ValueError, match=message):
        resolve_device(f"{accelerator}:7", 10)
    with pytest.warns(UserWarning, match=f"{accelerator}:7.*predicting on the CPU"):
        assert resolve_device(f"{accelerator}:7", 10, fitted=True).type == "cpu"


@pytest.mark.parametrize("name", ["cuda:63", "xpu:63", "meta"])
def test_no_accelerator_of_that_name(name):
    with pytest.raises(ValueError, match=rf"'device'.*'{name}'.*device='cpu'"):
        resolve_device(name, 10)
    with pytest.warns(UserWarning, match=f"{name}.*predicting on the CPU"):
        assert resolve_device(name, 10, fitted=True).type == "cpu"


@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_an_accelerator_without_float64(dtype, accelerator, monkeypatch):
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {accelerator})
    with pytest.raises(ValueError, match=f"'dtype'.*{dtype}.*dtype='float32'.*'cpu'"):
        resolve_device(accelerator, 10, dtype=dtype)
    assert resolve_device("auto", 10**5, dtype=dtype).type == "cpu"
    for device in (accelerator, "auto"):
        found = resolve_device(device, 10**5, dtype="float32")
        assert found.type == accelerator
    with pytest.raises(ValueError, match="dtype='float32'"):
        TorchGPRegressor(device=accelerator, dtype=dtype).fit([[0.0]], [0.0])
    with pytest.raises(ValueError, match="dtype='float32'"):
        TorchGPClassifier(device=accelerator, dtype=dtype).fit([[0.0], [1.0]], [0, 1])


def test_a_torch_without_torch_accelerator(monkeypatch):
    monkeypatch.delattr(torch, "accelerator")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert accelerators() == ("cuda", 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert accelerators() == (None, 0)


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
