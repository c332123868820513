"""How long do the small calls take that other programs make again and again?

The public calls, with whatever they validate and resolve: the prediction of one row or
a hundred, a fit without and with optimisation, the likelihood with its gradient, the
probabilities of one row, and the first fit of a process.
"""

import warnings

import numpy as np
from contenders import OURS, SKLEARN, kernel, regressor
from harness import Contender, compete, options, problem, run_python, save, show
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF

from sklearn_torchgp import TorchGPClassifier

CASES = ((10, 1), (50, 4), (100, 4), (200, 8), (400, 8), (1000, 8))
CLASSES = {OURS: TorchGPClassifier, SKLEARN: GaussianProcessClassifier}


def quietly(call):
    """The call without warnings of convergence."""

    def called():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return call()

    return called


def regression_calls(name, n, d):
    """What is asked of a regressor: name -> callable."""
    X, y = problem(n, d)
    theta = kernel(d).theta

    def fitted(**settings):
        return regressor(name, d, **settings).fit(X, y)

    model = fitted(optimizer=None)
    calls = {
        "predict 1 row": lambda: model.predict(X[:1], return_std=True),
        "predict 100 rows": lambda: model.predict(rows, return_std=True),
        "fit, optimizer=None": lambda: fitted(optimizer=None),
        "LML + gradient": lambda: model.log_marginal_likelihood(theta, True),
        "fit": quietly(fitted),
    }
    rows = problem(100, d, seed=1)[0]
    return calls


def classification_calls(name, n, d):
    """The same of a classifier by Laplace's approximation."""
    X, f = problem(n, d)
    y = f > np.median(f)

    def fitted(scales=d, **settings):
        return CLASSES[name](1.0 * RBF(np.ones(scales)), **settings).fit(X, y)

    calls = {"classifier fit": quietly(fitted)}
    if n <= 200:
        model = fitted(optimizer=None)
        calls["predict_proba 1 row"] = lambda: model.predict_proba(X[:1])
    else:
        calls["classifier fit, one scale"] = quietly(lambda: fitted(1))
    return calls


def first_fits(n, d, rounds):
    """Rows of results for the first fit of a process, imports done."""
    code = """
import sys, time, warnings
sys.path.insert(0, {here!r})
warnings.simplefilter("ignore")
from contenders import regressor
from harness import problem
model, (X, y) = regressor({name!r}, {d}), problem({n}, {d})
began = time.perf_counter()
model.fit(X, y)
print(time.perf_counter() - began)
"""
    here, names = __file__.rsplit("/", 1)[0], (OURS, SKLEARN)
    seconds = np.array([
        [float(run_python(code.format(here=here, name=name, n=n, d=d)).split()[-1])
         for name in names]
        for _ in range(rounds)
    ])  # fmt: skip
    found = []
    for name, column in zip(names, seconds.T, strict=True):
        row = {
            "case": {"call": "first fit of a process", "n": n, "d": d},
            "contender": name,
            "seconds": float(np.median(column)),
            "spread": [float(column.min()), float(column.max())],
            "quality": {},
            "ratio": float(np.median(column / seconds[:, 0])),
        }
        found.append(row)
        show(row)
    return found


def main():
    args = options(__doc__, only={"default": "", "help": "calls with this in the name"})
    rounds = 5 if args.quick else 9
    rows = []
    for n, d in CASES:
        parts = [(regression_calls, n, d)]
        if n <= 200 or (n == 400 and not args.quick):
            parts.append((classification_calls, 600 if n == 400 else n, d))
        for make, n_rows, n_features in parts:
            by_name = {name: make(name, n_rows, n_features) for name in (OURS, SKLEARN)}
            for call in by_name[OURS]:
                if args.only not in call or (call == "fit" and n == 1000):
                    continue
                contenders = [Contender(k, v[call]) for k, v in by_name.items()]
                case = {"call": call, "n": n_rows, "d": n_features}
                slow = n_rows > 200 and "fit" in call
                block = 0.0 if slow else 0.1
                rows += compete(
                    case, contenders, rounds=3 if slow else rounds, block=block
                )
        if n <= 100 and args.only in "first fit of a process":
            rows += first_fits(n, d, rounds)
    save("calls", rows, args)


if __name__ == "__main__":
    main()
