"""Settings for the whole suite; must run before scikit-learn or SciPy are imported."""

import os

# scikit-learn's array-API checks are skipped without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# The suite's problems are small. OpenBLAS's workers spin after each of scikit-learn's
# calls on the cores that torch needs next, and torch's second thread only waits: on a
# busy machine tests/inference/test_ep.py took 60 s with two threads, 5 s with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy
import pytest
import scipy
import sklearn
import torch

if not torch.cuda.is_available():
    # scikit-learn's checks ask whether torch was built for CUDA, not for a device.
    torch.backends.cuda.is_built = lambda: False


def pytest_report_header():
    versions = (f"{m.__name__} {m.__version__}" for m in (numpy, scipy, sklearn, torch))
    return f"{', '.join(versions)} on {torch.get_num_threads()} thread(s)"


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(skip)
