"""Regressors with method="vecchia" that several test modules ask."""

import numpy as np
from contract_tables import log_normal
from kernel_zoo import OWN, ZOO, Numpy, rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    DotProduct,
    ExpSineSquared,
    Matern,
    WhiteKernel,
)
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PowerTransformer

from sklearn_torchgp import TorchGPRegressor

N = 24
X, Z = rows(N), rows(7, seed=5)
RNG = np.random.RandomState(3)
Y = np.sin(4 * X.sum(1)) + 0.1 * RNG.randn(N)
Y2 = np.column_stack([Y, 10 * np.cos(3 * X[:, 0]) + RNG.randn(N)])
ALL = {"n_neighbors": N - 1, "n_neighbors_predict": N, "optimizer_rows": None}
FEW = {"n_neighbors": 4, "n_neighbors_predict": 6}
KERNEL = 1.3 * Matern([0.7, 1.1, 0.9], nu=1.5) + WhiteKernel(0.05)

# All but one that is no covariance: exact inference finds negative variances, too.
EVERY = {**ZOO, **OWN}
del EVERY["pairwise-additive-chi2"]


def vecchia(kernel=KERNEL, **params):
    """An estimator that keeps its kernel."""
    options = {"optimizer": None, "random_state": 0, "alpha": 0.1, **FEW, **params}
    return TorchGPRegressor(kernel, method="vecchia", **options)


def pair(kernel=KERNEL, **params):
    """Exact inference, and Vecchia's approximation where it is exact."""
    approximate = vecchia(kernel, **{**ALL, **params})
    exact = clone(approximate).set_params(method="exact")
    return exact, approximate


def said(model, X, y, Z=Z, **fit):
    """What a regressor says of everything, by name."""
    model.fit(X, y, **fit)
    theta = model.kernel_.theta
    lml, gradient = model.log_marginal_likelihood(theta + 0.1, eval_gradient=True)
    mean, std = model.predict(Z, return_std=True)
    loo_mean, loo_std = model.loo_predict(return_std=True)
    found = {
        "fitted lml": model.log_marginal_likelihood_value_,
        "lml": lml,
        "gradient": gradient,
        "mean": mean,
        "std": std,
        "cov": model.predict(Z, return_cov=True)[1],
        "cov of f": model.predict(Z, return_cov=True, include_noise=False)[1],
        "loo mean": loo_mean,
        "loo std": loo_std,
        "interval": model.predict_interval(Z),
        "density": model.log_predictive_density(Z, mean + 0.1),
        "gradient of mean": model.predict_gradient(Z),
    }
    for name in ("trend_coef_", "trend_intercept_"):
        if hasattr(model, name):
            found[name] = getattr(model, name)
    return found


def same(found, expected, tol=1e-8):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_allclose(found[name], value, rtol=tol, atol=tol, err_msg=name)


OPTIONS = {
    "two targets": ({}, Y2, {}),
    "normalize_y": ({"normalize_y": True}, Y2, {}),
    "alpha of each row": ({"alpha": np.linspace(0.05, 0.2, N)}, Y, {}),
    "noise": ({}, Y, {"noise_variance": np.linspace(0.0, 0.5, N)}),
    "noise of each target": (
        {}, Y2, {"noise_variance": RNG.uniform(0.1, 0.5, (N, 2))},
    ),
    "weights": ({}, Y, {"sample_weight": np.linspace(0.0, 3.0, N)}),
    "weights, two targets, noise of each": (
        {"normalize_y": True}, Y2,
        {
            "sample_weight": np.linspace(0.0, 3.0, N),
            "noise_variance": RNG.uniform(0.1, 0.5, (N, 2)),
        },
    ),
    "constant trend": ({"mean": "constant"}, Y2, {}),
    "linear trend": ({"mean": "linear"}, Y, {}),
    "linear trend, weights": (
        {"mean": "linear"}, Y2, {"sample_weight": np.linspace(0.5, 3.0, N)},
    ),
    "linear trend, noise of each target": (
        {"mean": "linear"}, Y2, {"noise_variance": RNG.uniform(0.1, 0.5, (N, 2))},
    ),
    "regressor as trend": ({"mean": Ridge()}, Y, {}),
    "transform": ({"target_transform": PowerTransformer()}, Y, {}),
}  # fmt: skip


def by_numpy(model, kernel, X, y, noise):
    """The evidence that `order_` and `neighbors_` say, by dense formulas."""
    K, total = kernel(X) + np.diag(np.broadcast_to(noise, len(X))), 0.0
    for row, near in zip(model.order_, model.neighbors_, strict=True):
        near = near[near >= 0]
        b = np.linalg.solve(K[np.ix_(near, near)], K[near, row])
        mean, variance = b @ y[near], K[row, row] - b @ K[near, row]
        total += log_normal(y[[row]], mean, np.array([[variance]]))
    return total


KERNELS = {
    "radial": KERNEL,
    "two radial parts": 1.3 * RBF(0.3) + Matern(2.0, nu=2.5) + WhiteKernel(0.1),
    "product": RBF(0.5) * DotProduct(0.7) + WhiteKernel(0.1),
    "none": DotProduct(0.7) + ExpSineSquared(1.2, 2.1) + WhiteKernel(0.1),
    "numpy": Numpy(0.8) + WhiteKernel(0.3),
}
