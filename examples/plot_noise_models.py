"""
Three models of noise, one line each
====================================

Twenty-five noisy observations of a sine whose error bars grow towards both ends, and
three things to say about the noise:

1. it has one level, which the fit learns (a ``WhiteKernel``);
2. it has one level, which is known (``alpha``);
3. each observation has its own error bar (``noise_variance``), alone or with a further
   level to learn.

Each panel is one contrast: what changes when the next thing is said.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.metrics import neg_log_predictive_density

rng = np.random.RandomState(0)
X = np.linspace(-3, 3, 25)[:, None]
error_bar = 0.05 + 0.5 * np.abs(X.ravel()) / 3
# The bars tell of the instrument only; the rest has a level that nobody told.
y = np.sin(X).ravel() + error_bar * rng.randn(25) + 0.2 * rng.randn(25)

signal = 1.0 * RBF(1.0)
noisy = signal + WhiteKernel(0.1)

# %%
# The models
# ----------
models = {
    "learned level": TorchGPRegressor(noisy).fit(X, y),
    "known level 0.3": TorchGPRegressor(signal, alpha=0.3**2).fit(X, y),
    "error bars": TorchGPRegressor(signal).fit(X, y, noise_variance=error_bar**2),
    "error bars and learned level": TorchGPRegressor(noisy).fit(
        X, y, noise_variance=error_bar**2
    ),
}

# %%
# New observations of the same sine, with error bars of their own, say which model knows
# best what to expect.
X_new = rng.uniform(-3, 3, (500, 1))
new_bar = 0.05 + 0.5 * np.abs(X_new.ravel()) / 3
y_new = np.sin(X_new).ravel() + new_bar * rng.randn(500) + 0.2 * rng.randn(500)
nlpd = {}
for name, model in models.items():
    known = new_bar**2 if "bars" in name else None
    nlpd[name] = neg_log_predictive_density.value(model, X_new, y_new, known)
    lml = model.log_marginal_likelihood_value_
    print(f"{name:30} evidence {lml:7.2f}   held-out NLPD {nlpd[name]:6.3f}")

# %%
# The pictures
# ------------
# Bands of 95 % for the function: one model filled, the other between dashed lines.
contrasts = [
    ("learned level", "known level 0.3"),
    ("learned level", "error bars"),
    ("error bars", "error bars and learned level"),
]
grid = np.linspace(-4, 4, 300)[:, None]
x = grid.ravel()
figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), sharey=True, layout="constrained")
for ax, pair in zip(axes, contrasts, strict=True):
    for name, colour, filled in zip(pair, ("#0072B2", "#D55E00"), (1, 0), strict=True):
        mean, std = models[name].predict(grid, return_std=True, include_noise=False)
        label = f"{name} (NLPD {nlpd[name]:.2f})"
        low, high = mean - 1.96 * std, mean + 1.96 * std
        if filled:
            ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0, label=label)
            ax.plot(x, mean, color=colour)
        else:
            ax.plot(x, np.c_[low, high], "--", color=colour, lw=1.3)
            ax.plot(x, mean, "-.", color=colour, label=label)
    ax.plot(x, np.sin(x), ":", color="black", label="truth")
    ax.errorbar(
        X.ravel(), y, yerr=error_bar, fmt="o", ms=3.5, lw=0.8, color="black",
        label="data, ± 1 standard deviation",
    )  # fmt: skip
    ax.set(xlabel="x", ylim=(-2.9, 2.2), title=f"{pair[0]}\nagainst {pair[1]}")
    ax.legend(loc="lower center", fontsize="small")
axes[0].set_ylabel("y")
figure.savefig("plot_noise_models.png", dpi=100)
print("saved plot_noise_models.png: with error bars the band follows them, and with a")
print("level to learn on top they need not be the whole truth")
