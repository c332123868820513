"""
Three inferences on one data set
================================

Two moons with noise, classified by Laplace's approximation, expectation propagation and
variational inference: where they agree, how sure they are, and how good that is on 2000
new points.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics import log_loss

from sklearn_torchgp import TorchGPClassifier
from sklearn_torchgp.inspection import ClassificationDisplay

X, y = make_moons(80, noise=0.25, random_state=0)
X_new, y_new = make_moons(2000, noise=0.25, random_state=1)
kernel = 10.0 * RBF(1.0)

figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained")
print(f"{'':10}{'evidence':>10}{'leave-one-out':>15}{'held out':>10}{'error':>8}")
for ax, inference in zip(axes, ("laplace", "ep", "vi"), strict=True):
    model = TorchGPClassifier(kernel, inference=inference).fit(X, y)
    evidence = model.log_marginal_likelihood_value_
    loo = log_loss(y, model.loo_predict_proba())
    loss = log_loss(y_new, model.predict_proba(X_new))
    error = np.mean(model.predict(X_new) != y_new)
    print(f"{inference:10}{evidence:10.2f}{loo:15.3f}{loss:10.3f}{error:8.1%}")
    ClassificationDisplay.from_estimator(model, X, y, ax=ax)
    ax.set(xlabel="x1", ylabel="x2", title=f"{inference}: held-out log loss {loss:.3f}")
figure.savefig("plot_classification.png", dpi=100)
print("saved plot_classification.png: one border, three degrees of confidence")
