"""
Several classes at once
=======================

Three kinds of iris by two of their measurements. ``one_vs_rest`` fits a classifier for
each class and normalises what they say; ``softmax`` models the three together. With
expectation propagation its probabilities are those of the model; with Laplace's
approximation they are those of the mode, which is surer.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sklearn_torchgp import TorchGPClassifier
from sklearn_torchgp.inspection import ClassificationDisplay

iris = load_iris(as_frame=True)
X = iris.data[["sepal length (cm)", "petal length (cm)"]]
y = iris.target_names[iris.target]
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=75, stratify=y, random_state=0
)

kernel = 10.0 * RBF([1.0, 1.0])
models = {
    "one_vs_rest": TorchGPClassifier(kernel),
    "softmax, Laplace": TorchGPClassifier(kernel, multi_class="softmax"),
    "softmax, EP": TorchGPClassifier(
        kernel, multi_class="softmax", inference="ep", link="probit"
    ),
}
figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    model.fit(X_train, y_train)
    loss = log_loss(y_test, model.predict_proba(X_test), labels=model.classes_)
    error = np.mean(model.predict(X_test) != y_test)
    print(f"{name:18} held-out log loss {loss:.3f}, errors {error:.1%}")
    ClassificationDisplay.from_estimator(
        model, X_train, y_train, margin=0.3, grid_resolution=60, ax=ax
    )
    ax.set_title(f"{name}: held-out log loss {loss:.3f}")
figure.savefig("plot_softmax.png", dpi=100)
print(
    "saved plot_softmax.png: far from the flowers the mode alone stays sure of itself"
)
