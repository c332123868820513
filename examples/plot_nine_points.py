"""
Nine points in the plane, regressed and classified
==================================================

Nine labelled points. Above, the labels as numbers: mean and standard deviation of a
regression. Below, the labels as classes: probabilities by Laplace's approximation,
expectation propagation and variational inference.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp.inspection import ClassificationDisplay, PosteriorDisplay

places = pd.DataFrame(
    [[-8, -8], [-6, -3], [-7, 2], [-4, 4], [2, 3], [5, 7], [1, -1], [3, -4], [7, -7]],
    columns=["x1, km", "x2, km"],
    dtype=float,
)
label = np.array([-1, -1, -1, -1, -1, -1, 1, 1, 1])

figure = plt.figure(figsize=(13, 9), layout="constrained")
above, below = figure.subfigures(2, 1)

# %%
# A length scale for each direction, and noise to learn. The deviation is that of the
# function: small at the points, growing to the prior's away from them.
scales = RBF([5.0, 5.0], (1.0, 30.0))
regressor = TorchGPRegressor(1.0 * scales + WhiteKernel(0.1, (1e-3, 1.0)))
regressor.fit(places, label)
above.suptitle("regression of the labels -1 and 1")
PosteriorDisplay.from_estimator(
    regressor, places, pd.Series(label, name="label"), margin=0.2,
    ax=above.subplots(1, 2),
)  # fmt: skip
print(regressor.summary())

# %%
# Three approximations of one posterior. The largest amplitude is bounded: nine points
# that a line separates know no largest one.
kernel = 4.0 * RBF(5.0, (2.0, 20.0))
kernel.k1.constant_value_bounds = (0.1, 20.0)
names = {"laplace": "Laplace", "ep": "expectation propagation", "vi": "variational"}
for ax, (inference, name) in zip(below.subplots(1, 3), names.items(), strict=True):
    model = TorchGPClassifier(kernel, inference=inference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the amplitude's bound
        model.fit(places, label)
    ClassificationDisplay.from_estimator(model, places, label, margin=0.2, ax=ax)
    ax.legend(title="label", loc="upper left", fontsize="small")
    evidence = model.log_marginal_likelihood_value_
    ax.set_title(f"{name}\nlog evidence {evidence:.3f}")
    p = model.predict_proba(places)[np.arange(9), (label > 0).astype(int)]
    print(f"{inference:8} log evidence {evidence:.4f}, p(label) {p.round(2)}")
figure.savefig("plot_nine_points.png", dpi=90)
print("saved plot_nine_points.png: one border; Laplace is the least sure of it")
