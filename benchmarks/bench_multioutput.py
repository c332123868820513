"""What is it worth to model two targets together where half of one is missing?

Fine dust (the logarithm of PM2.5) at two stations of Beijing, hour by hour, in windows
of ten days: six pairs of stations (in the order of the file) and five windows spread
evenly over the four years (moved on by whole days until four fifths of the hours are
there), all fixed before any result was seen. Half of the second
station's values are taken away, at random or its later five days, and predicted by
models of each station and by the intrinsic coregionalisation model. Time is the only
feature. Reported are means over pairs and windows of what is told of the values taken
away: negative log predictive density (in nats, of the logarithm), root mean squared
error and coverage of 95 % intervals; and in how many windows the density beats that of
the models of each station.

``--data`` names the folder with ``airquality.npz``.
"""

import warnings
from pathlib import Path

import numpy as np
from harness import options, save
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from sklearn_torchgp import TorchGPRegressor

KERNEL = ConstantKernel(1.0) * Matern(1.0, nu=1.5) + WhiteKernel(0.1)
HOURS = 240
MODELS = {
    "independent": {"multi_output": "independent"},
    "icm, rank 1": {"multi_output": "icm", "rank": 1},
    "icm, rank 2": {"multi_output": "icm", "rank": 2},
}


def table(path):
    """Hours, and the logarithm of PM2.5 at each station: NaN where unknown."""
    file = np.load(path)
    hour, station = file["hour_index"], file["X"][:, -1].astype(int)
    y = np.full((hour.max() + 1, station.max() + 1), np.nan)
    y[hour, station] = np.log(file["y"])
    return y


def windows(y, quick):
    """Rows (in days) and both stations' values, for each pair and window."""
    starts = np.linspace(0, len(y) - HOURS, 5 + 2).astype(int)[1:-1]
    for first in range(0, 2 if quick else y.shape[1], 2):
        for start in starts[:2] if quick else starts:
            pair = known = np.zeros(0)
            while known.sum() < 0.8 * HOURS:
                pair = y[start : start + HOURS, first : first + 2]
                known = ~np.isnan(pair).any(axis=1)
                start += 24
            yield np.flatnonzero(known)[:, None] / 24, pair[known]


def taken_away(n, how, seed):
    """Which half of n values in the order of time is missing."""
    if how == "later half":
        return np.arange(n) >= n // 2
    missing = np.zeros(n, dtype=bool)
    missing[np.random.RandomState(seed).permutation(n)[: n // 2]] = True
    return missing


def told(options, X, y, missing):
    """What a model says of the second target where it is missing."""
    seen = y.copy()
    seen[missing, 1] = np.nan
    model = TorchGPRegressor(KERNEL, normalize_y=True, missing="mask", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, seen)
    Z, truth = X[missing], y[missing]
    lower, upper = model.predict_interval(Z)[..., 1].T
    return {
        "nlpd": -model.log_predictive_density(Z, truth)[:, 1].mean(),
        "rmse": np.sqrt(np.square(model.predict(Z) - truth)[:, 1].mean()),
        "coverage": ((lower <= truth[:, 1]) & (truth[:, 1] <= upper)).mean(),
    }


def main():
    args = options(__doc__, data={"type": Path, "required": True})
    cases = list(windows(table(args.data / "airquality.npz"), args.quick))
    rows = []
    for how in ("random half", "later half"):
        found = {name: [] for name in MODELS}
        for seed, (X, y) in enumerate(cases):
            missing = taken_away(len(y), how, seed)
            for name, options_ in MODELS.items():
                found[name].append(told(options_, X, y, missing))
        apart = np.array([one["nlpd"] for one in found["independent"]])
        for name, each in found.items():
            quality = {key: float(np.mean([e[key] for e in each])) for key in each[0]}
            better = [e["nlpd"] for e in each] < apart
            row = {
                "case": {"missing": how, "windows": len(cases)},
                "contender": name,
                "quality": quality,
                "windows_better": int(better.sum()),
            }
            print(row, flush=True)
            rows.append(row)
    save("multioutput", rows, args, kernel=str(KERNEL))


if __name__ == "__main__":
    main()
