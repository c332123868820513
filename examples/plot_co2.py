"""
Trend and season: a composed kernel, against scikit-learn
=========================================================

Monthly values like those of carbon dioxide on Mauna Loa: a rising trend, a season,
irregularities, noise. A sum of kernels says each of them. Both libraries find the same
evidence and predict the same years ahead.
"""

import warnings
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ExpSineSquared,
    RationalQuadratic,
    WhiteKernel,
)

from sklearn_torchgp import TorchGPRegressor

rng = np.random.RandomState(0)
month = np.arange(0, 14, 1 / 12)
season = 3.0 * np.sin(2 * np.pi * month) + 0.8 * np.sin(4 * np.pi * month)
truth = 315 + 1.3 * month + 0.02 * month**2 + season
truth += 0.7 * np.sin(2 * np.pi * month / 7.3)
observed = truth + 0.3 * rng.randn(len(month))
X, train = month[:, None], month < 10
y = observed - observed[train].mean()

trend = 30.0**2 * RBF(20.0)
seasonal = 3.0**2 * RBF(50.0, (1.0, 1e3)) * ExpSineSquared(1.0, 1.0, (0.1, 10), "fixed")
irregular = 0.7**2 * RationalQuadratic(1.0, 1.0, (0.1, 5.0), (0.1, 1e3))
kernel = trend + seasonal + irregular + WhiteKernel(0.1)

# %%
# The same call, twice.
found = {}
for estimator_class in (GaussianProcessRegressor, TorchGPRegressor):
    began = perf_counter()
    with warnings.catch_warnings():
        # Both say that the season does not drift: its length scale is at the bound.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = estimator_class(kernel).fit(X[train], y[train])
    seconds = perf_counter() - began
    found[estimator_class.__name__] = model
    lml = model.log_marginal_likelihood_value_
    print(f"{estimator_class.__name__:26} LML {lml:.6f}   fit {seconds:6.2f} s")
theirs, ours = found.values()

# %%
# At one theta the two agree to round-off; each optimiser stops at a point of its own.
theta = theirs.kernel_.theta
here, there = (
    m.log_marginal_likelihood(theta, eval_gradient=True) for m in (ours, theirs)
)
print(f"at one theta: LML differs by {abs(here[0] - there[0]):.1e}, "
      f"its gradient by {np.abs(here[1] - there[1]).max():.1e}")  # fmt: skip
mean, std = ours.predict(X, return_std=True)
same = np.abs(mean - theirs.predict(X)).max()
print(f"predicted means differ by at most {same:.1e} ppm")
rmse = np.sqrt(np.mean((mean - y)[~train] ** 2))
inside = np.mean((np.abs(mean - y) < 1.96 * std)[~train])
print(f"four years ahead: RMSE {rmse:.2f} ppm, {inside:.0%} inside the 95 % band")

# %%
# Each part of the sum has a posterior mean of its own: its covariance with the data
# times alpha_.
parts = {
    "trend": ours.kernel_.k1.k1.k1,
    "season": ours.kernel_.k1.k1.k2,
    "irregular": ours.kernel_.k1.k2,
}
figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7), sharex=True,
                                      layout="constrained")  # fmt: skip
level, year = observed[train].mean(), 1990 + month
above.fill_between(
    year, level + mean - 1.96 * std, level + mean + 1.96 * std, color="#0072B2",
    alpha=0.25, lw=0, label="95 % of observations",
)  # fmt: skip
above.plot(year, level + mean, color="#0072B2", label="mean")
above.plot(year[train], observed[train], "o", ms=2.5, color="black", label="fitted")
above.plot(year[~train], observed[~train], "x", ms=4, color="#D55E00", label="held out")
above.set(ylabel="CO2, ppm", title="ten years fitted, four predicted")
above.legend(loc="upper left")
for (name, part), dashes in zip(parts.items(), ("-", "--", ":"), strict=True):
    below.plot(year, part(X, X[train]) @ ours.alpha_, dashes, label=name)
below.set_xticks(range(1990, 2005, 2))
below.axvline(2000, color="0.5", lw=0.8)
below.set(
    xlabel="year", ylabel="part of the mean, ppm", title="what each term explains"
)
below.legend(loc="upper left")
figure.savefig("plot_co2.png", dpi=100)
print("saved plot_co2.png: the season goes on, the irregularities are forgotten")
