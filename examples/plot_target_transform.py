"""
Positive targets: a process for a function of y
===============================================

Concentrations, prices, rates: y is positive and its noise grows with it. A Gaussian for
log y, or for whatever power ``PowerTransformer`` finds, fits better; mean, deviation
and intervals come back in units of y. Run as
``python plot_target_transform.py [picture.png]``.
"""

import sys

import matplotlib

if __name__ == "__main__":
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.preprocessing import FunctionTransformer, PowerTransformer

from sklearn_torchgp import TorchGPRegressor

rng = np.random.RandomState(0)
X = np.sort(rng.uniform(0, 10, 60))[:, None]
y = np.exp(np.sin(X.ravel()) + 0.1 * X.ravel() + 0.4 * rng.randn(60))
grid = np.linspace(-1, 12, 300)[:, None]

transforms = {
    "y as it is": None,
    "log": FunctionTransformer(np.log, np.exp),
    "PowerTransformer": PowerTransformer(),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True)
for ax, (title, transform) in zip(axes, transforms.items(), strict=True):
    model = TorchGPRegressor(
        1.0 * RBF(1.0) + WhiteKernel(0.1),
        normalize_y=True,
        target_transform=transform,
    ).fit(X, y)
    mean, std = model.predict(grid, return_std=True)
    low, median, high = model.predict_quantiles(grid, [0.025, 0.5, 0.975]).T
    ax.fill_between(grid.ravel(), low, high, alpha=0.2, label="95 %")
    ax.plot(grid, mean, label="mean")
    ax.plot(grid, median, "--", label="median")
    ax.plot(X, y, "k.", ms=4)
    density = model.log_predictive_density(X, y).mean()
    ax.set_title(f"{title}\nlog density of a row {density:.2f}")
    ax.set_ylim(-3, 15)
axes[0].legend(loc="upper left")
figure.tight_layout()

if __name__ == "__main__":
    picture = sys.argv[1] if len(sys.argv) > 1 else "target_transform.png"
    figure.savefig(picture, dpi=100)
