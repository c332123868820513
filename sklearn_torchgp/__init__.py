"""Gaussian processes: scikit-learn estimators outside, torch linear algebra inside."""

from ._classifier import TorchGPClassifier
from ._covariance import register_kernel
from ._regressor import TorchGPRegressor

__all__ = ["TorchGPClassifier", "TorchGPRegressor", "__version__", "register_kernel"]

__version__ = "0.1.0"
