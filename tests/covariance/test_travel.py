"""A registration goes with kernel objects into other processes."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from kernel_zoo import Tracked
from sklearn.gaussian_process.kernels import RBF, Matern

from sklearn_torchgp import register_kernel
from sklearn_torchgp._covariance import registry

KERNELS = """
from sklearn.gaussian_process.kernels import RBF

class Mine(RBF):
    pass
"""
FUNCTIONS = """
import torch

def mine(params, X, Z):
    scaled = (X[:, None] - Z) / params["length_scale"]
    return (1 / torch.cosh(scaled)).prod(-1)

def half(params, X, Z):
    return mine(params, X, Z) / 2
"""
MODEL = """
import pickle
import numpy as np
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn_torchgp import TorchGPRegressor, register_kernel

X = np.linspace(0, 3, 12)[:, None]
model = TorchGPRegressor(1.0 * {name}(0.7) + WhiteKernel(0.1), optimizer=None)
"""


def run(tmp_path, *parts):
    """What a script prints, in a fresh process."""
    (tmp_path / "kernels.py").write_text(KERNELS)
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    script = tmp_path / "script.py"
    script.write_text("\n".join(parts))
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize("name", ["Mine", "RBF"])
def test_a_fresh_process_unpickles_the_registration(tmp_path, name):
    first, _ = run(
        tmp_path,
        "from kernels import Mine",
        MODEL.format(name=name),
        "from functions import mine",
        f"register_kernel({name}, mine, stationary=True)",
        "model.fit(X, np.sin(X[:, 0]))",
        "pickle.dump(model, open('model.pkl', 'wb'))",
        "print(*model.predict([[0.4], [1.7]]))",
    )
    second, warned = run(
        tmp_path,
        "import pickle",
        "model = pickle.load(open('model.pkl', 'rb'))",
        "print(*model.predict([[0.4], [1.7]]))",
    )
    assert second == first
    assert ("replaces the built-in" in warned) == (name == "RBF")


JOBS = """
from joblib import Parallel, delayed
from sklearn.gaussian_process.kernels import ConstantKernel
from sklearn_torchgp import register_kernel

def work(kernel):
    from sklearn_torchgp._covariance import Covariance
    import torch
    kernel = kernel(0.7) if isinstance(kernel, type) else kernel
    cov = Covariance(
        kernel, [[0.0], [1.3]], dtype=torch.float64, device=torch.device("cpu")
    )
    return cov.full()[1, 0].item()

if __name__ == "__main__":
    register_kernel(Mine, mine, stationary=True)
    tasks = [Mine(0.7), Mine(0.7) + ConstantKernel(1.0)]
    if Mine.__module__ == "__main__":
        tasks.append(Mine)  # the class by value
    for task in tasks:
        print(*Parallel(n_jobs=2)(delayed(work)(task) for _ in range(2)))
    register_kernel(Mine, half, stationary=True)
    print(*Parallel(n_jobs=2)(delayed(work)(Mine(0.7)) for _ in range(2)))
"""


@pytest.mark.parametrize("where", ["script", "modules"])
def test_workers_of_joblib_have_the_registration(tmp_path, where):
    """The latest, from a script (sent by value) or by import path."""
    imports = ["from kernels import Mine", "from functions import half, mine"]
    definitions = [KERNELS, FUNCTIONS] if where == "script" else imports
    printed, _ = run(tmp_path, *definitions, JOBS)
    value = 1 / np.cosh(1.3 / 0.7)
    by_class = [value] if where == "script" else []
    expected = np.repeat([value, value + 1, *by_class, value / 2], 2)
    np.testing.assert_allclose(np.array(printed, dtype=float), expected)


def cosine(params, X, Z):
    return torch.cos(X @ Z.mT)


class Own(RBF):
    pass


class Child(Own):
    """Inherits the registration."""


@pytest.fixture(autouse=True)
def clean_table():
    before = registry.registered()
    yield
    registry._TABLE.clear()
    registry._TABLE.update(before)


@pytest.mark.parametrize("kernel_class", [Own, Child])
def test_copies_are_the_same_kernel(kernel_class):
    register_kernel(Own, cosine)
    kernel = kernel_class(0.3)
    for other in (copy.deepcopy(kernel), pickle.loads(pickle.dumps(kernel))):
        assert other == kernel
        assert registry.lookup(other) is registry.lookup(kernel)
    assert pickle.loads(pickle.dumps(Tracked([0.3, 0.4]))).length_scale == [0.3, 0.4]


def test_a_pickle_made_before_another_registration_says_so():
    register_kernel(Own, cosine)
    stored = pickle.dumps(Own(0.3))
    register_kernel(Own, lambda params, X, Z: X @ Z.mT)
    with pytest.warns(UserWarning, match="another function for Own"):
        pickle.loads(stored)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(Own(0.3))


def test_kernels_of_an_overridden_base_class_are_left_alone():
    register_kernel(RBF, cosine)
    assert b"cosine" in pickle.dumps(RBF(0.3))
    assert b"cosine" not in pickle.dumps(Matern(0.3))
