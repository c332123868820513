"""
Moving from scikit-learn
========================

One import changes. Parameters, attributes, errors and numbers stay; a fit takes less
time, and some questions get an answer that had none.
"""

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPRegressor  # the import that changes
from sklearn_torchgp.inspection import LogMarginalLikelihoodDisplay

kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)


def data(n, seed=0):
    """n noisy rows of a surface over two features."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2, 2, (n, 2))
    return X, np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] ** 2 + 0.2 * rng.randn(n)


# %%
# The same numbers.
X, y = data(100)
theirs = GaussianProcessRegressor(kernel, normalize_y=True).fit(X, y)
ours = TorchGPRegressor(kernel, normalize_y=True).fit(X, y)
print("kernel_   theirs:", theirs.kernel_)
print("kernel_   ours:  ", ours.kernel_)
theta = theirs.kernel_.theta + 0.1
for name, model in (("theirs", theirs), ("ours", ours)):
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    print(f"LML and gradient at one theta, {name:7}{value:.9f} {gradient.round(6)}")
new = data(5, seed=1)[0]
for name, model in (("theirs", theirs), ("ours", ours)):
    mean, std = model.predict(new, return_std=True)
    print(f"mean and std of a new row, {name:7}{mean[0]:.6f} {std[0]:.6f}")
print("isinstance:", isinstance(ours, GaussianProcessRegressor))

# %%
# Questions beyond. All of them are methods of the fitted estimator.
print("an interval of 90 %:     ", ours.predict_interval(new[:1], 0.9).round(3))
print(
    "left-out rows, RMSE:     ",
    np.sqrt(np.mean((ours.loo_predict() - y) ** 2)).round(3),
)
print("slope of the mean:       ", ours.predict_gradient(new[:1]).round(3))
print("one row more, no new fit:", len(ours.partial_fit(*data(1, seed=2)).X_train_))
print(ours.summary())

# %%
# Times of a whole fit, best of three, taking turns.
sizes = np.array([25, 50, 100, 200])
seconds = {GaussianProcessRegressor: [], TorchGPRegressor: []}
for n in sizes:
    X, y = data(n)
    for _ in range(3):
        for estimator_class, times in seconds.items():
            began = perf_counter()
            estimator_class(kernel, normalize_y=True).fit(X, y)
            times.append(perf_counter() - began)
best = {c: np.reshape(times, (-1, 3)).min(axis=1) for c, times in seconds.items()}

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
for (estimator_class, times), style in zip(best.items(), ("o--", "s-"), strict=True):
    left.loglog(sizes, 1e3 * times, style, label=estimator_class.__name__)
left.set_xticks(sizes, sizes)
left.minorticks_off()
left.set(xlabel="rows", ylabel="whole fit, ms", title="the same optimum, sooner")
left.legend()
LogMarginalLikelihoodDisplay.from_estimator(
    TorchGPRegressor(kernel, normalize_y=True).fit(*data(100)),
    hyperparameters=("k1__k2__length_scale[0]", "k2__noise_level"),
    ax=right,
)
figure.savefig("plot_from_scikit_learn.png", dpi=100)
ratio = best[GaussianProcessRegressor] / best[TorchGPRegressor]
print("scikit-learn takes", ratio.round(1), "times as long, at n =", sizes)
print("saved plot_from_scikit_learn.png: times, and the way that the optimiser took")
