"""Inference methods: `contract` is the page to read first.

A method knows neither kernels nor likelihoods nor estimators: it is handed them.
"""

from .exact.leave_one_out import loo_log_density
from .exact.method import Exact
from .exact.mixed import evidence as mixed_evidence
from .inducing.method import Inducing
from .inducing.points import Places
from .inducing.sites import InducingSites
from .prior import Prior
from .sites.ep import ep
from .sites.laplace import laplace
from .sites.method import MulticlassMethod, SiteMethod
from .sites.multiclass_ep import multiclass_ep
from .sites.softmax_laplace import softmax_laplace
from .sites.vi import vi
from .vecchia.method import Vecchia

SITE_ALGORITHMS = {"laplace": laplace, "ep": ep, "vi": vi}
MULTICLASS_ALGORITHMS = {"laplace": softmax_laplace, "ep": multiclass_ep}

__all__ = [
    "MULTICLASS_ALGORITHMS",
    "SITE_ALGORITHMS",
    "Exact",
    "Inducing",
    "InducingSites",
    "MulticlassMethod",
    "Places",
    "Prior",
    "SiteMethod",
    "Vecchia",
    "loo_log_density",
    "mixed_evidence",
]
