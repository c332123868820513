"""How long do a bound through inducing points and its gradient take beside GPyTorch's?

The 36,000 training rows of kin40k (``--data`` names the folder), 512 of them as points,
an RBF with a length scale for each feature, all at the same theta; one thread each. CPU
seconds, by turns, and peaks of memory above the data in processes of their own. Without
GPyTorch we stand alone.
"""

import importlib.util
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from bench_scale import read
from contenders import OURS, gpytorch_gradient, gpytorch_objective, kernel
from harness import options, peak_memory, save, show

from sklearn_torchgp import TorchGPRegressor

SGPR = "GPyTorch (SGPR)"
SETUP = """
import sys
sys.path.insert(0, "benchmarks")
import numpy as np
import torch
torch.set_num_threads(1)
from pathlib import Path
from bench_sgpr import CONTENDERS, rows
contender = CONTENDERS[{name!r}]
contender(*rows(Path({data!r}), 600, 40))()  # to load every library
X, y, Z, theta = rows(Path({data!r}), {n}, {m})
"""


def rows(folder, n, m):
    """n rows and targets, m of them as points, and a theta near the optimum."""
    X, y, _, _ = read(folder, "kin40k", n)
    theta = np.log(np.r_[0.6, np.full(X.shape[1], 2.0), 0.05])
    return X, y, X[np.random.RandomState(0).permutation(len(X))[:m]], theta


def ours(X, y, Z, theta):
    """() -> minus the bound, minus its gradient."""
    one = kernel(X.shape[1]).clone_with_theta(theta)
    settings = {"inducing_points": Z, "alpha": 1e-10, "copy_X_train": False}
    model = TorchGPRegressor(one, method="inducing", optimizer=None, **settings)
    model.fit(X, y)

    def evaluate():
        value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
        return -value, -gradient

    return evaluate


def theirs(X, y, Z, theta):
    """The same by GPyTorch."""
    evaluate = gpytorch_objective(X, y, theta, points=Z)

    def in_our_parameters():
        value, raw = evaluate()
        return value, gpytorch_gradient(raw)

    return in_our_parameters


CONTENDERS = {OURS: ours, SGPR: theirs}


def main():
    args = options(__doc__, data={"type": Path, "default": None})
    torch.set_num_threads(1)
    n, m, rounds = (3000, 64, 3) if args.quick else (36_000, 512, 7)
    if read(args.data, "kin40k") is None:
        return
    X, y, Z, theta = rows(args.data, n, m)
    names = list(CONTENDERS)
    if importlib.util.find_spec("gpytorch") is None:
        print(f"{SGPR}: not installed, left out")
        names = names[:1]
    calls = {name: CONTENDERS[name](X, y, Z, theta) for name in names}
    answers = {name: call() for name, call in calls.items()}
    seconds = {name: [] for name in names}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.process_time()
            call()
            seconds[name].append(time.process_time() - began)
    value, gradient = answers[OURS]
    found = []
    for name in names:
        setup = SETUP.format(name=name, data=str(args.data), n=len(X), m=m)
        work = "contender(X, y, Z, theta)()"
        its_value, its_gradient = answers[name]
        apart = np.abs(its_gradient - gradient).max() / np.abs(gradient).max()
        quality = {
            "bound": -float(its_value),
            "bound apart": abs(float(its_value - value)),
            "gradient apart": float(apart),
            "mib": peak_memory(setup, work) / 2**20,
        }
        spread = [min(seconds[name]), max(seconds[name])]
        median = statistics.median(seconds[name])
        row = {"case": {"n": len(X), "d": X.shape[1], "m": m}, "contender": name}
        row.update(seconds=median, spread=spread, quality=quality)
        first = found[0] if found else row
        row["ratio"] = median / first["seconds"]
        row["ratio of memory"] = quality["mib"] / first["quality"]["mib"]
        show(row)
        found.append(row)
    save("sgpr", found, args)


if __name__ == "__main__":
    main()
