"""
Look before you trust
=====================

Four questions to a fitted model, each one call: how sharp is the optimum, which
features does it listen to, which rows surprise it, do its intervals hold what they
promise? On the diabetes data that ship inside scikit-learn.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.inspection import (
    CoverageDisplay,
    LeaveOneOutDisplay,
    LengthScaleDisplay,
    LogMarginalLikelihoodDisplay,
)

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
y = y.rename("progression")
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=200, random_state=0
)
model = make_pipeline(
    StandardScaler(),
    TorchGPRegressor(1.0 * RBF(np.full(10, 3.0)) + WhiteKernel(), normalize_y=True),
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # features that say nothing
    model.fit(X_train, y_train)
print(model[-1].summary())

figure = plt.figure(figsize=(12.5, 9), layout="constrained")
grid = figure.add_gridspec(2, 6)
LogMarginalLikelihoodDisplay.from_estimator(
    model,
    hyperparameters=("k1__k2__length_scale[2]", "k2__noise_level"),
    grid_resolution=20,
    ax=figure.add_subplot(grid[0, :3]),
)
ax = figure.add_subplot(grid[0, 3:])
LengthScaleDisplay.from_estimator(model, X_train, ax=ax)
ax.set_title("features by relevance")
LeaveOneOutDisplay.from_estimator(
    model, X_train, y_train,
    ax=[figure.add_subplot(grid[1, :2]), figure.add_subplot(grid[1, 2:4])],
)  # fmt: skip
ax = figure.add_subplot(grid[1, 4:])
CoverageDisplay.from_estimator(model, X_test, y_test, name="held out", ax=ax)
figure.savefig("plot_inspection.png", dpi=90)
print("saved plot_inspection.png: three of the ten features are not listened to")
