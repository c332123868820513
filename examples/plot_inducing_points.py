"""
A stream of rows, and labels, through inducing points
=====================================================

``method="inducing"`` sees all rows through a few points, which are moved to where they
tell most. What rows say of the points adds up, so that ``partial_fit`` takes a stream,
each new row at the same cost: the result is that of a fit to all rows at once. Class
labels go the same way, with ``inference="vi"``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor


def f(x):
    return np.sin(3 * x) + 0.5 * np.cos(7 * x)


rng = np.random.RandomState(0)
X = rng.uniform(-2, 2, (6000, 1))
y = f(X.ravel()) + 0.3 * rng.randn(6000)

# %%
# Hyperparameters and points from the first 2,000 rows, then the stream
# -----------------------------------------------------------------------
kernel = 1.0 * RBF(1.0) + WhiteKernel(0.1)
model = TorchGPRegressor(kernel, method="inducing", inducing_points=15)
model.fit(X[:2000], y[:2000])
grid = np.linspace(-2.5, 2.5, 200)[:, None]
first = model.predict(grid, return_std=True, include_noise=False)
for start in range(2000, 6000, 500):
    model.partial_fit(X[start : start + 500], y[start : start + 500])
mean, std = model.predict(grid, return_std=True, include_noise=False)
print(f"{model.kernel_}, evidence at least {model.log_marginal_likelihood_value_:.1f}")
print(f"mean deviation of f: {first[1].mean():.4f}, then {std.mean():.4f}")

# %%
# Labels
# ------
labels = rng.uniform(size=6000) < 1 / (1 + np.exp(-4 * f(X.ravel())))
classifier = TorchGPClassifier(
    1.0 * RBF(1.0), inference="vi", method="inducing", inducing_points=15
).fit(X[:2000], labels[:2000])
p = classifier.predict_proba(grid)[:, 1]

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), constrained_layout=True)
left.plot(X[::10], y[::10], ".", color="0.7", markersize=3)
left.fill_between(grid.ravel(), mean - 2 * std, mean + 2 * std, alpha=0.3)
left.plot(grid, mean, label="mean after 6,000 rows")
left.plot(model.inducing_points_, np.full(15, -2.2), "k|", label="inducing points")
left.set_title("rows that came in a stream")
left.legend()
right.plot(grid, 1 / (1 + np.exp(-4 * f(grid))), "k--", label="true")
right.plot(grid, p, label="p(label)")
right.plot(classifier.inducing_points_, np.zeros(15), "k|")
right.set_title("labels")
right.legend()
plt.show()
