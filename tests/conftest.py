"""Settings for the whole suite; must run before scikit-learn or SciPy are imported."""

import os

# scikit-learn's array-API checks are skipped without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# OpenBLAS's workers spin after each of scikit-learn's calls on the cores that torch
# needs next: tests that alternate the two ran several times longer.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The problems are small. With two threads and another process on the second core torch
# waits a time slice in every operation: minutes instead of seconds for the classifier.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(skip)
