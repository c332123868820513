"""Vecchia's approximation: learnt on terms drawn at random, then on all of them."""

from dataclasses import replace

import numpy as np

from ..._data.arrays import ArrayKind, as_numpy
from ..._data.rows import is_table
from ..._inference import Vecchia
from ..stages import Stage
from .plan import Plan, check_numbers, counts_copies

# Iterations of the stages of a fit: on terms drawn at random, with neighbours searched
# anew at each stage, and at last on all terms.
ON_TERMS_DRAWN = (5, 10, 60)
ON_ALL_TERMS = 5

_NO_FACTOR = (
    "method='vecchia' factors small blocks of the covariance, which are not kept. "
    "'order_' and 'neighbors_' say which; use method='exact' for one factor."
)


class VecchiaPlan(Plan):
    """See :class:`~sklearn_torchgp._inference.Vecchia`."""

    absent = {"L_": _NO_FACTOR, "alpha_": _NO_FACTOR}

    def check_options(self, estimator):
        names = "n_neighbors", "n_neighbors_predict", "optimizer_rows"
        check_numbers(estimator, *names)

    def check(self, estimator):
        mean = estimator.mean
        trend = isinstance(mean, str) and mean != "zero"
        if estimator.objective == "loo" and trend:
            raise ValueError(
                f"The 'objective' parameter is 'loo' and 'mean' is {mean!r}, which "
                "method='vecchia' does not know together: all rows share the "
                "coefficients of the trend. Use objective='lml', a regressor such as "
                "LinearRegression() as 'mean', or method='exact'."
            )
        if estimator.dtype == "mixed":
            raise ValueError(
                "The 'dtype' parameter is 'mixed', which refines one large factor: "
                "method='vecchia' has none. Use dtype='float64' or 'float32'."
            )

    def check_rows(self, estimator, X):
        if not is_table(X):
            raise ValueError(
                "The 'method' parameter is 'vecchia', which finds neighbours in a "
                f"table of numbers; X of type {type(X).__name__} is none. Use "
                "method='exact'."
            )

    def method(self, estimator, objective="lml", *, ladder=False):
        return Vecchia(
            int(estimator.n_neighbors),
            int(estimator.n_neighbors_predict),
            leaving_out=objective == "loo",
            ladder=ladder,
            seed=estimator._fit_record.seed,
        )

    def process_rows(self, estimator, rows, kernel):
        """Equal rows as their mean: copies would fill the places of neighbours."""
        if counts_copies(estimator, kernel, rows.X):
            return rows.averaged(as_numpy(estimator.alpha))
        return rows

    def seed(self, rng):
        return rng.randint(np.iinfo(np.int32).max)

    def memory(self, estimator, n):
        return n * estimator.n_neighbors, "Use fewer n_neighbors."

    def stages(self, estimator):
        n = estimator.X_train_.shape[0]
        if estimator._has_own_objective():
            if not hasattr(estimator, "order_"):
                found = estimator._model().infer()
                estimator._keep(found.posterior(), ArrayKind(estimator.X_train_))
            return [Stage(n, estimator._objective(None))]
        few = min(estimator.optimizer_rows or n, n)
        method = self.method(estimator, estimator.objective)
        drawn = estimator._model(replace(method, n_terms=few))
        if not estimator._optimises_itself():
            return [Stage(few, estimator._objective(drawn)) for _ in range(2)]
        every = estimator._objective(estimator._model(method))
        return [
            *(Stage(few, estimator._objective(drawn), k, n) for k in ON_TERMS_DRAWN),
            Stage(n, every, ON_ALL_TERMS, n),
        ]

    def n_common(self, estimator):
        own = estimator._has_own_objective()
        return 1 if estimator._optimises_itself() and not own else None

    def final_value(self, reached, evidence):
        """Of all terms, with the neighbours at the optimum."""
        return evidence
