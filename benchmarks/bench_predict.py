"""How long does prediction take, with and without standard deviations?

Beside the standard deviations stands what no exact method escapes, in plain torch
calls: the kernel between training and new rows, and one triangular solve with it.
"""

import numpy as np
import torch
from contenders import OURS, SKLEARN, regressor
from harness import Contender, compete, options, problem, save


def plain_calls(model, X_test):
    """() -> V, by the largest calls that torch has: one cdist, one solve."""
    theta = np.exp(model.kernel_.theta)
    scale = torch.from_numpy(theta[1:-1])
    X = torch.from_numpy(model.X_train_)
    Z = torch.from_numpy(X_test)
    L = torch.from_numpy(np.asarray(model.L_))

    def call():
        for rows in Z.split(2000):
            K = torch.cdist(X / scale, rows / scale)
            K = K.square_().mul_(-0.5).exp_().mul_(theta[0])
            V = torch.linalg.solve_triangular(L, K, upper=False)
        return V

    return call


def main():
    args = options(__doc__)
    n, m, d = (1000, 5000, 8) if args.quick else (2000, 20_000, 8)
    X, y, X_test, y_test = problem(n, d, n_test=m)
    models = {
        name: regressor(name, d, optimizer=None).fit(X, y) for name in (OURS, SKLEARN)
    }

    def rmse(mean):
        return {"rmse": float(np.sqrt(np.mean((y_test - mean) ** 2)))}

    def nlpd(answer):
        mean, std = answer
        terms = np.log(2 * np.pi * std**2) + ((y_test - mean) / std) ** 2
        return {**rmse(mean), "nlpd": float(terms.mean() / 2)}

    means = [
        Contender(name, lambda model=model: model.predict(X_test), rmse)
        for name, model in models.items()
    ]
    deviations = [
        Contender(
            name, lambda model=model: model.predict(X_test, return_std=True), nlpd
        )
        for name, model in models.items()
    ]
    deviations.append(
        Contender("kernel + triangular solve", plain_calls(models[OURS], X_test))
    )
    rows, case = [], {"n": n, "rows": m, "d": d}
    rounds = 3 if args.quick else 5
    rows += compete({**case, "ask": "mean"}, means, rounds=rounds, block=0.5)
    rows += compete({**case, "ask": "std"}, deviations, rounds=rounds, block=0.5)
    save("predict", rows, args)


if __name__ == "__main__":
    main()
