"""Inference methods: covariance matrix and data in, evidence and posterior out.

A method returns the log marginal likelihood, its derivative with respect to the
covariance matrix (a symmetric G, lower triangle valid, on which the caller applies
``covariance.pullback``), and a posterior. It knows neither kernels nor estimators.
"""

from .sites.ep import ep
from .sites.laplace import laplace
from .sites.vi import vi

METHODS = {"laplace": laplace, "ep": ep, "vi": vi}

__all__ = ["METHODS", "ep", "laplace", "vi"]
