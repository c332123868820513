"""
The drop-in, on real data
=========================

Fits scikit-learn's regressor and ours to the diabetes data that ship inside
scikit-learn (442 patients, 10 measurements; disease progression after one year), prints
the held-out quality and the time of both, and draws what honest uncertainty looks like.
"""

from time import perf_counter
from warnings import catch_warnings, simplefilter

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPRegressor

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
kernel = ConstantKernel() * RBF(np.full(10, 3.0)) + WhiteKernel()


def quality(mean, std):
    """Root mean squared error, negative log predictive density, 95 % coverage."""
    z = (y_test - mean) / std
    rmse = np.sqrt(np.mean((y_test - mean) ** 2))
    nlpd = np.mean(0.5 * z**2 + np.log(std) + 0.5 * np.log(2 * np.pi))
    return rmse, nlpd, np.mean(np.abs(z) < 1.96)


def fitted(estimator_class):
    """A fitted pipeline, its best time in three fits, mean and std on the test rows."""
    seconds = []
    for _ in range(3):
        regressor = estimator_class(kernel, normalize_y=True)
        model = make_pipeline(StandardScaler(), regressor)
        start = perf_counter()
        with catch_warnings():
            # Both say that length scales of useless features end at their bound.
            simplefilter("ignore")
            model.fit(X_train, y_train)
        seconds.append(perf_counter() - start)
    mean, std = model.predict(X_test, return_std=True)
    return model, min(seconds), mean, std


print(f"{'':28}{'RMSE':>8}{'NLPD':>8}{'95 % cov.':>11}{'LML':>10}{'fit, s':>9}")
for estimator_class in (GaussianProcessRegressor, TorchGPRegressor):
    model, seconds, mean, std = fitted(estimator_class)
    rmse, nlpd, coverage = quality(mean, std)
    lml = model[-1].log_marginal_likelihood_value_
    name = estimator_class.__name__
    print(f"{name:28}{rmse:8.2f}{nlpd:8.3f}{coverage:11.1%}{lml:10.3f}{seconds:9.3f}")

# %%
# Test patients in the order of their prediction, with the 95 % interval of each.

order = np.argsort(mean)
position = np.arange(len(order))
figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
axes.fill_between(
    position,
    (mean - 1.96 * std)[order],
    (mean + 1.96 * std)[order],
    color="tab:blue",
    alpha=0.2,
    label="95 % interval",
)
axes.plot(position, mean[order], color="tab:blue", label="predicted mean")
axes.plot(position, y_test[order], ".", color="black", label="measured")
axes.set(
    xlabel="test patients, ordered by prediction",
    ylabel="disease progression after one year",
    title=f"TorchGPRegressor on held-out patients: {coverage:.0%} inside",
)
axes.legend(loc="upper left", frameon=False)
figure.savefig("plot_quickstart.png", dpi=120)
print("saved plot_quickstart.png")
