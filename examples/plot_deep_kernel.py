"""
A front across the features: where a deep kernel earns its place
================================================================

Temperature on both sides of a front, made up: nearly flat on either side, and a jump
along a curve that follows neither of the two coordinates. A kernel with a length scale
for each feature (ARD) can stretch the axes, but not bend them: length scales that are
short enough for the jump believe in jumps everywhere. ``DeepKernel`` learns a feature
of both coordinates, "on which side", with a network of 17 weights, trained on the same
evidence as the hyperparameters; a plain kernel is added for the slow rest.

Some first weights lead nowhere: of two networks that of the larger evidence is kept.
Networks also overfit, whatever the evidence says: take few weights, bound the noise
from below, and look at held-out rows, as is done here on two draws of the data.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.kernels import DeepKernel
from sklearn_torchgp.metrics import interval_coverage, neg_log_predictive_density


def front(east):
    return 0.4 * np.sin(2.5 * east)


def temperature(X):
    return 2 * np.tanh(12 * (X[:, 1] - front(X[:, 0]))) + 0.5 * X[:, 0]


def observed(n, rng):
    X = rng.uniform(-1.5, 1.5, (n, 2))
    return X, temperature(X) + 0.2 * rng.randn(n)


# %%
# The network ends in tanh: far from the front there is nothing left to tell.


def side(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1), torch.nn.Tanh()
    )


noise = WhiteKernel(0.05, (5e-3, 1.0))
slow = 1.0 * RBF([1.0, 1.0])
jump = RBF(1.0, (0.5, 10.0))
kernels = {
    "RBF, ARD": [slow + noise],
    "Matérn 3/2, ARD": [1.0 * Matern([1.0, 1.0], nu=1.5) + noise],
    "deep kernel": [
        1.0 * DeepKernel(side(seed), jump) + slow + noise for seed in (0, 1)
    ],
}


def best_fit(kernels, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `jump` at its lower bound
        models = [TorchGPRegressor(k, normalize_y=True).fit(X, y) for k in kernels]
    return max(models, key=lambda model: model.log_marginal_likelihood_value_)


scorers = (neg_log_predictive_density, interval_coverage)
models, errors = {}, {}
print(f"{'held out':17}{'draw':>5}{'RMSE':>8}{'NLPD':>8}{'95 % cov.':>11}{'LML':>9}")
for draw in (1, 0):  # the last one goes into the figure
    rng = np.random.RandomState(draw)
    (X, y), (X_new, y_new) = observed(300, rng), observed(2000, rng)
    for name, choices in kernels.items():
        model = best_fit(choices, X, y)
        rmse = np.sqrt(np.mean((model.predict(X_new) - y_new) ** 2))
        nlpd, coverage = (s.value(model, X_new, y_new) for s in scorers)
        lml = model.log_marginal_likelihood_value_
        print(f"{name:17}{draw:5}{rmse:8.3f}{nlpd:8.3f}{coverage:11.1%}{lml:9.1f}")
        models[name], errors[name] = model, rmse
print("RMSE of the noise alone: 0.2")

# %%
# What each believes of the temperature, over the true front (dashed).

ticks = np.linspace(-1.5, 1.5, 121)
grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
figure, axes = plt.subplots(
    1, 3, figsize=(12.5, 4.3), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    mean = model.predict(grid).reshape(121, 121)
    drawn = ax.pcolormesh(
        ticks, ticks, mean, cmap="cividis", vmin=-3, vmax=3, shading="gouraud"
    )
    ax.scatter(*X.T, c=y, cmap="cividis", vmin=-3, vmax=3, s=16, edgecolor="white",
               linewidth=0.5, label="observations")  # fmt: skip
    ax.plot(ticks, front(ticks), "--", color="black", lw=1.5, label="the front")
    ax.set(title=f"{name}: held-out RMSE {errors[name]:.2f}", xlabel="east, 100 km")
axes[0].set_ylabel("north, 100 km")
axes[0].legend(loc="lower right", fontsize="small")
figure.colorbar(drawn, ax=axes, label="predicted temperature, K from the mean")
figure.savefig("plot_deep_kernel.png", dpi=100)
print("saved plot_deep_kernel.png: only a learned feature is sharp along a curve")
