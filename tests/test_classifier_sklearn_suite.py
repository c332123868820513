"""scikit-learn's own tests of its classifier, and its estimator checks, run on ours.

The installed module is executed with `GaussianProcessClassifier` swapped for our class;
pytest then collects its test functions from here.
"""

import importlib.util

import pytest
import sklearn.gaussian_process
from sklearn.utils.estimator_checks import check_estimator

from sklearn_torchgp import TorchGPClassifier

# Their tests do not treat warnings as errors.
pytestmark = pytest.mark.filterwarnings("ignore")


def load_with_our_class():
    name = "sklearn.gaussian_process.tests.test_gpc"
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    theirs = sklearn.gaussian_process.GaussianProcessClassifier
    sklearn.gaussian_process.GaussianProcessClassifier = TorchGPClassifier
    try:
        spec.loader.exec_module(module)
    finally:
        sklearn.gaussian_process.GaussianProcessClassifier = theirs
    return module


module = load_with_our_class()
globals().update({k: v for k, v in vars(module).items() if k.startswith("test_")})


@pytest.fixture
def global_random_seed():
    """scikit-learn's conftest draws it; its default is 42."""
    return 42


def test_our_class_is_the_one_tested():
    assert module.GaussianProcessClassifier is TorchGPClassifier
    assert sum(name.startswith("test_") for name in vars(module)) >= 15


COMBINATIONS = [
    (inference, link, multi_class)
    for inference in ("laplace", "ep", "vi")
    for link in ("logit", "probit")
    for multi_class in ("one_vs_rest", "one_vs_one")
]
COMBINATIONS.append(("laplace", "logit", "softmax"))


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_estimator_checks(combination):
    inference, link, multi_class = combination
    classifier = TorchGPClassifier(
        inference=inference, link=link, multi_class=multi_class
    )
    results = check_estimator(classifier, on_skip=None)
    # What is left out wants an array library or device that is not here.
    assert sum(result["status"] == "passed" for result in results) >= 55
    assert not [r for r in results if r["status"] in ("failed", "xfail")]
