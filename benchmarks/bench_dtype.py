"""What do float32 and mixed precision gain, and what do they cost in digits?

``--data FOLDER`` asks instead how often intervals hold: 95 % intervals of noisy
observations after fits to 1000 rows at most of ten data sets, means over their first
splits, in every precision.
"""

import warnings
from pathlib import Path

import numpy as np
from contenders import OURS, kernel, objective, regressor
from harness import Contender, compete, options, problem, save, show

from sklearn_torchgp import TorchGPRegressor

DTYPES = ("float64", "float32", "mixed")

SETS = (
    "yacht", "energy", "concrete", "wine", "kin8nm",
    "power", "naval", "pol", "elevators", "bike",
)  # fmt: skip
SPLITS, MOST_ROWS = 3, 1000


def split(path, k):
    """Training and test rows of split k, standardised by the training rows."""
    data = np.load(path)
    mask = data["test_mask20" if "test_mask20" in data else "test_mask"][:, k]
    rng = np.random.RandomState(0)
    train, test = (
        rng.permutation(np.flatnonzero(m))[:MOST_ROWS] for m in (~mask, mask)
    )
    X, y = data["X"], data["y"]
    X = X[:, X[train].std(axis=0) > 0]
    X = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    y = (y - y[train].mean()) / y[train].std()
    return X[train], y[train], X[test], y[test]


def held(dtype, X, y, X_test, y_test):
    """Of one fit: coverage, scores, and deviations of the latent function."""
    model = TorchGPRegressor(kernel(X.shape[1]), dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bounds, which some of the optima touch
        model.fit(X, y)
    low, high = model.predict_interval(X_test).T
    density = model.log_predictive_density(X_test, y_test)
    _, latent = model.predict(X_test, return_std=True, include_noise=False)
    return {
        "coverage": np.mean((low <= y_test) & (y_test <= high)),
        "rmse": np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2)),
        "nlpd": -np.mean(density),
        "latent_std": np.median(latent),
        "jitter": model.jitter_,
    }


def coverage(args):
    rows = []
    for name in SETS[:3] if args.quick else SETS:
        for dtype in DTYPES:
            found = [
                held(dtype, *split(Path(args.data) / f"{name}.npz", k))
                for k in range(1 if args.quick else SPLITS)
            ]
            quality = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
            case = {"data": name, "splits": len(found), "ask": "coverage"}
            row = {"case": case, "contender": dtype, "quality": quality}
            rows.append({**row, "seconds": None, "ratio": None})
            show(rows[-1])
    save("dtype_coverage", rows, args, script="bench_dtype")


def main():
    args = options(__doc__, data={"default": None, "help": "folder of regression sets"})
    if args.data:
        coverage(args)
        return
    n, m, d = (1000, 4000, 8) if args.quick else (4000, 8000, 8)
    X, y, X_test, y_test = problem(n, d, n_test=m)
    models = {dtype: regressor(OURS, d, dtype=dtype) for dtype in DTYPES}
    functions = {dtype: objective(models[dtype], X, y) for dtype in DTYPES}
    theta = models["float64"].kernel_.theta
    value, gradient = functions["float64"](theta)

    def digits(answer):
        error = np.abs(answer[1] - gradient).max() / np.abs(gradient).max()
        return {
            "lml": -float(answer[0]),
            "lml_error": abs(float(answer[0] / value) - 1),
            "gradient_error": float(error),
        }

    def accuracy(answer):
        mean, std = answer
        terms = np.log(2 * np.pi * std**2) + ((y_test - mean) / std) ** 2
        rmse = float(np.sqrt(np.mean((y_test - mean) ** 2)))
        return {"rmse": rmse, "nlpd": float(terms.mean() / 2)}

    evaluations = [
        Contender(dtype, lambda f=functions[dtype]: f(theta), digits)
        for dtype in DTYPES
    ]
    predictions = [
        Contender(
            dtype,
            lambda model=models[dtype]: model.predict(
                X_test.astype(np.float32 if model.dtype == "float32" else np.float64),
                return_std=True,
            ),
            accuracy,
        )
        for dtype in ("float64", "float32")
    ]
    rounds = 3 if args.quick else 4
    case = {"n": n, "d": d}
    rows = compete({**case, "ask": "lml"}, evaluations, rounds=rounds, block=0.3)
    rows += compete({**case, "ask": "std"}, predictions, rounds=rounds, block=0.3)
    save("dtype", rows, args)


if __name__ == "__main__":
    main()
