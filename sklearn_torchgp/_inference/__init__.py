"""Inference methods: `contract` is the page to read first.

A method knows neither kernels nor likelihoods nor estimators: it is handed them.
"""

from .exact.leave_one_out import loo_log_density
from .exact.method import Exact
from .exact.mixed import evidence as mixed_evidence
from .prior import Prior
from .sites.ep import ep
from .sites.laplace import laplace
from .sites.method import SiteMethod, SoftmaxLaplace
from .sites.vi import vi

SITE_ALGORITHMS = {"laplace": laplace, "ep": ep, "vi": vi}

__all__ = [
    "SITE_ALGORITHMS",
    "Exact",
    "Prior",
    "SiteMethod",
    "SoftmaxLaplace",
    "loo_log_density",
    "mixed_evidence",
]
