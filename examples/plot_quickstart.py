"""
Quick start: the drop-in, on real data
======================================

scikit-learn's regressor and ours, fitted to the diabetes data that ship inside
scikit-learn (442 patients, 10 measurements; disease progression after one year):
held-out quality, evidence and time of both. Then what a Gaussian process says beyond a
mean: how much of it to believe.
"""

from time import perf_counter
from warnings import catch_warnings, simplefilter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.inspection import CoverageDisplay, PosteriorDisplay

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
# Twenty observations with a gap: the band is narrow where there are data, opens in the
# gap and beyond the ends, and says so before anybody has measured there.

rng = np.random.RandomState(4)
hours = np.sort(np.r_[rng.uniform(0, 9, 14), rng.uniform(20, 24, 6)])[:, None]
level = 5 + 2 * np.sin(hours.ravel() / 2) + 0.3 * rng.randn(20)
simple = TorchGPRegressor(1.0 * RBF(2.0) + WhiteKernel(0.1), normalize_y=True)
simple.fit(hours, level)

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
PosteriorDisplay.from_estimator(simple, hours, level, margin=0.25, ax=left)
left.set(xlabel="time, hours", ylabel="level, mg/l", title="Sure where there are data")
left.set_ylim(-1, 13)
left.legend(ncols=2, loc="upper center", fontsize="small")

# %%
# On the held-out patients: of the intervals that promise 50 % (or 95 %), do as many
# hold the truth?

CoverageDisplay.from_estimator(model, X_test, y_test, name="diabetes", ax=right)
right.set(title=f"{len(y_test)} held-out patients")
figure.savefig("plot_quickstart.png", dpi=110)
print("saved plot_quickstart.png: the band opens in the gap; the promises are kept")
