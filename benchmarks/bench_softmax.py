"""Held-out log loss of joint models of several classes, against sampling them.

Kernels are optimised by each method's own evidence, and by Laplace's for all, on one
half of the rows (stratified, `random_state` = split); the other half is scored. The
reference is elliptical slice sampling of the softmax model with Laplace's kernel; its
own error shows in two chains. Digits are the first 300.

Part `prior` (iris, through the estimator): what a prior of the kernel's variance does,
which the evidence of 75 rows leaves open, EP's as well as the model's own (annealed).
A file named by ``--out`` keeps its rows of other cases.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from harness import joined, options, save, show
from scipy.optimize import minimize, minimize_scalar
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sklearn_torchgp import TorchGPClassifier
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp._inference.sites.multiclass_ep import multiclass_ep
from sklearn_torchgp._inference.sites.multiclass_posterior import latent_moments
from sklearn_torchgp._inference.sites.softmax_laplace import softmax_laplace
from sklearn_torchgp._likelihoods import (
    MultinomialProbit,
    Softmax,
    mode_probabilities,
    probit_average,
    softmax_average,
)
from sklearn_torchgp._linalg.cholesky import symmetrize_
from sklearn_torchgp.priors import LogNormal

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from softmax_oracle import annealed_evidence, sampled_probabilities

KERNEL = ConstantKernel(4.0, (1e-3, 1e5)) * RBF(4.0, (1e-2, 1e3))
METHODS = {
    "laplace": (softmax_laplace, Softmax),
    "ep softmax": (multiclass_ep, Softmax),
    "ep probit": (multiclass_ep, MultinomialProbit),
}


# Contender: method, how latent moments become probabilities.
CONTENDERS = {
    "laplace, averaged": ("laplace", softmax_average),
    "laplace, at the mode": ("laplace", mode_probabilities),
    "ep softmax": ("ep softmax", softmax_average),
    "ep probit": ("ep probit", probit_average),
}


def covariance(kernel, X):
    return Covariance(kernel, X, dtype=torch.float64, device=torch.device("cpu"))


def infer(method, kernel, X, y, start=None):
    """An inference, and the pullback of its derivative."""
    function, likelihood = METHODS[method]
    K, pullback = covariance(kernel, X).gram()
    labels = torch.tensor(np.eye(y.max() + 1)[y].T)
    return function(symmetrize_(K)[None], likelihood(labels), start), pullback


def optimised(method, X, y):
    """The kernel of the highest evidence, and how many sweeps all evaluations took."""
    state = {"start": None, "sweeps": 0}

    def objective(theta):
        kernel = KERNEL.clone_with_theta(theta)
        found, pullback = infer(method, kernel, X, y, state["start"])
        state["start"] = found.start
        state["sweeps"] += found.n_iterations
        return -found.lml, -pullback(found.derivative()[0])

    best = minimize(
        objective, KERNEL.theta, jac=True, method="L-BFGS-B", bounds=KERNEL.bounds
    )
    return KERNEL.clone_with_theta(best.x), state["sweeps"]


def probabilities(contender, kernel, X, y, Z):
    method, average = CONTENDERS[contender]
    found, _ = infer(method, kernel, X, y)
    k, prior = (torch.tensor(part) for part in (kernel(Z, X), kernel.diag(Z)))
    moments = latent_moments(k, prior, found.a, found.E, found.M)
    quality = {"lml": found.lml, "converged": float(found.converged)}
    return average(*moments).numpy(), quality


def read(name):
    X, y = {"iris": load_iris, "wine": load_wine, "digits": load_digits}[name](
        return_X_y=True
    )
    return (X[:300] / 8 - 1, y[:300]) if name == "digits" else (scale(X), y)


def row(case, contender, quality, seconds=None):
    result = {"case": case, "contender": contender, "seconds": seconds}
    result = {**result, "ratio": None, "quality": quality}
    show(result)
    return result


def scores(p, y):
    return {"log_loss": log_loss(y, p), "accuracy": accuracy_score(y, p.argmax(1))}


def compare(name, split, samples):
    X, Z, y, t = train_test_split(
        *read(name), test_size=0.5, random_state=split, stratify=read(name)[1]
    )
    case = {"data": name, "split": split}
    kernels = {}
    for method in METHODS:
        began = time.perf_counter()
        kernels[method], sweeps = optimised(method, X, y)
        seconds = time.perf_counter() - began
        theta = dict(
            zip(("log_variance", "log_length"), kernels[method].theta, strict=True)
        )
        yield row(case, f"{method}: fit", {"sweeps": sweeps, **theta}, seconds)
    laplace = kernels["laplace"]
    for seed in range(2):
        p = sampled_probabilities(laplace(np.r_[X, Z]), y, samples, seed=seed)
        yield row(case, f"sampled, chain {seed}", scores(p, t))
    for contender, (method, _) in CONTENDERS.items():
        p, quality = probabilities(contender, laplace, X, y, Z)
        yield row(case, f"{contender}; Laplace's kernel", {**scores(p, t), **quality})
        if method != "laplace":
            p, quality = probabilities(contender, kernels[method], X, y, Z)
            yield row(case, f"{contender}; own kernel", {**scores(p, t), **quality})


def large_variance():
    """Scores of the training rows, far inside the kernel's default bounds."""
    X, y = (part[:150] for part in load_digits(return_X_y=True))
    kernel = ConstantKernel(1e4) * RBF(30.0)
    for contender in CONTENDERS:
        p, quality = probabilities(contender, kernel, X, y, X)
        case = {"data": "digits", "rows": 150}
        yield row(case, contender, {**scores(p, y), **quality})


