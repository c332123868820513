"""
Bayesian optimisation with scikit-optimize
==========================================

scikit-optimize takes any regressor that predicts with a deviation; ours gives it the
gradient of both, too, so that the best next point is climbed to. The process says where
it is worth measuring: where the mean is low, or nobody knows. Where scikit-optimize is
not installed, the first measurements are all that is drawn.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.inspection import PosteriorDisplay

try:
    import skopt
except ImportError:
    skopt = None

rng = np.random.RandomState(0)


def cost(x):
    """A valley, a deeper one, and noise."""
    return np.sin(3 * x) + 0.1 * (x - 3) ** 2 + 0.05 * rng.randn()


model = TorchGPRegressor(
    1.0 * Matern(1.0, (0.2, 5.0), nu=2.5) + WhiteKernel(0.01, (1e-4, 0.1)),
    normalize_y=True,
)
x = list(np.array([0.3, 1.4, 2.6, 5.6]))
y = [cost(each) for each in x]
stages = {f"{len(x)} measurements": (np.array(x)[:, None], np.array(y))}
if skopt is None:
    print("scikit-optimize is not installed: pip install scikit-optimize to go on")
else:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hyperparameters at their bounds, on few rows
        optimizer = skopt.Optimizer(
            [(0.0, 6.0)], base_estimator=model, n_initial_points=0, acq_func="EI",
            acq_optimizer="lbfgs", random_state=0,
        )  # fmt: skip
        optimizer.tell([[each] for each in x], y)
        for _ in range(8):
            ask = optimizer.ask()
            optimizer.tell(ask, cost(ask[0]))
            x.append(ask[0])
            print(f"measured at {ask[0]:.3f}: {optimizer.yi[-1]:6.3f}")
    stages[f"{len(x)} measurements"] = np.array(x)[:, None], np.array(optimizer.yi)
    print(f"best: {min(optimizer.yi):.3f} at {x[int(np.argmin(optimizer.yi))]:.3f}")

grid = np.linspace(0, 6, 400)
truth = np.sin(3 * grid) + 0.1 * (grid - 3) ** 2
figure, axes = plt.subplots(
    1, len(stages), figsize=(6 * len(stages), 4.4), squeeze=False, layout="constrained"
)
for ax, (title, (rows, values)) in zip(axes[0], stages.items(), strict=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows, values)
    PosteriorDisplay.from_estimator(model, rows, values, n_samples=0, ax=ax)
    ax.plot(grid, truth, ":", color="#D55E00", lw=2, label="truth")
    ax.set(xlabel="setting", ylabel="cost", title=title, xlim=(0, 6), ylim=(-2.2, 3.2))
    ax.legend(fontsize="small", loc="upper center", ncols=2)
figure.savefig("plot_bayesian_optimisation.png", dpi=100)
print("saved plot_bayesian_optimisation.png: it measures where the cost may be low")
