"""Where does the time of a fit go?  ``python benchmarks/profile_fit.py 50 4``"""

import cProfile
import pstats
import sys
import time
import warnings

import torch
from contenders import OURS, kernel, regressor
from harness import problem
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
    spent["solves, rest"] = max(0.0, whole - spent["factor"] - spent["inverse"])
    total = sum(spent.values())
    for name, seconds in spent.items():
        print(f"{name:14} {1e3 * seconds:9.1f} ms {100 * seconds / total:5.1f} %")


if __name__ == "__main__":
    n, d = (int(argument) for argument in sys.argv[1:])
    with one_blas_thread():
        calls(n, d) if n <= 500 else stages(n, d)
