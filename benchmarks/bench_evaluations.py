"""How many evaluations on all rows remain when the optimiser begins on few?

With ``--data`` on real rows, too: 1000 of each set in the folder. The optimum stands
beside the count, for a start from few rows may lead to another one. Counts do not
depend on who else is at work: there are no seconds in the rows.
"""

import warnings
from pathlib import Path

import numpy as np
from contenders import OURS, regressor
from harness import options, problem, save, show
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

CASES = ((400, 4), (1000, 4), (1000, 8), (2000, 8))
OPTIMIZERS = ("fmin_l_bfgs_b", "coarse-to-fine")
SETS = (
    *("concrete", "energy", "kin8nm", "power", "airquality", "wine", "elevators"),
    *("bike", "naval", "pol", "protein", "satellite", "kin40k", "keggdirected"),
)


def problems(args):
    """Pairs of a case and its rows and targets."""
    for n, d in CASES[:3] if args.quick else CASES:
        yield {"n": n, "d": d}, *problem(n, d, seed=1)
    for name in SETS if args.data else ():
        path = Path(args.data) / f"{name}.npz"
        if not path.exists():
            print(f"{name}: no data, left out")
            continue
        data = np.load(path)
        rows = np.random.RandomState(0).permutation(len(data["X"]))[:1000]
        y = data["y"].reshape(len(data["X"]), -1)[rows, 0]
        X = scale(data["X"][rows])
        yield {"data": name, "n": len(X), "d": X.shape[1]}, X, scale(y)


def measure(case, X, y, optimizer):
    with warnings.catch_warnings():  # the row says whether it converged
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = regressor(OURS, X.shape[1], optimizer=optimizer).fit(X, y)
    (record,) = model.optimizer_results_
    row = {"case": case, "contender": optimizer}
    if not record.converged:
        return {**row, "failed": f"did not converge: {record.message}"}
    coarse = record.n_coarse_evaluations.items()
    quality = {
        "lml": record.value,
        "evaluations": record.n_evaluations,
        "equivalents": record.n_evaluations
        + sum(calls * (rows / len(X)) ** 3 for rows, calls in coarse),
        "theta_norm": float(np.linalg.norm(record.theta)),
    }
    return {**row, "quality": quality}


def main():
    args = options(__doc__, data={"default": None, "help": "folder of regression sets"})
    rows = []
    for case, X, y in problems(args):
        for optimizer in OPTIMIZERS:
            rows.append(measure(case, X, y, optimizer))
            show(rows[-1])
    save("evaluations", rows, args)


if __name__ == "__main__":
    main()
