"""scikit-learn's own tests of its classifier, and its estimator checks, run on ours.

See `sklearn_suite`; pytest collects the test functions from here.
"""

import inspect

import pytest
from sklearn.utils.estimator_checks import check_estimator
from sklearn_suite import functions_of, load_with

from sklearn_torchgp import TorchGPClassifier

# Their tests do not treat warnings as errors.
pytestmark = pytest.mark.filterwarnings("ignore")


module = load_with(TorchGPClassifier, "test_gpc", "GaussianProcessClassifier")
globals().update(functions_of(module))


@pytest.fixture
def global_random_seed():
    """scikit-learn's conftest draws it; its default is 42."""
    return 42


def test_our_class_is_the_one_tested():
    assert module.GaussianProcessClassifier is TorchGPClassifier
    written = inspect.getsource(module).count("\ndef test_")
    assert len(functions_of(module)) == written >= 13


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
