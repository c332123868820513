"""scikit-learn's installed test modules, with one of its classes swapped for ours."""

import importlib.util

import sklearn.gaussian_process


def load_with(our_class, module, name):
    """The module of tests of sklearn.gaussian_process, where `name` is our class."""
    spec = importlib.util.find_spec(f"sklearn.gaussian_process.tests.{module}")
    loaded = importlib.util.module_from_spec(spec)
    theirs = getattr(sklearn.gaussian_process, name)
    setattr(sklearn.gaussian_process, name, our_class)
    try:
        spec.loader.exec_module(loaded)
    finally:
        setattr(sklearn.gaussian_process, name, theirs)
    return loaded


def functions_of(module):
    """Its test functions by name, for pytest to collect."""
    return {k: v for k, v in vars(module).items() if k.startswith("test_")}
