"""scikit-learn's own classifier tests, with our class in the place of theirs."""

import importlib.util
import sys

import pytest
from sklearn.gaussian_process.tests import test_gpc as original

from sklearn_torchgp import TorchGPClassifier

# scikit-learn sets this fixture in its own conftest.
SEED = 42


def _with_our_class():
    spec = importlib.util.spec_from_file_location("test_gpc_of_ours", original.__file__)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.GaussianProcessClassifier = TorchGPClassifier
    return module
