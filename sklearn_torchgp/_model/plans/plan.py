"""What a regressor's `fit` asks of a way to treat the covariance: a Plan."""

import numpy as np
import torch

from ..._data.arrays import ArrayKind, as_numpy
from ..._data.rows import is_table
from ..stages import Stage


class Plan:
    """How `fit` goes by a method: on which rows, in which stages, in what memory.

    Without state. The `estimator` is the regressor, whose parameters are the options;
    nothing else reads those of the method.

    Attributes
    ----------
    absent : dict of str to str
        Fitted attributes that there are none of -> why, and what to use instead.
    shares_terms : bool
        Whether workers of a cluster that all have all rows share out the terms of
        what is summed.
    """

    absent, shares_terms = {}, False

    def check_options(self, estimator):
        """Raise ValueError for a parameter of this method, whatever method is used."""

    def check(self, estimator):
        """Raise ValueError for parameters that do not go with this method."""

    def check_rows(self, estimator, X):
        """Raise ValueError for rows that this method cannot treat."""

    def method(self, estimator, objective="lml", *, ladder=False):
        """The Method that maximises the `objective`, "lml" or "loo".

        With `ladder` a matrix without a factor gets more on its diagonal.
        """
        raise NotImplementedError

    def given_rows(self, estimator, rows, kernel):
        """The Rows that everything is learnt from, the map of the targets first."""
        return rows

    def process_rows(self, estimator, rows, kernel):
        """The Rows that are conditioned on; y is that of the process."""
        return rows

    def seed(self, rng):
        """Of what is drawn at random; 0 where nothing is."""
        return 0

    def n_drawn(self, estimator):
        """How many rows of Dask arrays `fit` wants in memory; None for all."""
        return None

    def memory(self, estimator, n):
        """How many numbers must be held for n rows, and what helps if they cannot."""
        raise NotImplementedError

    def stages(self, estimator):
        """List of Stage: what is maximised, cheap approximations first."""
        raise NotImplementedError

    def n_common(self, estimator):
        """Stages that all starts run; only the best goes on. None: all of them."""
        return None

    def together(self, estimator):
        """The evaluation of all starts as one batch, where that pays; else None."""
        return None

    def settle(self, estimator):
        """Take over what the stages found beside theta."""

    def final_value(self, reached, evidence):
        """The log marginal likelihood: as the optimiser left it, or the posterior's."""
        return reached


class PlanWithoutMatrix(Plan):
    """What methods share that hold no n x n matrix.

    They learn on some of the rows, or terms, first; the evidence is that of all of them
    at the end.

    Attributes
    ----------
    name : str
        Of the method.
    keeps : str
        A fitted attribute that says what the evidence at any theta goes by.
    """

    name = keeps = None

    def check(self, estimator):
        if estimator.dtype == "mixed":
            raise ValueError(
                "The 'dtype' parameter is 'mixed', which refines one large factor: "
                f"method={self.name!r} has none. Use dtype='float64' or 'float32'."
            )

    def process_rows(self, estimator, rows, kernel):
        """Equal rows as their mean: fewer to pass, and none in a neighbour's place."""
        if counts_copies(estimator, kernel, rows.X):
            return rows.averaged(as_numpy(estimator.alpha))
        return rows

    def seed(self, rng):
        return rng.randint(np.iinfo(np.int32).max)

    def stages(self, estimator):
        if not estimator._has_own_objective():
            return self.own_stages(estimator)
        if not hasattr(estimator, self.keeps):
            found = estimator._model().infer()
            estimator._keep(found.posterior(), ArrayKind(estimator.X_train_))
        return [Stage(estimator.X_train_.shape[0], estimator._objective(None))]

    def own_stages(self, estimator):
        """Those of the method, where nobody else says what is maximised."""
        raise NotImplementedError

    def n_common(self, estimator):
        own = estimator._has_own_objective()
        return 1 if estimator._optimises_itself() and not own else None

    def final_value(self, reached, evidence):
        """Of all rows, with what was found beside theta."""
        return evidence


def counts_copies(estimator, kernel, X):
    """Whether equal rows may be kept once: numbers, and a kernel that tells noise.

    Not to leave rows out: one with its copies is not one of equal rows.
    """
    if estimator.objective == "loo" or not is_table(X):
        return False
    return estimator._covariance(kernel, X[:1], torch.device("cpu")).tells_noise


def check_numbers(estimator, *names):
    """Raise ValueError unless these parameters are numbers of rows."""
    for name in names:
        value = getattr(estimator, name)
        if value is None and name == "optimizer_rows":
            continue
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < 1:
            none = ", or None for all rows" if name == "optimizer_rows" else ""
            raise ValueError(
                f"The {name!r} parameter must be a positive integer{none}. Got "
                f"{value!r} instead; a number above that of the rows means all of them."
            )
