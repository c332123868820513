"""
Moving from GPyTorch
====================

The usual program of GPyTorch (a subclass of ``ExactGP``, a likelihood with fixed noise,
a loop of Adam) beside ours, on 25 observations with error bars: the same evidence and
the same predictions at the same hyperparameters, lines of code, seconds. Where GPyTorch
is not installed, only our half runs.
"""

import inspect
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.inspection import PosteriorDisplay

try:
    import gpytorch
except ImportError:
    gpytorch = None

rng = np.random.RandomState(0)
X = np.linspace(-3, 3, 25)[:, None]
error_bar = 0.1 + 0.3 * np.abs(X.ravel()) / 3
y = np.sin(X).ravel() + error_bar * rng.randn(25)
X_new = np.linspace(-5, 5, 400)[:, None]


def with_gpytorch(X, y, noise, X_new):
    """Hyperparameters, evidence, mean and deviation of the function."""
    X, y, noise, X_new = map(torch.from_numpy, (X, y, noise, X_new))

    class Model(gpytorch.models.ExactGP):
        def __init__(self, X, y, likelihood):
            super().__init__(X, y, likelihood)
            self.mean_module = gpytorch.means.ZeroMean()
            self.covar_module = gpytorch.kernels.ScaleKernel(
                gpytorch.kernels.RBFKernel()
            )

        def forward(self, x):
            mean, covar = self.mean_module(x), self.covar_module(x)
            return gpytorch.distributions.MultivariateNormal(mean, covar)

    likelihood = gpytorch.likelihoods.FixedNoiseGaussianLikelihood(noise=noise)
    model = Model(X, y, likelihood).double()
    model.train()
    likelihood.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    for _ in range(300):
        optimizer.zero_grad()
        loss = -mll(model(X), y)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        lml = mll(model(X), y).item() * len(y)
    model.eval()
    with torch.no_grad():
        f = model(X_new)
        mean, std = f.mean.numpy(), f.stddev.numpy()
    covar = model.covar_module
    found = covar.outputscale.item(), covar.base_kernel.lengthscale.item()
    return found, lml, mean, std


def with_ours(X, y, noise, X_new):
    """The same, and the estimator."""
    model = TorchGPRegressor(ConstantKernel(1.0) * RBF(1.0))
    model.fit(X, y, noise_variance=noise)
    mean, std = model.predict(X_new, return_std=True)
    found = model.kernel_.k1.constant_value, model.kernel_.k2.length_scale
    return found, model.log_marginal_likelihood_value_, mean, std, model


def report(name, program, found, lml, seconds):
    lines = inspect.getsource(program).splitlines()
    code = sum(bool(line.strip()) for line in lines) - 2  # less the def and its words
    print(
        f"{name:9} variance {found[0]:.4f}, length scale {found[1]:.4f}, "
        f"LML {lml:.6f}, {code} lines, {seconds:.3f} s"
    )


arguments = X, y, error_bar**2, X_new
began = perf_counter()
ours = with_ours(*arguments)
report("ours", with_ours, *ours[:2], perf_counter() - began)
model = ours[-1]

figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained",
                            width_ratios=(3, 2))  # fmt: skip
PosteriorDisplay.from_estimator(
    model, X, y, noise_variance=error_bar**2, margin=0.33, n_samples=0, ax=axes[0]
)
axes[0].set_title("25 observations with their error bars")
if gpytorch is None:
    print("gpytorch is not installed: pip install gpytorch to see both")
    axes[1].text(0.5, 0.5, "gpytorch is not installed", ha="center", va="center")
    axes[1].set_axis_off()
else:
    began = perf_counter()
    theirs = with_gpytorch(*arguments)
    report("GPyTorch", with_gpytorch, *theirs[:2], perf_counter() - began)
    # %%
    # At GPyTorch's hyperparameters, wherever Adam has left them, all numbers are ours.
    there = TorchGPRegressor(
        ConstantKernel(theirs[0][0]) * RBF(theirs[0][1]), optimizer=None
    ).fit(X, y, noise_variance=error_bar**2)
    mean, std = there.predict(X_new, return_std=True)
    lml = abs(there.log_marginal_likelihood_value_ - theirs[1])
    differences = np.abs(mean - theirs[2]), np.abs(std - theirs[3])
    print(
        f"at its hyperparameters: LML differs by {lml:.1e}, means by at most "
        f"{differences[0].max():.1e}, deviations by {differences[1].max():.1e}"
    )
    axes[0].plot(X_new, theirs[2], ":", color="#D55E00", lw=2.5, label="GPyTorch")
    axes[0].legend(fontsize="small")
    for values, style, what in zip(differences, ("-", "--"), ("mean", "deviation"),
                                   strict=True):  # fmt: skip
        axes[1].semilogy(X_new, values + 1e-17, style, label=what)
    axes[1].set(xlabel="x", ylabel="|ours - GPyTorch| at one theta", xlim=(-5, 5))
    axes[1].set_title("the same predictions")
    axes[1].legend()
figure.savefig("plot_from_gpytorch.png", dpi=100)
print("saved plot_from_gpytorch.png: the same model in five lines")
