"""What several test modules build their problems from, and check gradients with."""

import numpy as np
import pytest
import sklearn
from kernel_zoo import rows
from sklearn import config_context
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPRegressor

KERNEL = 1.3 * RBF([0.7, 1.1]) + WhiteKernel(0.05)


def fixed(kernel=KERNEL, **params):
    """A regressor that keeps its kernel: fast, and right for most questions."""
    return TorchGPRegressor(kernel, optimizer=None, **params)


def wave(n=30, *, noise=0.0, offset=0.0, targets=None, seed=0):
    """n rows of the zoo and a wave over them; each target is ten times the last."""
    X, rng = rows(n, seed), np.random.RandomState(seed)
    y = np.sin(4 * X.sum(1)) + noise * rng.randn(n) + offset
    if targets:
        y = np.column_stack([y * 10**k + rng.randn(n) for k in range(targets)])
    return X, y


def surface(n, seed=0):
    """n rows in a square, and a smooth surface over it with noise of 0.1."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2, 2, (n, 2))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] ** 2 / 3 + 0.1 * rng.randn(n)


def numeric_gradient(function, at, step=1e-4):
    """Derivatives by fourth-order central differences.

    `function` takes what `at` is: theta (d,), and the derivatives come first; or rows
    (m, d), each answered by itself, and they come second: (m, d) or (m, d, t).
    """
    at, slopes = np.asarray(at, dtype=float), []
    for shift in step * np.eye(at.shape[-1]):
        near = function(at + shift) - function(at - shift)
        far = function(at + 2 * shift) - function(at - 2 * shift)
        slopes.append((8 * near - far) / (12 * step))
    return np.stack(slopes, axis=at.ndim - 1)


def need_dispatch():
    """Skip where this scikit-learn, or SciPy beside it, has no array-API dispatch."""
    try:
        with config_context(array_api_dispatch=True):
            pass
    except ImportError as error:  # before 1.8 it asks for array-api-compat, SciPy 1.14
        pytest.skip(f"scikit-learn {sklearn.__version__}: {error}")