def variance_left_open(splits, steps):
    """Log loss by the evidence alone, and where a prior says 5, give or take e."""
    prior = {"k1__constant_value": LogNormal(np.log(25.0), 2.0)}
    for split in range(splits):
        X, Z, y, t = train_test_split(
            *read("iris"), test_size=0.5, random_state=split, stratify=read("iris")[1]
        )
        for name, priors in (("evidence", None), ("evidence and prior", prior)):
            model = TorchGPClassifier(
                KERNEL, multi_class="softmax", inference="ep", priors=priors
            ).fit(X, y)
            quality = scores(model.predict_proba(Z), t)
            quality["lml"] = model.log_marginal_likelihood_value_
            quality["log_variance"] = model.kernel_.theta[0]
            yield row({"data": "iris", "ask": "prior", "half": split}, name, quality)
        values = []
        for log_variance in (7.0, np.log(1e5)):
            length = minimize_scalar(
                lambda log, v=log_variance, X=X, y=y: (
                    -infer("ep softmax", KERNEL.clone_with_theta([v, log]), X, y)[0].lml
                ),
                bounds=(0.5, 1.6),
                method="bounded",
                options={"xatol": 0.01},
            )
            kernel = KERNEL.clone_with_theta([log_variance, length.x])
            p, _ = probabilities("ep softmax", kernel, X, y, Z)
            values.append({**scores(p, t), "lml": -length.fun})
            if split == 0:
                sampled = [
                    annealed_evidence(kernel(X), y, steps, seed=s) for s in range(4)
                ]
                values[-1].update(
                    annealed=np.mean(sampled), error=np.std(sampled) / 3**0.5
                )
        for value, variance in zip(values, ("exp(7)", "1e5"), strict=True):
            case = {"data": "iris", "ask": "prior", "half": split}
            yield row({**case, "variance": variance}, "ep softmax", value)


def main():
    args = options(
        __doc__,
        samples={"type": int},
        splits={"type": int},
        parts={"nargs": "+", "choices": ("sampled", "prior")},
    )
    parts = args.parts or ("sampled", "prior")
    samples = args.samples or (2_000 if args.quick else 100_000)
    splits = args.splits or (1 if args.quick else 4)
    rows = []
    if "sampled" in parts:
        rows += large_variance()
        for name in ("iris", "wine"):
            for split in range(splits):
                rows += compare(name, split, samples)
        rows += compare("digits", 0, samples)
    if "prior" in parts:
        rows += variance_left_open(splits, samples // 30)
    rows = joined(rows, args.out)
    save("softmax", rows, args, samples=samples, splits=splits)


if __name__ == "__main__":
    main()
