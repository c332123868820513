"""Likelihoods p(y | f) on torch tensors, bound to labels and weights: both sides.

Fitting, a likelihood answers three questions, one for each approximation:

``derivatives``   log p and its derivatives in f (Laplace);
``tilted``        log normaliser and moments of N(f | m, v) p(y | f) (EP);
``expectations``  E log p and its derivatives under N(f | m, v) (VI).

`Likelihood` answers them from log p alone. Predicting, ``log_proba`` turns moments of f
into those of what is observed. Those of several classes answer ``race_moments`` instead
of the last two (`Softmax`). A likelihood knows neither kernels nor methods.
"""

from .bernoulli import Bernoulli, class_log_probabilities
from .likelihood import Likelihood
from .links import LINKS
from .multinomial_probit import MultinomialProbit
from .softmax import Softmax
from .softmax_average import mode_probabilities, probit_average, softmax_average

__all__ = [
    "LINKS",
    "Bernoulli",
    "Likelihood",
    "MultinomialProbit",
    "Softmax",
    "class_log_probabilities",
    "mode_probabilities",
    "probit_average",
    "softmax_average",
]
