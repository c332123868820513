"""How many evaluations on all rows remain when the optimiser begins on few?"""

import warnings

import numpy as np
from contenders import OURS, regressor
from harness import options, problem, save, show
from sklearn.exceptions import ConvergenceWarning

CASES = ((400, 4), (1000, 4), (1000, 8), (2000, 8))


def main():
    args = options(__doc__)
    rows = []
    for n, d in CASES[:3] if args.quick else CASES:
        X, y = problem(n, d, seed=1)
        for optimizer in ("fmin_l_bfgs_b", "coarse-to-fine"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = regressor(OURS, d, optimizer=optimizer).fit(X, y)
            (record,) = model.optimizer_results_
            row = {"case": {"n": n, "d": d}, "contender": optimizer}
            if not record.converged:
                row["failed"] = f"did not converge: {record.message}"
            else:
                coarse = record.n_coarse_evaluations
                row["seconds"] = record.seconds
                row["quality"] = {
                    "lml": record.value,
                    "evaluations": record.n_evaluations,
                    "equivalents": record.n_evaluations
                    + sum(k * (m / n) ** 3 for m, k in coarse.items()),
                    "theta_norm": float(np.linalg.norm(record.theta)),
                }
            show(row)
            rows.append(row)
    save("evaluations", rows, args)


if __name__ == "__main__":
    main()
