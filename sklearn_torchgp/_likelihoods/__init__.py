"""Likelihoods p(y | f): elementwise, on torch tensors, bound to labels and weights.

A likelihood answers three questions, one for each inference method:

``derivatives``   log p and its derivatives in f (Laplace);
``tilted``        log normaliser and moments of N(f | m, v) p(y | f) (EP);
``expectations``  E log p and its derivatives under N(f | m, v) (VI).

It knows neither kernels nor inference methods.
"""

from .bernoulli import Bernoulli, class_log_probabilities
from .links import LINKS
from .softmax import Softmax
from .softmax_average import softmax_average

__all__ = [
    "LINKS",
    "Bernoulli",
    "Softmax",
    "class_log_probabilities",
    "softmax_average",
]
