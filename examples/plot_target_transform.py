"""
Positive targets: a process for a function of y
===============================================

Concentrations, prices, rates: y is positive and its noise grows with it. A Gaussian for
log y, or for whatever power ``PowerTransformer`` finds, fits better; mean, deviation
and intervals come back in units of y. 500 new rows say by how much.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.preprocessing import FunctionTransformer, PowerTransformer

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.metrics import crps, interval_coverage, neg_log_predictive_density


def concentration(hours, rng):
    """Positive values whose noise is a share of them."""
    level = np.sin(hours.ravel()) + 0.1 * hours.ravel()
    return np.exp(level + 0.4 * rng.randn(len(hours)))


rng = np.random.RandomState(0)
X = np.sort(rng.uniform(0, 10, 60))[:, None]
y = concentration(X, rng)
X_new = rng.uniform(0, 10, (500, 1))
y_new = concentration(X_new, rng)

transforms = {
    "y as it is": None,
    "log": FunctionTransformer(np.log, np.exp),
    "PowerTransformer": PowerTransformer(),
}
grid = np.linspace(-0.5, 11, 300)[:, None]
x = grid.ravel()
figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), sharey=True, layout="constrained")
print(f"{'held out':18}{'NLPD':>8}{'CRPS':>8}{'95 % cov.':>11}")
for ax, (title, transform) in zip(axes, transforms.items(), strict=True):
    model = TorchGPRegressor(
        1.0 * RBF(1.0) + WhiteKernel(0.1),
        normalize_y=True,
        target_transform=transform,
    ).fit(X, y)
    mean = model.predict(grid)
    low, median, high = model.predict_quantiles(grid, [0.025, 0.5, 0.975]).T
    ax.fill_between(x, low, high, color="#0072B2", alpha=0.2, lw=0,
                    label="95 % of observations")  # fmt: skip
    ax.plot(x, mean, color="#0072B2", label="mean")
    ax.plot(x, median, "--", color="#D55E00", label="median")
    ax.plot(X, y, "o", color="black", ms=3.5, label="data")
    ax.axhline(0, color="0.5", lw=0.8)
    scorers = (neg_log_predictive_density, crps, interval_coverage)
    nlpd, score, coverage = (s.value(model, X_new, y_new) for s in scorers)
    print(f"{title:18}{nlpd:8.3f}{score:8.3f}{coverage:11.1%}")
    ax.set(title=f"{title}: held-out NLPD {nlpd:.2f}", xlabel="time, hours")
    ax.set_ylim(-3, 15)
axes[0].set_ylabel("concentration, mg/l")
axes[0].legend(loc="upper left")
figure.savefig("plot_target_transform.png", dpi=100)
print(
    "saved plot_target_transform.png: the band widens with the level, and not below 0"
)
