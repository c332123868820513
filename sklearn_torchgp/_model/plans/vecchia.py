"""Vecchia's approximation: learnt on terms drawn at random, then on all of them."""

from dataclasses import replace

from ..._data.rows import is_table
from ..._inference import Vecchia
from ..stages import Stage
from .plan import PlanWithoutMatrix, check_numbers

# Iterations of the stages of a fit: on terms drawn at random, with neighbours searched
# anew at each stage, and at last on all terms. (The first two on a quarter and a half
# of them saved a quarter of the time, but 6000 rows of bike ended 1,700 nats lower.)
ON_TERMS_DRAWN = (5, 10, 60)
ON_ALL_TERMS = 5

_NO_FACTOR = (
    "method='vecchia' factors small blocks of the covariance, which are not kept. "
    "'order_' and 'neighbors_' say which; use method='exact' for one factor."
)


class VecchiaPlan(PlanWithoutMatrix):
    """See :class:`~sklearn_torchgp._inference.Vecchia`."""

    name, keeps = "vecchia", "order_"
    absent = {"L_": _NO_FACTOR, "alpha_": _NO_FACTOR}
    shares_terms = True

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
        super().check(estimator)

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

    def memory(self, estimator, n):
        return n * estimator.n_neighbors, "Use fewer n_neighbors."

    def own_stages(self, estimator):
        n = estimator.X_train_.shape[0]
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
