"""scikit-learn's own tests of its regressor, run on ours.

See `sklearn_suite`; pytest collects the test functions from here.
"""

import pytest
from sklearn_suite import functions_of, load_with

from sklearn_torchgp import TorchGPRegressor

# Their tests do not treat warnings as errors.
pytestmark = pytest.mark.filterwarnings("ignore")


module = load_with(TorchGPRegressor, "test_gpr", "GaussianProcessRegressor")
globals().update(functions_of(module))


def test_our_class_is_the_one_tested():
    assert module.GaussianProcessRegressor is TorchGPRegressor
    assert sum(name.startswith("test_") for name in vars(module)) >= 30
