"""
Three models of noise, one line each
====================================

Twenty-five noisy observations of a sine, their error bars growing to the right, and
three things to say about the noise:

1. it has one level, which the fit learns (a ``WhiteKernel``);
2. it has one level, which is known (``alpha``);
3. each observation has its own error bar (``noise_variance``), alone or with an
   additional level to learn.

The bands are intervals of 95 % for the function (dark) and for a new observation
(light). Run as ``python plot_noise_models.py [picture.png]``.
"""

import sys

import matplotlib

if __name__ == "__main__":
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPRegressor

rng = np.random.RandomState(0)
X = np.linspace(-3, 3, 25)[:, None]
error_bar = 0.05 + 0.45 * (X.ravel() + 3) / 6
y = np.sin(X).ravel() + error_bar * rng.randn(25)

signal = 1.0 * RBF(1.0)
noisy = signal + WhiteKernel(0.1)

# %%
# The models
# ----------
models = {
    "one learned level": TorchGPRegressor(noisy).fit(X, y),
    "one known level, 0.3": TorchGPRegressor(signal, alpha=0.3**2).fit(X, y),
    "error bars": TorchGPRegressor(signal).fit(X, y, noise_variance=error_bar**2),
    "error bars and a learned level": TorchGPRegressor(noisy).fit(
        X, y, noise_variance=error_bar**2
    ),
}

# %%
# The pictures
# ------------
grid = np.linspace(-5, 5, 400)[:, None]
grid_error = np.interp(grid.ravel(), X.ravel(), error_bar)
figure, axes = plt.subplots(2, 2, figsize=(10, 7), sharex=True, sharey=True)
for ax, (title, model) in zip(axes.flat, models.items(), strict=True):
    known = grid_error**2 if "bars" in title else None
    mean, std = model.predict(grid, return_std=True, include_noise=False)
    low, high = model.predict_interval(grid, 0.95, noise_variance=known).T
    x = grid.ravel()
    ax.fill_between(x, low, high, color="C0", alpha=0.15, label="new observation")
    band = mean - 1.96 * std, mean + 1.96 * std
    ax.fill_between(x, *band, color="C0", alpha=0.35, label="function")
    ax.plot(x, mean, color="C0")
    ax.plot(x, np.sin(x), "k:", label="truth")
    ax.errorbar(X.ravel(), y, yerr=1.96 * error_bar, fmt="k.", lw=0.7, ms=4)
    ax.set_title(f"{title}\nlog evidence {model.log_marginal_likelihood_value_:.1f}")
    ax.set_ylim(-3, 3)
axes[0, 0].legend(loc="lower left")
figure.tight_layout()

if __name__ == "__main__":
    figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "noise_models.png", dpi=100)
