"""
Several targets: what one tells of another
==========================================

Two thermometers, made up: one in the open and one in a greenhouse, which is warmer and
follows with a will of its own; the second was out of order for two weeks. With
``multi_output="independent"`` each has a model, and for two weeks nobody knows. With
``multi_output="icm"`` they are one model, whose matrix B says how much they have in
common, and the greenhouse is told by the weather outside. What is said of both at once
is one more matrix, ``return_cov="joint"``: the difference of the two is known better
than their deviations alone would say.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from sklearn_torchgp import TorchGPRegressor

# %%
# The data: six weeks, a reading every eight hours. What is missing is NaN.

rng = np.random.RandomState(0)
day = np.arange(0, 42, 1 / 3)[:, None]
weather, inside = rng.multivariate_normal(
    np.zeros(len(day)), Matern(3.0, nu=2.5)(day) + 1e-8 * np.eye(len(day)), size=2
)
truth = np.c_[12 + 4 * weather, 21 + 3 * weather + 1.2 * inside]
readings, unseen = truth + 0.5 * rng.randn(2, *truth.shape)
broken = (day[:, 0] > 18) & (day[:, 0] < 32)
readings[broken, 1] = np.nan

# %%
# Two models of the same readings.

kernel = Matern(2.0, (0.5, 20.0), nu=2.5)
models = {
    "independent": TorchGPRegressor(
        1.0 * kernel + WhiteKernel(0.1), multi_output="independent"
    ),
    "icm": TorchGPRegressor(kernel, multi_output="icm", rank=1),
}
print(f"{'':12}{'log evidence':>14}{'RMSE of what is missing':>26}{'NLPD':>8}")
for name, model in models.items():
    model.set_params(normalize_y=True, missing="mask").fit(day, readings)
    error = (model.predict(day) - truth)[broken, 1]
    density = model.log_predictive_density(day, unseen)[broken, 1]
    lml = model.log_marginal_likelihood_value_
    rmse = np.sqrt(np.mean(error**2))
    print(f"{name:12}{lml:14.1f}{rmse:26.2f}{-density.mean():8.2f}")

B = models["icm"].kernel_.k1.k2.kernel.B
correlation = B[0, 1] / np.sqrt(B[0, 0] * B[1, 1])
print(f"correlation of the two: {correlation:.2f}, true {3 / np.hypot(3, 1.2):.2f}")

# %%
# How much warmer is it inside? The variance of a difference needs the covariance.

mean, joint = models["icm"].predict(day, return_cov="joint", include_noise=False)
each = np.sqrt(np.einsum("ijij->ij", joint))
across = np.einsum("ii->i", joint[:, 0, :, 1])
std = np.sqrt(np.square(each).sum(axis=1) - 2 * across)
alone = np.sqrt(np.square(each).sum(axis=1))
print(
    f"difference in the two weeks: deviation {std[broken].mean():.2f}, and "
    f"{alone[broken].mean():.2f} if the two were not correlated"
)

figure, axes = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
for axis, (name, model) in zip(axes, models.items(), strict=True):
    mean, std = model.predict(day, return_std=True, include_noise=False)
    for j, (place, colour) in enumerate(
        {"in the open": "tab:blue", "in the greenhouse": "tab:red"}.items()
    ):
        low, high = mean[:, j] - 2 * std[:, j], mean[:, j] + 2 * std[:, j]
        axis.fill_between(day[:, 0], low, high, color=colour, alpha=0.25)
        axis.plot(day, mean[:, j], color=colour, label=place)
        axis.plot(day, truth[:, j], color=colour, lw=0.8, ls="--")
        axis.plot(day, readings[:, j], ".", color=colour, ms=3)
    axis.set(title=f'multi_output="{name}"', ylabel="degrees")
axes[0].legend(loc="upper left", ncols=2, frameon=False)
axes[1].set_xlabel("day (dashed: the truth; bands: two deviations)")
figure.savefig("plot_multitask.png", dpi=120)
print("saved plot_multitask.png")
