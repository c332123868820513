"""How long does one log marginal likelihood with its gradient take?

The floor is n^3 flop (factor n^3 / 3, inverse 2 n^3 / 3) at the float64
matrix-product rate measured between the cases of this run.
"""

import numpy as np
from contenders import (
    GPYTORCH,
    OURS,
    SKLEARN,
    gpytorch_gradient,
    gpytorch_objective,
    objective,
    regressor,
)
from harness import Contender, compete, options, problem, product_rate, save, show

CASES = ((10, 1), (50, 4), (200, 8), (1000, 8), (2000, 8), (4000, 8))


def contenders(n, d):
    X, y = problem(n, d)
    estimators = {name: regressor(name, d) for name in (OURS, SKLEARN)}
    functions = {name: objective(est, X, y) for name, est in estimators.items()}
    theta = estimators[SKLEARN].kernel_.theta
    gradient = functions[SKLEARN](theta)[1]
    gpytorch = gpytorch_objective(X, y, theta)

    def quality(answer):
        error = np.abs(answer[1] - gradient).max() / np.abs(gradient).max()
        return {"lml": -float(answer[0]), "gradient_error": float(error)}

    return [
        Contender(OURS, lambda: functions[OURS](theta), quality),
        Contender(SKLEARN, lambda: functions[SKLEARN](theta), quality),
        Contender(
            GPYTORCH,
            gpytorch,
            lambda answer: quality((answer[0], gpytorch_gradient(answer[1]))),
        ),
    ]


def main():
    args = options(__doc__)
    rows, rates = [], []
    for n, d in CASES:
        case = {"n": n, "d": d}
        rates.append(product_rate())
        rounds = 7 if n < 1000 else 5 if n < 4000 else 3
        block = 0.3 if n < 1000 else 0.6
        if args.quick:
            rounds, block = (3, block) if n < 4000 else (1, 0)
        found = compete(case, contenders(n, d), rounds=rounds, block=block)
        rows += found
        if n >= 1000:
            floor = n**3 / np.median([rates[-1], product_rate()])
            ratio = floor / found[0]["seconds"]
            rows.append(
                {"case": case, "contender": "floor", "seconds": floor, "ratio": ratio}
            )
            show(rows[-1])
    save("lml", rows, args, product_gflops=float(np.median(rates)) / 1e9)


if __name__ == "__main__":
    main()
