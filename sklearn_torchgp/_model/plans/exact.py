"""Exact inference: one matrix, one factor."""

from dataclasses import replace
from functools import partial

import torch

from ..._covariance.weights import networks
from ..._data.arrays import as_numpy
from ..._inference import Exact, loo_log_density, mixed_evidence
from ..progress import cure
from ..stages import Stage, growing_subsets
from ..together import batch_of_starts
from .plan import Plan, counts_copies

# By the values of the parameter `objective`.
METHODS = {"lml": Exact(), "loo": Exact(loo_log_density)}
WITH_LADDER = {name: replace(one, ladder=True) for name, one in METHODS.items()}
# With a float32 factor, for the way to an optimum.
MIXED = Exact(mixed_evidence)


class ExactPlan(Plan):
    """All rows at once; in float32 or on few of them first, if so asked."""

    def method(self, estimator, objective="lml", *, ladder=False):
        return (WITH_LADDER if ladder else METHODS)[objective]

    def given_rows(self, estimator, rows, kernel):
        """In float32 equal rows once: it has no digit to spare for copies."""
        if estimator.dtype == "float32" and counts_copies(estimator, kernel, rows.X):
            return rows.merged(as_numpy(estimator.alpha))
        return rows

    def memory(self, estimator, n):
        return n * n, partial(cure, estimator, n)

    def stages(self, estimator):
        n, stages = estimator.X_train_.shape[0], []
        if estimator._has_own_objective():
            return [Stage(n, estimator._objective(None))]
        if estimator.dtype == "mixed":
            model = estimator._model(MIXED)
            eps = torch.finfo(torch.float32).eps
            stages.append(Stage("float32", estimator._objective(model), eps=eps))
        if estimator.optimizer == "coarse-to-fine":
            model = estimator._model(METHODS[estimator.objective])
            for rows in growing_subsets(n):
                few = model.rows(rows)
                stages.append(Stage(len(rows), estimator._objective(few)))
        every = estimator._objective(estimator._training_model())
        return [*stages, Stage(n, every)]

    def together(self, estimator):
        if (
            estimator.n_restarts_optimizer == 0
            or not estimator._optimises_itself()  # another need not bear threads
            or estimator.optimizer != "fmin_l_bfgs_b"
            or estimator.dtype == "mixed"
            or estimator.objective != "lml"
            or estimator._has_own_objective()
            or networks(estimator.kernel_)
        ):
            return None
        n = estimator.X_train_.shape[0]
        return batch_of_starts(estimator._training_model(), n)
