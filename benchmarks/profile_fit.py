"""Where does the time go, in a fit of few rows and in one likelihood of many?

With ``--n 50 --d 4`` one profile is printed: the functions of a whole fit up to 500
rows, the stages of one likelihood with gradient beyond. Without, those at the sizes
of PROFILE.rst are saved.
"""

import cProfile
import pstats
import time
import warnings

import torch
from contenders import OURS, kernel, regressor
from harness import options, problem, save
from sklearn.exceptions import ConvergenceWarning

from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp._inference.exact.evidence import evidence
from sklearn_torchgp._likelihoods.gaussian import Observations
from sklearn_torchgp._linalg.cholesky import cholesky_, inverse_
from sklearn_torchgp._linalg.threads import one_blas_thread


def calls(n, d, repeats=20):
    """The functions that a whole fit spends its time in, by their own time."""
    X, y = problem(n, d)
    warnings.simplefilter("ignore", ConvergenceWarning)
    regressor(OURS, d).fit(X, y)
    profile = cProfile.Profile()
    with profile:
        for _ in range(repeats):
            regressor(OURS, d).fit(X, y)
    pstats.Stats(profile).sort_stats("tottime").print_stats(22)


def stages(n, d):
    """Seconds of each stage of one likelihood with gradient, as a fit runs it."""
    X, y = problem(n, d)
    covariance = Covariance(
        kernel(d), X, dtype=torch.float64, device=torch.device("cpu")
    )
    y = torch.from_numpy(y[:, None])
    K, pullback = covariance.gram()
    spent = {}

    def timed(name, call):
        began = time.perf_counter()
        result = call()
        spent[name] = min(spent.get(name, 1e9), time.perf_counter() - began)
        return result

    for _ in range(max(4, 40_000 // n)):
        timed("gram", lambda: covariance.gram(out=K))
        K.diagonal().add_(1e-10)
        timed("factor", lambda: cholesky_(K))
        timed("inverse", lambda: inverse_(K))
        timed("pullback", lambda: pullback(K))
        timed("gram", lambda: covariance.gram(out=K))
        _, derivative, _ = timed(
            "likelihood", lambda: evidence(K, Observations(y, 1e-10))
        )
        timed("derivative", derivative)
    whole = spent.pop("likelihood") + spent.pop("derivative")
    spent["rest"] = max(0.0, whole - spent["factor"] - spent["inverse"])
    total = sum(spent.values())
    for name, seconds in spent.items():
        print(f"{name:14} {1e3 * seconds:9.1f} ms {100 * seconds / total:5.1f} %")
    case = {"n": n, "d": d}
    return [
        {"case": case, "contender": name, "seconds": seconds}
        for name, seconds in spent.items()
    ]


def main():
    args = options(__doc__, n={"type": int}, d={"type": int, "default": 8})
    with one_blas_thread():
        if args.n is not None:
            calls(args.n, args.d) if args.n <= 500 else stages(args.n, args.d)
            return
        rows = [row for n in (1000, 2000, 4000) for row in stages(n, args.d)]
    save("profile", rows, args, script="profile_fit")


if __name__ == "__main__":
    main()
