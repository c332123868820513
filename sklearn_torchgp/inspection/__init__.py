"""Pictures of fitted Gaussian processes, after scikit-learn's convention for displays.

``SomeDisplay.from_estimator(estimator, X, y)`` computes and draws; ``plot(ax=...)``
draws again; what was drawn is kept in attributes with a trailing underscore. matplotlib
is imported when something is drawn (``pip install sklearn-torchgp[plot]``).
"""

from .classification import ClassificationDisplay
from .coverage import CoverageDisplay
from .evidence import LogMarginalLikelihoodDisplay
from .leave_one_out import LeaveOneOutDisplay
from .length_scale import LengthScaleDisplay
from .posterior import PosteriorDisplay

__all__ = [
    "ClassificationDisplay",
    "CoverageDisplay",
    "LeaveOneOutDisplay",
    "LengthScaleDisplay",
    "LogMarginalLikelihoodDisplay",
    "PosteriorDisplay",
]
