"""How many files of the package a call passes through: a reader's way, not a time.

Run ``python -m benchmarks.count_files``. It prints, for one likelihood with gradient
and one prediction with deviation, the files in the order in which they are entered and
the number of times that control passes from one file to another.
"""

import itertools
import sys
from pathlib import Path

import numpy as np
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

import sklearn_torchgp
from sklearn_torchgp import TorchGPRegressor

ROOT = Path(sklearn_torchgp.__file__).parent


def files_of(call):
    """The files whose functions a call enters, in order, and its moves between them."""
    entered, path = [], []

    def profile(frame, event, argument):
        name = frame.f_code.co_filename
        if event not in ("call", "return") or not name.startswith(str(ROOT)):
            return
        name = Path(name).relative_to(ROOT).as_posix()
        if event == "call":
            entered.append(name)
        path.append(name)

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    moves = sum(a != b for a, b in itertools.pairwise(path))
    return list(dict.fromkeys(entered)), moves


def main(n=60):
    rng = np.random.RandomState(0)
    X = rng.rand(n, 2)
    model = TorchGPRegressor(1.0 * RBF([1.0, 1.0]) + WhiteKernel(), optimizer=None)
    model.fit(X, np.sin(3 * X).sum(1))
    theta = model.kernel_.theta
    for what, call in {
        "log_marginal_likelihood(theta, eval_gradient=True)": (
            lambda: model.log_marginal_likelihood(theta, eval_gradient=True)
        ),
        "predict(X, return_std=True)": lambda: model.predict(X, return_std=True),
    }.items():
        call()
        files, moves = files_of(call)
        print(f"{what}: {len(files)} files, {moves} moves")
        print("   ", *files, sep="\n    ")


if __name__ == "__main__":
    main()
