"""The same model in every library: ConstantKernel * RBF(ARD) + WhiteKernel."""

import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sklearn_torchgp import TorchGPRegressor

OURS, SKLEARN, GPYTORCH = "sklearn_torchgp", "scikit-learn", "GPyTorch (Cholesky)"


def kernel(d, noise=0.1):
    return ConstantKernel(1.0) * RBF(np.full(d, 1.0)) + WhiteKernel(noise)


def regressor(name, d, **options):
    """The unfitted estimator of this library, OURS or SKLEARN."""
    cls = {OURS: TorchGPRegressor, SKLEARN: GaussianProcessRegressor}[name]
    if name == SKLEARN:
        options.pop("dtype", None)
    return cls(kernel(d), **options)


def objective(estimator, X, y):
    """theta -> (-LML, -gradient) exactly as `fit` evaluates it.

    The function that `fit` hands to its optimiser, caught by an optimiser that keeps
    it and returns at once: the public way in, alike for both estimators.
    """
    caught = []

    def catch(obj_func, initial_theta, bounds):
        caught.append(obj_func)
        return initial_theta, obj_func(initial_theta, eval_gradient=False)

    estimator.set_params(optimizer=catch).fit(X, y)
    return caught[0]


def gpytorch_objective(X, y, theta, device="cpu", points=None):
    """() -> (-LML, -gradient in theta) by GPyTorch's exact GP with Cholesky.

    With inducing `points`, which stay where they are, by its SGPR: minus the bound.
    """
    import gpytorch

    X = torch.as_tensor(X, device=device)
    y = torch.as_tensor(y, device=device)
    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    scaled = gpytorch.kernels.ScaleKernel(
        gpytorch.kernels.RBFKernel(ard_num_dims=X.shape[1])
    )
    covariance = scaled
    if points is not None:
        points = torch.as_tensor(points, device=device)
        covariance = gpytorch.kernels.InducingPointKernel(scaled, points, likelihood)
        covariance.inducing_points.requires_grad_(False)

    class Model(gpytorch.models.ExactGP):
        def __init__(self, likelihood):
            super().__init__(X, y, likelihood)
            self.mean_module = gpytorch.means.ZeroMean()
            self.covar_module = covariance

        def forward(self, rows):
            return gpytorch.distributions.MultivariateNormal(
                self.mean_module(rows), self.covar_module(rows)
            )

    model = Model(likelihood).to(X)
    values, base = np.exp(theta), scaled.base_kernel
    scaled.outputscale = values[0]
    base.lengthscale = torch.as_tensor(values[1:-1])
    likelihood.noise = values[-1]
    model.train()
    likelihood.train()
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    raw = (
        (scaled.raw_outputscale, scaled, "outputscale"),
        (base.raw_lengthscale, base, "lengthscale"),
        (likelihood.noise_covar.raw_noise, likelihood.noise_covar, "noise"),
    )

    def evaluate():
        model.zero_grad()
        exactly = points is None  # of points it would make an n x n matrix
        with (
            gpytorch.settings.max_cholesky_size(10**6),
            gpytorch.settings.fast_computations(*[not exactly] * 3),
        ):
            loss = -mll(model(X), y) * len(y)
            loss.backward()
        return loss.item(), raw

    return evaluate


def gpytorch_gradient(raw):
    """GPyTorch's gradient in log parameters, from that in its raw parameters."""
    parts = []
    for parameter, module, name in raw:
        constraint = getattr(module, f"raw_{name}_constraint")
        with torch.enable_grad():
            tracked = parameter.detach().clone().requires_grad_()
            value = constraint.transform(tracked)
            (slope,) = torch.autograd.grad(value.sum(), tracked)
        parts.append((parameter.grad * value.detach() / slope).reshape(-1))
    return torch.cat(parts).cpu().numpy()
