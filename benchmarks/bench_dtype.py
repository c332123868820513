"""What do float32 and mixed precision gain, and what do they cost in digits?"""

import numpy as np
from contenders import OURS, objective, regressor
from harness import Contender, compete, options, problem, save

DTYPES = ("float64", "float32", "mixed")


def main():
    args = options(__doc__)
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
