"""How `fit` goes by each method: one file each, behind the Plan of `plan`."""

from .exact import ExactPlan
from .inducing import InducingPlan
from .vecchia import VecchiaPlan

# By the values of the parameter `method`, apart from "auto".
PLANS = {"exact": ExactPlan(), "vecchia": VecchiaPlan(), "inducing": InducingPlan()}
