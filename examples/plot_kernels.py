"""
Kernels that say what you know
==============================

Visitors of a swimming pool, made up: a rhythm of the day, the weather, and a level
that changes when a slide is opened. ``Columns`` gives each feature kernels of its own,
``Periodic`` is the rhythm, ``ChangePoint`` the opening (on a day that the fit finds),
and a ``TorchKernel`` states in one torch expression that what nobody measured lasts for
some days. Each part of the sum is then drawn by itself, with what remains unknown of
it: a constant may always go from one part to another.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.linalg import cho_solve
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.kernels import ChangePoint, Columns, Periodic, TorchKernel


class Decay(TorchKernel):
    """exp(-|x - z| / length_scale): a first-order autoregression."""

    parameters = {"length_scale": 1.0}
    stationary = True

    def forward(self, X, Z):
        return torch.exp(-torch.cdist(X, Z) / self.length_scale)


# %%
# The data: 300 hours out of six weeks. On day 26 all know of the slide.

rng = np.random.RandomState(0)
day = np.sort(rng.uniform(0, 42, 300))
temperature = 22 + 5 * np.sin(day / 4) + 2 * rng.randn(300)


def decaying(days):
    return np.exp(-np.abs(days[:, None] - days) / 3)


truth = {
    "hour of the day": 15 * np.exp(2 * np.sin(2 * np.pi * (day - 0.3)) - 2) - 5,
    "temperature": 12 * np.tanh((temperature - 22) / 2),
    "level": 60 + 35 / (1 + np.exp(-2 * (day - 26))),
    "what lasts for days": rng.multivariate_normal(np.zeros(300), 16 * decaying(day)),
}
visitors = sum(truth.values()) + 3 * rng.randn(300)
table = pd.DataFrame({"day": day, "temperature": temperature})

# %%
# One kernel for each thing that we know, by the names of the columns.

level = ConstantKernel(5000.0, "fixed")
parts = {
    "hour of the day": 200.0
    * Columns(Periodic(1.0, 1.0, periodicity_bounds="fixed"), "day"),
    "temperature": 200.0 * Columns(RBF(5.0, (1.0, 50.0)), "temperature"),
    "level": ChangePoint(
        level, level, location=15.0, steepness=1.0, feature="day",
        steepness_bounds=(0.1, 20.0),
    ),
    "what lasts for days": 20.0 * Columns(Decay(2.0, (0.5, 10.0)), "day"),
}  # fmt: skip
first, *others = parts.values()
model = TorchGPRegressor(sum(others, start=first) + WhiteKernel(9.0), random_state=0)
model.fit(table, visitors)
found = model.kernel_.get_params()
(change,) = {v for k, v in found.items() if k.endswith("__location")}
print(model.kernel_)
print(f"the level changes on day 26; found: day {change:.1f}")

# %%
# The parts of the fitted kernel, and what the data say of each: with K the covariance
# of all observations, k_part(Z, X) K^-1 y.

fitted, rest = [], model.kernel_.k1
for _ in others:
    fitted, rest = [rest.k2, *fitted], rest.k1
fitted = dict(zip(parts, [rest, *fitted], strict=True))

Z = pd.DataFrame({"day": np.linspace(0, 42, 1009), "temperature": 22.0})
Z_of = dict.fromkeys(parts, Z) | {
    "hour of the day": Z.assign(day=np.linspace(0, 3, len(Z))),
    "temperature": Z.assign(temperature=np.linspace(10, 34, len(Z))),
}
figure, axes = plt.subplots(2, 2, figsize=(10, 6), layout="constrained")
for axis, (name, part) in zip(axes.flat, fitted.items(), strict=True):
    new = Z_of[name]
    feature = "temperature" if name == "temperature" else "day"
    cross = part(new, table)
    mean = cross @ model.alpha_
    gain = np.einsum("ij,ji->i", cross, cho_solve((model.L_, True), cross.T))
    std = np.sqrt(np.maximum(part.diag(new) - gain, 0))
    x, seen = new[feature].to_numpy(), table[feature].to_numpy()
    axis.fill_between(x, mean - 2 * std, mean + 2 * std, color="tab:blue", alpha=0.25)
    axis.plot(x, mean, color="tab:blue", label="found, with two deviations")
    axis.plot(seen, truth[name], "k.", ms=3, label="true, at the observations")
    axis.set(title=name, xlabel=feature, xlim=(x[0], x[-1]), ylabel="visitors")
axes[1, 0].axvline(change, color="tab:red", lw=1, label="change found")
lines, labels = axes[1, 0].get_legend_handles_labels()
figure.legend(lines, labels, loc="outside lower center", ncols=3, frameon=False)
figure.savefig("plot_kernels.png", dpi=120)
print("saved plot_kernels.png")
