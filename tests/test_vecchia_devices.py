"""method="vecchia" gives on an accelerator what it gives on the CPU."""

import numpy as np
import pretended_device
import pytest
import torch
from kernel_zoo import COMPOSITES, EXACT_LEAVES, Numpy
from sklearn.gaussian_process.kernels import RBF, DotProduct, WhiteKernel
from test_devices import (
    KERNEL,
    device,
    needs_pretended,
    rows,
    same,
    target,
    waits_of_an_evaluation,
)

from sklearn_torchgp import TorchGPRegressor

__all__ = ["device"]  # a fixture

X, Y = rows(120), target(rows(120))
NEAR = {"n_neighbors": 8, "n_neighbors_predict": 12, "optimizer_rows": 60}


def said(place, kernel=KERNEL, y=Y, fit=None, more=None, **settings):
    options = {"optimizer": None, "random_state": 0, "alpha": 0.1, **NEAR, **settings}
    model = TorchGPRegressor(kernel, method="vecchia", device=place, **options)
    model.fit(X, y, **(fit or {}))
    if more is not None:
        model.partial_fit(*more)
    Z, theta = rows(9, seed=5), model.kernel_.theta
    lml, gradient = model.log_marginal_likelihood(theta + 0.1, eval_gradient=True)
    mean, std = model.predict(Z, return_std=True)
    found = {
        "fitted lml": model.log_marginal_likelihood_value_,
        "lml": lml,
        "gradient": gradient,
        "mean": mean,
        "std": std,
        "cov": model.predict(Z, return_cov=True)[1],
        "slopes": np.stack(model.predict_gradient(Z, return_std=True)),
        "loo": np.stack(model.loo_predict(return_std=True)),
        "neighbours": model.neighbors_,
    }
    if settings.get("mean", "zero") == "zero":
        found["loo density"] = model.loo_log_predictive_density()
    if not isinstance(kernel, Numpy):
        paths = model.sample_paths(2, random_state=0, n_features=16)
        found["paths"] = paths(Z)
    return found


CASES = {
    "plain": {},
    "linear trend": {"mean": "linear"},
    "two targets": {"y": np.column_stack([Y, 2 * Y + X[:, 0]]), "normalize_y": True},
    "noise of each target": {
        "y": np.column_stack([Y, X[:, 0]]),
        "fit": {"noise_variance": np.random.RandomState(1).uniform(0.1, 1, (120, 2))},
    },
    "weights": {"fit": {"sample_weight": np.linspace(0, 3, 120)}},
    "more rows": {"more": (rows(9, seed=3), target(rows(9, seed=3)))},
    "several parts": {"kernel": RBF(1.0) + RBF(3.0) * DotProduct() + WhiteKernel(0.1)},
    "no distance": {"kernel": DotProduct() + WhiteKernel(0.1)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_answers(case, device):
    same(said(device, **case), said("cpu", **case), tol=1e-7)


def test_rows_that_repeat(device):
    again = np.r_[np.arange(60), np.arange(60)]
    y = {"y": Y, "mean": "constant"}
    global X
    before, X = X, X[again]
    try:
        same(said(device, **y), said("cpu", **y), tol=1e-7)
    finally:
        X = before


def test_float32(device):
    found, expected = (said(one, dtype="float32") for one in (device, "cpu"))
    same(found, expected, tol=2e-3)


def test_a_fit(device):
    here, there = (
        TorchGPRegressor(
            KERNEL, method="vecchia", device=one, random_state=0, **NEAR
        ).fit(X, Y)
        for one in ("cpu", device)
    )
    np.testing.assert_allclose(there.kernel_.theta, here.kernel_.theta, atol=1e-3)


@pytest.mark.parametrize("kernel", [EXACT_LEAVES["matern32"], COMPOSITES["sum"]])
def test_tensors_there(kernel, device):
    X_there, y_there = (torch.from_numpy(one).to(device) for one in (X, Y))
    options = {"method": "vecchia", "optimizer": None, "random_state": 0, **NEAR}
    model = TorchGPRegressor(kernel, alpha=0.1, device=device, **options)
    mean = model.fit(X_there, y_there).predict(X_there[:9])
    assert mean.device == model.neighbors_.device == X_there.device
    plain = TorchGPRegressor(kernel, alpha=0.1, **options).fit(X, Y)
    np.testing.assert_allclose(mean.cpu().numpy(), plain.predict(X[:9]), rtol=1e-8)


@needs_pretended
def test_waits_of_an_evaluation():
    """Of each of its batches of blocks the host asks whether they had a factor."""
    model = TorchGPRegressor(
        1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1), method="vecchia", n_neighbors=8
    )
    X = rows(1000)
    with pretended_device.opened() as counts:
        asked = waits_of_an_evaluation(model, X, target(X), counts)
    assert asked.synchronisations <= 14
