"""Three classifications of one data set
=====================================

Two moons with noise, classified by Laplace's approximation, expectation propagation and
variational inference: where they agree, and how sure they are. Below, three classes by
one joint softmax model.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs, make_moons
from sklearn.gaussian_process.kernels import RBF

from sklearn_torchgp import TorchGPClassifier

X, y = make_moons(80, noise=0.25, random_state=0)
X3, y3 = make_blobs(90, centers=[[-1, 0], [1.5, 0.8], [0.6, -1.2]], cluster_std=0.6,
                    random_state=0)  # fmt: skip
kernel = 10.0 * RBF(1.0)

grid = np.linspace(-2.5, 3.5, 120)
rows = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
fig, axes = plt.subplots(2, 3, figsize=(13, 7.5), sharex=True, sharey=True)


def show(ax, values, X, y, title, **style):
    image = ax.contourf(grid, grid, values.reshape(120, 120), 20, **style)
    ax.scatter(*X.T, c=y, s=15, edgecolor="black", linewidth=0.5, cmap="coolwarm")
    ax.set_title(title, fontsize=10)
    return image


for ax, inference in zip(axes[0], ("laplace", "ep", "vi"), strict=True):
    model = TorchGPClassifier(kernel, inference=inference).fit(X, y)
    loo = model.loo_predict_proba()[np.arange(len(y)), y]
    title = (
        f"{inference}: log evidence {model.log_marginal_likelihood():.1f}\n"
        f"log leave-one-out probability {np.log(loo).sum():.1f}"
    )
    p = model.predict_proba(rows)[:, 1]
    image = show(ax, p, X, y, title, vmin=0, vmax=1, cmap="coolwarm")
fig.colorbar(image, ax=axes[0], label="p(class 1)", ticks=[0, 0.5, 1])

model = TorchGPClassifier(kernel, multi_class="softmax").fit(X3, y3)
p = model.predict_proba(rows)
for c, ax in enumerate(axes[1]):
    image = show(ax, p[:, c], X3, y3, f"softmax: p(class {c})", vmin=0, vmax=1)
fig.colorbar(image, ax=axes[1], label="probability", ticks=[0, 0.5, 1])
fig.savefig("plot_classification.png", dpi=100, bbox_inches="tight")
print(f"softmax evidence {model.log_marginal_likelihood():.2f}")
