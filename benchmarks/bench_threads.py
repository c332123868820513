"""Do public calls keep two thread pools off the same cores, whoever calls them?

Two questions. At n = 4000: a call as it is, and the same call by somebody who holds
OpenBLAS to one thread himself; a ratio below 1, beyond the spread of both, would say
that the package does not.
At n = 200: a fit without optimisation alone and beside two processes that keep both
cores busy, with one thread and with two, in a process each; the ratio is to the time
alone, and two busy processes leave a third one two thirds of a core.
"""

import copy
import os
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
from contenders import OURS, SKLEARN, regressor
from harness import Contender, compete, options, problem, run_python, save, show
from threadpoolctl import ThreadpoolController

BUSY = 2
FITS = """
import sys, time
sys.path.insert(0, {here!r})
from contenders import regressor
from harness import problem
X, y = problem(200, 8)
def fit():
    regressor({name!r}, 8, optimizer=None).fit(X, y)
for _ in range(20):
    fit()
seconds = []
for _ in range({fits}):
    began = time.perf_counter()
    fit()
    seconds.append(time.perf_counter() - began)
    time.sleep(0.002)  # so that each fit meets the scheduler anew
print(*seconds)
"""


def public_calls(n, d):
    """Name -> callable, of calls that factor or invert a large matrix."""
    X, y, X_new, y_new = problem(n, d, n_test=20)
    model = regressor(OURS, d, optimizer=None).fit(X, y)
    return {
        "fit, optimizer=None": lambda: regressor(OURS, d, optimizer=None).fit(X, y),
        "loo_predict": lambda: model.loo_predict(),
        # The arrays of the copy are replaced, not written on.
        "partial_fit, 20 rows": lambda: copy.copy(model).partial_fit(X_new, y_new),
        "LML + gradient": lambda: model.log_marginal_likelihood(
            model.kernel_.theta, eval_gradient=True
        ),
    }


def held(call):
    """The call by somebody who keeps OpenBLAS to one thread."""
    controller = ThreadpoolController()  # looks at all libraries: once, not in the call

    def inside():
        with controller.limit(limits=1, user_api="blas"):
            return call()

    return inside


@contextmanager
def busy_processes(count):
    code = [sys.executable, "-c", "while True: pass"]
    beside = [subprocess.Popen(code) for _ in range(count)]
    try:
        yield
    finally:
        for process in beside:
            process.kill()


def fit_seconds(name, threads, busy, fits):
    """Median of the fits of a process of their own."""
    here = os.path.dirname(os.path.abspath(__file__))
    with busy_processes(BUSY if busy else 0):
        printed = run_python(
            FITS.format(here=here, name=name, fits=fits), OMP_NUM_THREADS=str(threads)
        )
    return np.median([float(word) for word in printed.split()])


def beside_others(rounds, fits):
    """Rows of results for small fits alone and beside busy processes."""
    rows = []
    for threads in (1, 2):
        for name in (OURS, SKLEARN):
            seconds = np.array([
                [fit_seconds(name, threads, busy, fits) for busy in (False, True)]
                for _ in range(rounds)
            ])  # fmt: skip
            for busy, column in zip((0, BUSY), seconds.T, strict=True):
                case = {"call": "fit, optimizer=None", "n": 200, "d": 8}
                row = {
                    "case": {**case, "threads": threads, "busy": busy},
                    "contender": name,
                    "seconds": float(np.median(column)),
                    "spread": [float(column.min()), float(column.max())],
                    "ratio": float(np.median(column / seconds[:, 0])),
                    "quality": {},
                }
                rows.append(row)
                show(row)
    return rows


def main():
    args = options(__doc__)
    n, d, rounds = (2000, 8, 2) if args.quick else (4000, 8, 5)
    rows = []
    for call, ours in public_calls(n, d).items():
        contenders = [
            Contender(OURS, ours),
            Contender("held by the caller", held(ours)),
        ]
        case = {"call": call, "n": n, "d": d}
        rows += compete(case, contenders, rounds=rounds, block=0.3)
    rows += beside_others(1 if args.quick else 5, 50 if args.quick else 200)
    save("threads", rows, args)


if __name__ == "__main__":
    main()
