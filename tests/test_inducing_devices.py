"""method="inducing" gives on an accelerator what it gives on the CPU."""

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, DotProduct, WhiteKernel
from test_devices import KERNEL, device, rows, same, target

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor

__all__ = ["device"]  # a fixture

X, Y = rows(120), target(rows(120))
FEW = {"method": "inducing", "inducing_points": 12, "optimizer_rows": 30}


def said(place, kernel=KERNEL, y=Y, fit=None, more=None, **settings):
    options = {"optimizer": None, "random_state": 0, "alpha": 0.1, **FEW, **settings}
    model = TorchGPRegressor(kernel, device=place, **options)
    model.fit(X, y, **(fit or {}))
    if more is not None:
        model.partial_fit(*more)
    Z, theta = rows(9, seed=5), model.kernel_.theta
    lml, gradient = model.log_marginal_likelihood(theta + 0.1, eval_gradient=True)
    mean, std = model.predict(Z, return_std=True)
    paths = model.sample_paths(2, random_state=0, n_features=16)
    return {
        "fitted lml": model.log_marginal_likelihood_value_,
        "lml": lml,
        "gradient": gradient,
        "mean": mean,
        "std": std,
        "cov": model.predict(Z, return_cov=True)[1],
        "slopes": np.stack(model.predict_gradient(Z, return_std=True)),
        "loo": np.stack(model.loo_predict(return_std=True)),
        "points": model.inducing_points_,
        "paths": paths(Z),
    }


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
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_answers(case, device):
    same(said(device, **case), said("cpu", **case), tol=1e-7)


def test_float32(device):
    found, expected = (said(one, dtype="float32") for one in (device, "cpu"))
    same(found, expected, tol=2e-2)


@pytest.mark.parametrize("points", [X[:12], 12])
def test_a_fit(points, device):
    """Where points move the way is long, and round-off takes its own."""
    # From this seed X (1 + 1e-13) leads to the same end (1e-8); from 0 to another.
    options = {**FEW, "inducing_points": points, "random_state": 3}
    here, there = (
        TorchGPRegressor(KERNEL, device=one, **options).fit(X, Y)
        for one in ("cpu", device)
    )
    far = 0.1 if np.ndim(points) == 0 else 1e-3
    np.testing.assert_allclose(there.kernel_.theta, here.kernel_.theta, atol=far)
    lml = "log_marginal_likelihood_value_"
    assert getattr(there, lml) == pytest.approx(getattr(here, lml), abs=0.2)


def test_labels(device):
    Z = rows(9, seed=5)
    here, there = (
        TorchGPClassifier(
            4.0 * RBF(1.0), inference="vi", device=one, random_state=0, **FEW
        ).fit(X, np.median(Y) < Y)
        for one in ("cpu", device)
    )
    for method in ("predict_proba", "decision_function"):
        found, wanted = (getattr(model, method)(Z) for model in (there, here))
        np.testing.assert_allclose(found, wanted, atol=1e-3)
    found, wanted = (model.loo_predict_proba() for model in (there, here))
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_tensors_there(device):
    X_there, y_there = (torch.from_numpy(one).to(device) for one in (X, Y))
    options = {"optimizer": None, "random_state": 0, "alpha": 0.1, **FEW}
    model = TorchGPRegressor(KERNEL, device=device, **options)
    mean = model.fit(X_there, y_there).predict(X_there[:9])
    assert mean.device == model.inducing_points_.device == X_there.device
    plain = TorchGPRegressor(KERNEL, **options).fit(X, Y)
    np.testing.assert_allclose(mean.cpu().numpy(), plain.predict(X[:9]), rtol=1e-8)
