"""Parts of the way to an optimum: what is climbed one after the other."""

from typing import Any, NamedTuple

import numpy as np

# Rows of the smallest subset that "coarse-to-fine" begins with.
FEWEST_COARSE = 300


class Stage(NamedTuple):
    """A part of the way to an optimum.

    Attributes
    ----------
    n_rows : int or str
        On how many rows, or terms, it is; for the record.
    objective : callable (theta, eval_gradient) -> value [, gradient]
    max_iterations : int, default=None
        Of our own optimiser; others have rules of their own.
    unit : float, default=1.0
        In which the optimiser is told the objective. Within finite bounds the first
        step of L-BFGS-B is the gradient itself: in nats a row it stays near, in nats it
        ends in a corner of the bounds, and the way back costs evaluations (4000 rows of
        elevators: 59 in place of 104, the last stage 6 in place of 8 to 11).
    eps : float, default=None
        Relative round-off of the objective, where it is not that of the dtype.
    begin : callable (record) -> vector, default=None
        What is optimised in this stage: theta of the record, and perhaps more.
    end : callable (record, vector) -> theta, default=None
        May write down in the record what else there is.
    """

    n_rows: Any
    objective: Any
    max_iterations: int | None = None
    unit: float = 1.0
    eps: float | None = None
    begin: Any = None
    end: Any = None


def growing_subsets(n_rows):
    """Rows to optimise on before all of them: an eighth and a half of them.

    Random, but the same in every fit. An evaluation on half of the rows costs an
    eighth of one on all. Fewer than 300 rows say too little about the length scales,
    and the optimum found from there is often a worse one. Even so it may be another
    than from the start, better or worse: counts and optima on real data are in
    benchmarks/results/evaluations.json. Objectives in nats a row
    (`Stage.unit`) changed the counts by -27 to +22 %, and optima, too: 35 nats higher
    on energy, 2 lower on elevators. Scaling theta by the curvature found on the
    subsets saved no further evaluations.
    """
    order = np.random.RandomState(0).permutation(n_rows)
    sizes = (n_rows // 8, n_rows // 2)
    return [np.sort(order[:size]) for size in sizes if size >= FEWEST_COARSE]
