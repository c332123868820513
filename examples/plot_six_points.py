"""
Six points, six error bars
==========================

Six values of x sin x, each with an error bar of its own. A process that is told of them
passes each point as closely as its bar allows; one that is not goes through all of them
and is sure of it.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import RBF

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.inspection import PosteriorDisplay

X = np.array([1.0, 3.0, 5.0, 6.0, 7.0, 8.0])[:, None]
error_bar = np.array([0.4, 0.2, 1.0, 0.6, 0.3, 0.8])
rng = np.random.RandomState(3)
y = (X * np.sin(X)).ravel() + error_bar * rng.randn(6)

# A trend of unknown height is integrated out: the band grows where it is unsure, too.
kernel = 10.0 * RBF(1.5, (0.5, 5.0))
exact = TorchGPRegressor(kernel, mean="constant").fit(X, y)
told = TorchGPRegressor(kernel, mean="constant").fit(X, y, noise_variance=error_bar**2)

x = np.linspace(0, 10, 400)
truth = x * np.sin(x)
figure, axes = plt.subplots(1, 2, figsize=(12, 4.4), sharey=True, layout="constrained")
for ax, model, known, title in (
    (axes[0], exact, None, "taken as exact"),
    (axes[1], told, error_bar**2, "error bars told"),
):
    PosteriorDisplay.from_estimator(
        model, X, y, noise_variance=known, margin=0.25, ax=ax
    )
    ax.plot(x, truth, ":", color="#D55E00", lw=2, label="truth, x sin x")
    mean, std = model.predict(x[:, None], return_std=True)
    inside = np.mean(np.abs(truth - mean) < 1.96 * std)
    ax.set(title=f"{title}: {inside:.0%} of the truth in the 95 % band", ylim=(-9, 19))
    ax.legend(fontsize="small", loc="upper left", ncols=2)
    print(f"{title:26} evidence {model.log_marginal_likelihood_value_:.2f}")
axes[1].set_ylabel("")
figure.savefig("plot_six_points.png", dpi=100)
print("saved plot_six_points.png: the error bars widen the band at the points")
