"""How fast is the exact GP on a GPU, how large can it be, how good are its answers?

``python benchmarks/bench_gpu.py --data FOLDER`` answers all three in one call: the log
marginal likelihood with its gradient against GPyTorch (Cholesky) and against nothing
but `torch.linalg.cholesky` + `cholesky_inverse`; the largest n of which one evaluation
fits; whole fits of the regression sets in FOLDER (``<name>.npz`` with X, y and
test_mask), and their likelihood at known hyperparameters where FOLDER has them.
``--device cpu --quick`` runs the same code on small cases without a GPU; ``--device
xpu`` takes another accelerator. Without GPyTorch it runs without that contender.
"""

import json
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from contenders import (
    GPYTORCH,
    OURS,
    gpytorch_gradient,
    gpytorch_objective,
    kernel,
    objective,
)
from harness import (
    Contender,
    NotConverged,
    compete,
    options,
    problem,
    product_rate,
    save,
    show,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp._inference.exact.evidence import evidence
from sklearn_torchgp._likelihoods.gaussian import Observations

SIZES = (2000, 5000, 10_000, 20_000, 40_000, 60_000)
LIMITS = (80_000, 90_000, 100_000, 110_000, 120_000, 130_000)
SETS = ("pol", "elevators", "bike", "kin40k", "protein", "keggdirected")


def synchronised(call, device):
    def wrapped():
        answer = call()
        torch.get_device_module(device).synchronize()
        return answer

    return wrapped


def likelihood(n, d, args, rate):
    """Rows for one n: ours, GPyTorch, the two factorisations, the floor."""
    X, y = problem(n, d)
    model = TorchGPRegressor(kernel(d), device=args.device)
    function = objective(model, X, y)
    theta = model.kernel_.theta
    gradient = function(theta)[1]

    def quality(answer):
        error = np.abs(answer[1] - gradient).max() / np.abs(gradient).max()
        return {"lml": -float(answer[0]), "gradient_error": float(error)}

    def factorise():
        K = torch.eye(n, dtype=torch.float64, device=args.device)
        return torch.cholesky_inverse(torch.linalg.cholesky(K))

    contenders = [
        Contender(OURS, lambda: function(theta), quality),
        Contender("cholesky + inverse", factorise),
    ]
    if find_spec("gpytorch"):  # a machine with a GPU may not let it be installed
        gpytorch = gpytorch_objective(X, y, theta, args.device)
        contenders.append(
            Contender(
                GPYTORCH, gpytorch, lambda a: quality((a[0], gpytorch_gradient(a[1])))
            )
        )
    for contender in contenders:
        contender.call = synchronised(contender.call, args.device)
    rows = compete({"n": n, "d": d}, contenders, rounds=3, block=0.3)
    floor = {"case": {"n": n, "d": d}, "contender": "floor", "seconds": n**3 / rate}
    if rows[0]["seconds"]:
        floor["ratio"] = floor["seconds"] / rows[0]["seconds"]
    show(floor)
    return [*rows, floor]


def largest(sizes, d, args, rate):
    """One evaluation at growing n until memory runs out."""
    rows = []
    for n in sizes:
        X, y = problem(n, d)
        case = {"largest n": n, "d": d}
        row = {"case": case, "contender": OURS, "seconds": None}
        try:
            covariance = Covariance(
                kernel(d), X, dtype=torch.float64, device=torch.device(args.device)
            )
            began = time.perf_counter()
            K, pullback = covariance.gram()
            targets = torch.as_tensor(y[:, None], device=K.device)
            lml, derivative, _ = evidence(K, Observations(targets, 1e-10))
            pullback(derivative()[0])
            row["seconds"] = time.perf_counter() - began
            row["quality"] = {
                "lml": float(lml),
                "of_product_rate": n**3 / rate / row["seconds"],
            }
        except (MemoryError, RuntimeError) as error:
            row["failed"] = f"{type(error).__name__}: {str(error)[:120]}"
        show(row)
        rows.append(row)
        covariance = K = pullback = derivative = None  # their memory goes back
        if args.device != "cpu":
            torch.get_device_module(args.device).empty_cache()
        if row.get("failed"):
            break
    return rows


def split(path, k, most):
    """Train and test of split k, scaled by the training rows."""
    data = np.load(path)
    test = data["test_mask"][:, k]
    X, y = data["X"], data["y"]
    train = np.flatnonzero(~test)[:most]
    centre, spread = X[train].mean(0), X[train].std(0)
    spread[spread == 0] = 1.0
    X = (X - centre) / spread
    y = (y - y[train].mean()) / y[train].std()
    return X[train], y[train], X[test], y[test]


def scores(model, X, y):
    mean, std = model.predict(X, return_std=True)
    variance = std**2  # with the WhiteKernel's noise, as in scikit-learn
    nll = 0.5 * (np.log(2 * np.pi * variance) + (y - mean) ** 2 / variance)
    return {
        "lml": float(model.log_marginal_likelihood_value_),
        "rmse": float(np.sqrt(np.mean((y - mean) ** 2))),
        "nll": float(nll.mean()),
        "coverage95": float(np.mean(np.abs(y - mean) <= 1.959964 * variance**0.5)),
    }


def whole_fit(name, args, most, known):
    """Fit split 0; and evaluate it at the known hyperparameters."""
    X, y, X_test, y_test = split(Path(args.data) / f"{name}.npz", 0, most)
    d = X.shape[1]
    start = ConstantKernel(1.0) * Matern(np.full(d, 1.0), nu=1.5) + WhiteKernel(0.1)
    runs = {"fit": (start, args.optimizer)}
    if known:
        values = [known["signal_scale"] ** 2, *known["length_scale"]]
        values.append(known["noise_scale"] ** 2)
        runs["known hyperparameters"] = (start.clone_with_theta(np.log(values)), None)
    rows = []
    for label, (kernel_, optimizer) in runs.items():
        model = TorchGPRegressor(kernel_, optimizer=optimizer, device=args.device)
        began = time.perf_counter()
        row = {"case": {"set": name, "n": len(X), "d": d}, "contender": label}
        try:
            with warnings.catch_warnings():  # length scales at bounds: no matter here
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X, y)
            row["seconds"] = time.perf_counter() - began
            records = model.optimizer_results_
            if records and records[0].converged is False:
                raise NotConverged(records[0].message)
            row["quality"] = scores(model, X_test, y_test)
            if records:
                row["quality"]["evaluations"] = records[0].n_evaluations
        except (MemoryError, RuntimeError, ArithmeticError) as error:
            row["seconds"] = None
            row["failed"] = f"{type(error).__name__}: {str(error)[:120]}"
        show(row)
        rows.append(row)
    return rows


def main():
    args = options(
        __doc__,
        data={"default": None, "help": "folder of regression sets"},
        device={"default": "cuda"},
        optimizer={"default": "fmin_l_bfgs_b"},
    )
    if not torch.get_device_module(args.device).is_available():
        print(
            f"No {args.device} on this machine: nothing was run (--device cpu tries)."
        )
        return
    sizes, limits, most = SIZES, LIMITS, None
    if args.quick:
        sizes, limits, most = (500, 1000), (1500,), 800
    rate = product_rate(4000 if args.quick else 16_000, device=args.device)
    rows = []
    for n in sizes:
        rows += likelihood(n, 8, args, rate)
    rows += largest(limits, 8, args, rate)
    if args.data:
        tuned = Path(args.data) / "lin_matern32_hparams.json"
        tuned = json.loads(tuned.read_text())["hparams"] if tuned.exists() else {}
        for name in SETS:
            rows += whole_fit(name, args, most, tuned.get(name, {}).get("0"))
    save("gpu", rows, args, product_gflops=rate / 1e9, device=args.device)


if __name__ == "__main__":
    main()
