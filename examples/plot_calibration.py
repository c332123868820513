"""
Is a probability of 0.8 right in 8 of 10 cases?
===============================================

Classifiers fitted to 100 tumours, asked about 469 others (data that ship inside
scikit-learn). All find the same border; they differ in how sure they are. Laplace's
approximation is under-confident where the classes separate well; expectation
propagation and variational inference are not.
"""

import warnings
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPClassifier

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=100, stratify=y, random_state=0
)
kernel = 10.0 * RBF(10.0, (1.0, 100.0))
kernel.k1.constant_value_bounds = (1.0, 1e3)

p = {}
print(f"{'':10}{'log loss':>10}{'Brier':>8}{'error':>8}{'leave-one-out':>15}")
for inference in ("laplace", "ep", "vi"):
    model = make_pipeline(
        StandardScaler(), TorchGPClassifier(kernel, inference=inference)
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # the amplitude at its bound
        model.fit(X_train, y_train)
    p[inference] = model.predict_proba(X_test)[:, 1]
    loo = log_loss(y_train, model[-1].loo_predict_proba()[:, 1])
    scores = (
        log_loss(y_test, p[inference]),
        brier_score_loss(y_test, p[inference]),
        np.mean((p[inference] > 0.5) != y_test),
    )
    print(f"{inference:10}{scores[0]:10.3f}{scores[1]:8.3f}{scores[2]:8.1%}{loo:15.3f}")

# %%
# Left, how often the answer was right among those said with about the same confidence,
# with 95 % of what chance allows. Right, how many answers were how sure.
edges = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
left.plot([0.5, 1], [0.5, 1], "--", color="black", lw=1, label="calibrated")
styles = {
    "laplace": ("o-", "#0072B2"),
    "ep": ("^--", "#D55E00"),
    "vi": ("s:", "#009E73"),
}
for k, (inference, (marker, colour)) in enumerate(styles.items()):
    sure = np.maximum(p[inference], 1 - p[inference])
    correct = (p[inference] > 0.5) == y_test
    cells = np.digitize(sure, edges[1:-1])
    n = np.bincount(cells, minlength=6)
    said = np.bincount(cells, sure, 6) / np.maximum(n, 1)
    held = np.bincount(cells, correct, 6) / np.maximum(n, 1)
    bar = 1.96 * np.sqrt(said * (1 - said) / np.maximum(n, 1))
    seen = n >= 5
    left.errorbar(
        said[seen] + 0.003 * (k - 1), held[seen], yerr=bar[seen], fmt=marker,
        color=colour, capsize=2, lw=1.2, label=inference,
    )  # fmt: skip
    right.bar(np.arange(6) + 0.27 * (k - 1), n, 0.25, color=colour, label=inference,
              hatch=("", "///", "...")[k], edgecolor="white")  # fmt: skip
left.set(xlabel="probability given to the answer", ylabel="share of right answers")
left.set(xlim=(0.5, 1.02), ylim=(0.3, 1.2), title="reliability on 469 tumours")
left.legend(loc="upper left")
labels = [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
right.set_xticks(np.arange(6), labels)
right.set(xlabel="probability given to the answer", ylabel="number of tumours",
          title="how sure they are")  # fmt: skip
right.legend(loc="upper left")
figure.savefig("plot_calibration.png", dpi=100)
print("saved plot_calibration.png: Laplace hesitates where it need not")
