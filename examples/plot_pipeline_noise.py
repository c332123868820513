"""
Known noise through a pipeline
==============================

Each observation comes with the variance of its error. ``set_fit_request`` makes it
metadata that scikit-learn cuts with the rows: pipelines, cross-validation and searches
hand it on, and the scorers of ``sklearn_torchgp.metrics`` take that of the left-out
rows. Intervals of a pipeline come from its last step, on transformed rows.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn import config_context
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.inspection import CoverageDisplay, PosteriorDisplay
from sklearn_torchgp.metrics import interval_coverage, neg_log_predictive_density

rng = np.random.RandomState(0)
X = np.sort(rng.uniform(270, 330, (60, 1)), axis=0)  # temperature, K
variance = np.where(rng.rand(60) < 0.5, 0.02, 0.8)  # a good instrument and a poor one
y = np.sin((X.ravel() - 300) / 8) + np.sqrt(variance) * rng.randn(60)

# %%
# With and without the variances, cross-validated. Without them one level is learned.
scoring = {"density": neg_log_predictive_density, "coverage": interval_coverage}
cv, given = KFold(5, shuffle=True, random_state=0), {"noise_variance": variance}
with config_context(enable_metadata_routing=True):
    told = TorchGPRegressor(1.0 * RBF(1.0)).set_fit_request(noise_variance=True)
    told = make_pipeline(StandardScaler(), told)
    scores = {
        "variances known": cross_validate(
            told, X, y, cv=cv, scoring=scoring, params=given
        ),
        "one level learned": cross_validate(
            make_pipeline(
                StandardScaler(), TorchGPRegressor(1.0 * RBF(1.0) + WhiteKernel(0.1))
            ),
            X, y, cv=cv, scoring=scoring,
        ),
    }  # fmt: skip
    told.fit(X, y, **given)
for name, result in scores.items():
    nlpd, coverage = -result["test_density"].mean(), result["test_coverage"].mean()
    print(f"{name:20} NLPD {nlpd:6.3f}   95 % coverage {coverage:.0%}")

# %%
# Intervals of new rows, told the variance of the instrument that will measure them.
new = np.array([[280.0], [300.0], [320.0]])
intervals = told[-1].predict_interval(
    told[:-1].transform(new), 0.95, noise_variance=np.full(3, 0.02)
)
for row, (low, high) in zip(new.ravel(), intervals, strict=True):
    print(f"at {row:.0f} K, the good instrument: {low:6.2f} to {high:5.2f}")

# %%
# Displays take the pipeline as it is.
X_new = rng.uniform(270, 330, (300, 1))
noise_new = np.where(rng.rand(300) < 0.5, 0.02, 0.8)
y_new = np.sin((X_new.ravel() - 300) / 8) + np.sqrt(noise_new) * rng.randn(300)
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained",
                                     width_ratios=(3, 2))  # fmt: skip
PosteriorDisplay.from_estimator(told, X, y, noise_variance=variance, ax=left)
left.set(
    xlabel="temperature, K", ylabel="response", title="each point by its error bar"
)
CoverageDisplay.from_estimator(
    told, X_new, y_new, noise_variance=noise_new, name="variances known", ax=right
)
learned = make_pipeline(
    StandardScaler(), TorchGPRegressor(1.0 * RBF(1.0) + WhiteKernel(0.1))
).fit(X, y)
CoverageDisplay.from_estimator(learned, X_new, y_new, name="one level", ax=right)
right.set_title("300 new observations")
figure.savefig("plot_pipeline_noise.png", dpi=100)
print("saved plot_pipeline_noise.png: one level is too wide for the good instrument")
