"""scikit-learn's own tests of its regressor, run on ours.

The installed module is executed with `GaussianProcessRegressor` swapped for our class;
pytest then collects its test functions from here.
"""

import importlib.util

import pytest
import sklearn.gaussian_process

from sklearn_torchgp import TorchGPRegressor

# Their tests do not treat warnings as errors.
pytestmark = pytest.mark.filterwarnings("ignore")


def load_with_our_class():
    name = "sklearn.gaussian_process.tests.test_gpr"
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    theirs = sklearn.gaussian_process.GaussianProcessRegressor
    sklearn.gaussian_process.GaussianProcessRegressor = TorchGPRegressor
    try:
        spec.loader.exec_module(module)
    finally:
        sklearn.gaussian_process.GaussianProcessRegressor = theirs
    return module


module = load_with_our_class()
globals().update({k: v for k, v in vars(module).items() if k.startswith("test_")})


def test_our_class_is_the_one_tested():
    assert module.GaussianProcessRegressor is TorchGPRegressor
    assert sum(name.startswith("test_") for name in vars(module)) >= 30
