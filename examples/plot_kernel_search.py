"""
Which kernel? A grid search
===========================

A kernel is a parameter, so a search may try several. Four of them, on a series with a
trend and a season: judged by the predictive density of left-out blocks, with the
coverage of their intervals beside, and by the evidence, which needs no folds.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import (
    RBF,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.inspection import PosteriorDisplay
from sklearn_torchgp.metrics import crps, interval_coverage, neg_log_predictive_density

rng = np.random.RandomState(0)
X = np.linspace(0, 8, 96)[:, None]
y = 0.4 * X.ravel() + np.sin(2 * np.pi * X.ravel()) + 0.25 * rng.randn(96)

noise = WhiteKernel(0.1)
candidates = {
    "RBF": 1.0 * RBF(1.0) + noise,
    "Matern, nu = 3/2": 1.0 * Matern(1.0, nu=1.5) + noise,
    "rational quadratic": 1.0 * RationalQuadratic() + noise,
    "trend + season": 1.0 * RBF(10.0) + 1.0 * ExpSineSquared(1.0, 1.0) + noise,
}

# %%
# Blocks of a whole season are left out, so that a kernel has to know what comes next.
search = GridSearchCV(
    TorchGPRegressor(normalize_y=True),
    {"kernel": list(candidates.values())},
    scoring={
        "density": neg_log_predictive_density,
        "crps": crps,
        "coverage": interval_coverage,
    },
    refit="density",
    cv=KFold(8),
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # length scales at their bounds
    search.fit(X, y)
    evidence = [
        TorchGPRegressor(kernel, normalize_y=True)
        .fit(X, y)
        .log_marginal_likelihood_value_
        for kernel in candidates.values()
    ]

results = search.cv_results_
print(f"{'':20}{'NLPD':>8}{'CRPS':>8}{'95 % cov.':>11}{'evidence':>10}")
for k, name in enumerate(candidates):
    nlpd, score = -results["mean_test_density"][k], -results["mean_test_crps"][k]
    coverage = results["mean_test_coverage"][k]
    print(f"{name:20}{nlpd:8.3f}{score:8.3f}{coverage:11.0%}{evidence[k]:10.1f}")

# %%
# Left: one mark for each fold. Right: the kernel that was chosen, refitted.
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
folds = np.array([-results[f"split{k}_test_density"] for k in range(8)]).T
place = np.arange(len(candidates))
left.plot(folds, place[:, None].repeat(8, axis=1), "o", color="0.6", ms=5)
left.plot(folds[0, :1], place[:1], "o", color="0.6", ms=5, label="one fold")
left.plot(folds.mean(axis=1), place, "D", color="#D55E00", ms=9, label="mean")
left.set_yticks(place, list(candidates))
left.invert_yaxis()
left.set(xlabel="negative log predictive density of left-out blocks, nats")
left.set_title("smaller is better")
left.legend()
PosteriorDisplay.from_estimator(
    search, X, y, margin=0.3, n_samples=0, include_noise=True, ax=right
)
best = list(candidates)[search.best_index_]
right.set(xlabel="time, years", ylabel="y", title=f"chosen: {best}")
figure.savefig("plot_kernel_search.png", dpi=100)
print(
    "saved plot_kernel_search.png: only the kernel that knows the season extrapolates"
)
