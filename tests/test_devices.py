"""Every feature gives on an accelerator what it gives on the CPU.

Where torch has an accelerator these tests run on it; elsewhere on the pretended one,
which also counts how often the host waits for it.
"""

import pickle
from dataclasses import replace

import matplotlib
import matplotlib.pyplot
import numpy as np
import pretended_device
import pytest
import torch
from helpers import need_dispatch
from kernel_zoo import COMPOSITES, EVERY_OF_OURS, EXACT_LEAVES, ROUGH_LEAVES
from sklearn import config_context
from sklearn.gaussian_process.kernels import (
    RBF,
    DotProduct,
    Kernel,
    Matern,
    WhiteKernel,
)
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PowerTransformer

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor, register_kernel
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp._data.arrays import accelerators
from sklearn_torchgp._linalg import cholesky, precision
from sklearn_torchgp._linalg.draws import joint_draws
from sklearn_torchgp.exceptions import NotPositiveDefiniteError
from sklearn_torchgp.inspection import (
    ClassificationDisplay,
    CoverageDisplay,
    LeaveOneOutDisplay,
    LogMarginalLikelihoodDisplay,
    PosteriorDisplay,
)
from sklearn_torchgp.metrics import crps, interval_coverage, neg_log_predictive_density
from sklearn_torchgp.priors import Gamma, HalfNormal, LogNormal

KERNEL = 1.3 * RBF([0.9, 1.4]) + WhiteKernel(0.1)


needs_pretended = pytest.mark.skipif(
    not pretended_device.CAN_OPEN,
    reason="torch has an accelerator here, or cannot register a device from Python",
)


@pytest.fixture
def device():
    """The name of an accelerator."""
    kind, _ = accelerators()
    if kind is not None:
        if not precision.has_float64(kind):
            pytest.skip(f"{kind} has no float64")
        yield kind
    elif pretended_device.CAN_OPEN:
        with pretended_device.opened():
            yield pretended_device.NAME
    else:
        pytest.skip("this torch cannot register a device from Python")


def rows(n, seed=0):
    return np.random.RandomState(seed).uniform(-2, 2, (n, 2))


def target(X, seed=0):
    noise = np.random.RandomState(seed).randn(len(X))
    return np.sin(2 * X[:, 0]) + X[:, 1] + 0.2 * noise


def same(found, expected, tol=1e-8):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=tol, atol=tol, err_msg=name)


# --- regression ---------------------------------------------------------------------


def regression(model, X, y, fit=None, more=None):
    """What a regressor says of everything, by name."""
    fit, Z = fit or {}, rows(9, seed=5)
    model.fit(X, y, **fit)
    if more is not None:
        model.partial_fit(*more)
    theta = model.kernel_.theta
    lml, gradient = model.log_marginal_likelihood(theta + 0.1, eval_gradient=True)
    loo, loo_gradient = model.loo_log_predictive_density(theta, eval_gradient=True)
    mean, std = model.predict(Z, return_std=True)
    said = {
        "theta": theta,
        "fitted lml": model.log_marginal_likelihood_value_,
        "objective": model.objective_value_,
        "lml": lml,
        "gradient": gradient,
        "loo": loo,
        "loo gradient": loo_gradient,
        "mean": mean,
        "std": std,
        "cov": model.predict(Z, return_cov=True)[1],
        "noisy": np.stack(
            model.predict(Z, True, include_noise=True, noise_variance=np.ones(9))
        ),
        "interval": model.predict_interval(Z),
        "quantiles": model.predict_quantiles(Z, [0.1, 0.7]),
        "density": model.log_predictive_density(X[:9], y[:9]),
        "slopes": np.stack(model.predict_gradient(Z, return_std=True)),
        "sample_y": model.sample_y(Z, 3),
        "paths": model.sample_paths(2, random_state=0, n_features=64)(Z),
        "loo_predict": np.stack(model.loo_predict(return_std=True)),
    }
    restored = pickle.loads(pickle.dumps(model)).set_params(device="cpu")
    np.testing.assert_allclose(restored.predict(Z), mean, atol=1e-6)
    return said


TWO = np.array([1.0, -2.0])
WEIGHT = np.random.RandomState(1).uniform(0.5, 3, 40)
NOISE = np.random.RandomState(2).uniform(0.01, 0.1, 40)
NOISES = np.random.RandomState(3).uniform(0.01, 0.1, (40, 2))
REGRESSION = {
    "plain": {},
    "several targets": {"columns": TWO},
    "weights": {"fit": {"sample_weight": WEIGHT}},
    "known noise": {"fit": {"noise_variance": NOISE}},
    "known noise of each target": {"columns": TWO, "fit": {"noise_variance": NOISES}},
    "array alpha": {"alpha": NOISE},
    "weights, noise, trend": {
        "mean": "linear",
        "columns": TWO,
        "fit": {"sample_weight": WEIGHT, "noise_variance": NOISES},
    },
    "constant trend": {"mean": "constant"},
    "linear trend": {"mean": "linear"},
    "trend regressor": {"mean": LinearRegression()},
    "normalize_y": {"normalize_y": True, "columns": TWO},
    "target_transform": {"target_transform": PowerTransformer()},
    "loo": {"objective": "loo"},
    "partial_fit": {"more": True},
    "partial_fit, trend, noises": {
        "mean": "linear",
        "columns": TWO,
        "fit": {"noise_variance": NOISES},
        "more": True,
    },
    "equal rows": {"repeat": 2},
    "matern": {"kernel": 1.2 * Matern([0.8, 1.1], nu=1.5) + WhiteKernel(0.1)},
    "dot product": {"kernel": 1.0 * RBF(0.7) + DotProduct(0.5) + WhiteKernel(0.1)},
}


def problem(columns=None, fit=None, more=False, repeat=1, n=40, **settings):
    X = np.repeat(rows(n), repeat, axis=0)
    settings = {"kernel": KERNEL, "optimizer": None, **settings}

    def targets(X):
        y = target(X)
        return y if columns is None else y[:, None] * columns + X[:, :1]

    further = (rows(7, seed=8), targets(rows(7, seed=8))) if more else None
    return settings, (X, targets(X), fit, further)


@pytest.mark.parametrize("name", REGRESSION)
def test_regression(name, device):
    settings, data = problem(**REGRESSION[name])
    expected = regression(TorchGPRegressor(device="cpu", **settings), *data)
    same(regression(TorchGPRegressor(device=device, **settings), *data), expected)


@pytest.mark.parametrize("mode", ["independent", "icm"])
def test_several_outputs(mode, device):
    X, Z = rows(30), rows(9, seed=5)
    y = target(X)[:, None] * TWO + X[:, :1]
    y[::3, 1] = np.nan
    options = {"multi_output": mode, "missing": "mask", "optimizer": None}

    def said(device):
        model = TorchGPRegressor(KERNEL, device=device, normalize_y=True, **options)
        model.fit(X, y).partial_fit(Z[:3], np.c_[Z[:3, 0], Z[:3, 0]])
        kernels = model.kernel_ if mode == "independent" else [model.kernel_]
        theta = np.concatenate([kernel.theta for kernel in kernels]) + 0.1
        lml, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
        mean, joint = model.predict(Z, return_cov="joint")
        return {
            "fitted lml": model.log_marginal_likelihood_value_,
            "lml": lml,
            "gradient": gradient,
            "mean": mean,
            "joint": joint,
            "std": model.predict(Z, return_std=True)[1],
            "quantiles": model.predict_quantiles(Z, [0.1, 0.7]),
            "slopes": np.stack(model.predict_gradient(Z, return_std=True)),
            "left out": np.stack(model.loo_predict(return_std=True)),
        }

    same(said(device), said("cpu"))


@pytest.mark.parametrize("n", [300, 700])
def test_regression_of_more_rows(n, device):
    settings, (X, y, *_) = problem(n=n)
    Z = rows(9, seed=5)

    def said(device):
        model = TorchGPRegressor(device=device, **settings).fit(X, y)
        theta = model.kernel_.theta + 0.1
        mean, std = model.predict(Z, return_std=True)
        lml, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
        left_out = np.stack(model.loo_predict(return_std=True))
        return {"lml": lml, "gradient": gradient, "mean": mean, "std": std} | {
            "left out": left_out
        }

    same(said(device), said("cpu"))


FITS = {
    "30 rows": {"n": 30},
    "300 rows": {"n": 300},
    "400 rows": {"n": 400},
    "restarts": {"n": 30, "n_restarts_optimizer": 3},
    "coarse-to-fine": {"n": 500, "optimizer": "coarse-to-fine"},
    "loo": {"n": 60, "objective": "loo"},
    "equal rows": {"n": 30, "repeat": 2},
    "priors": {
        "n": 30,
        "priors": {
            "k2__noise_level": HalfNormal(0.1),
            "k1__k2__length_scale": [LogNormal(0.0, 0.5), Gamma(2.0, 1.0)],
        },
    },
    "kernel auto": {"n": 30, "kernel": "auto", "normalize_y": True},
    "user's objective": {
        "n": 30,
        "objective": lambda model, theta, gradient: model.log_marginal_likelihood(
            theta, eval_gradient=gradient
        ),
    },
}


@pytest.mark.parametrize("name", FITS)
def test_optimised_fit(name, device):
    settings, (X, y, *_) = problem(**{"optimizer": "fmin_l_bfgs_b", **FITS[name]})
    here, there = (
        TorchGPRegressor(device=place, random_state=0, **settings).fit(X, y)
        for place in ("cpu", device)
    )
    # L-BFGS-B stops at a relative gain of 2e-9, and theta is known to the root of that.
    assert there.objective_value_ == pytest.approx(here.objective_value_, rel=1e-7)
    np.testing.assert_allclose(there.kernel_.theta, here.kernel_.theta, atol=1e-3)
    Z = rows(9, seed=5)
    np.testing.assert_allclose(there.predict(Z), here.predict(Z), atol=1e-4)
    # At one theta the answers are the same.
    there.kernel_.theta = here.kernel_.theta
    again = there.set_params(kernel=there.kernel_, optimizer=None).fit(X, y)
    np.testing.assert_allclose(again.predict(Z), here.predict(Z), atol=1e-8)


@pytest.mark.parametrize(("dtype", "tol"), [("float32", 1e-4), ("mixed", 1e-6)])
@pytest.mark.parametrize("n", [40, 300])
def test_precisions(dtype, tol, n, device):
    settings, (X, y, *_) = problem(n=n)
    Z = rows(9, seed=5)

    def said(device):
        model = TorchGPRegressor(device=device, dtype=dtype, **settings).fit(X, y)
        mean, std = model.predict(Z, return_std=True)
        return {"lml": model.log_marginal_likelihood_value_, "mean": mean, "std": std}

    same(said(device), said("cpu"), tol)


# --- classification -----------------------------------------------------------------


def classification(model, X, y, weight=None):
    """What a classifier says of everything, by name."""
    Z = rows(9, seed=5)
    model.fit(X, y, weight)
    if model.warm_start:
        model.fit(X, y, weight)
    theta = model.kernel_.theta
    lml, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    said = {
        "fitted lml": model.log_marginal_likelihood_value_,
        "lml": lml,
        "gradient": gradient,
        "labels": model.predict(Z),
    }
    said["latent"], said["latent std"] = model.predict_latent(Z, return_std=True)
    said["latent cov"] = model.predict_latent(Z, return_cov=True)[1]
    # A draw is a root of the covariance times normals, and which root SVD takes depends
    # on the last digits where eigenvalues are close: so draws are compared with those
    # of the moments said here, and the moments with those of other devices.
    draws = np.asarray(model.sample_latent(Z, 2))
    mean, cov = np.asarray(said["latent"]), np.asarray(said["latent cov"])
    assert draws.shape == (*mean.shape, 2)
    assert np.isfinite(draws).all()
    if mean.ndim == 1:
        moments = mean[:, None], cov[..., None]
        expected = joint_draws(*moments, 2, np.random.RandomState(0))[:, 0]
        np.testing.assert_allclose(draws, expected, rtol=1e-12, atol=1e-12)
    said["proba"] = model.predict_proba(Z)
    said["loo"] = model.loo_predict_proba()
    restored = pickle.loads(pickle.dumps(model)).set_params(device="cpu")
    np.testing.assert_array_equal(restored.predict(Z), said["labels"])
    return said


CLASSIFICATION = {
    f"{inference}, {link}": {"inference": inference, "link": link}
    for inference in ("laplace", "ep", "vi")
    for link in ("logit", "probit")
} | {
    "weights, ep": {"weight": np.arange(1.0, 41) % 3 + 0.5, "inference": "ep"},
    "weights, vi": {"weight": np.arange(1.0, 41) % 3 + 0.5, "inference": "vi"},
    "class_weight": {"class_weight": "balanced"},
    "warm start": {"warm_start": True},
    "warm start, ep": {"warm_start": True, "inference": "ep"},
    "warm start, softmax": {
        "warm_start": True,
        "classes": 3,
        "multi_class": "softmax",
    },
    "one_vs_rest": {"classes": 3},
    "one_vs_one": {"classes": 3, "multi_class": "one_vs_one"},
    "softmax": {"classes": 3, "multi_class": "softmax"},
    "softmax of 5": {"classes": 5, "multi_class": "softmax"},
    "softmax, weights": {
        "classes": 3,
        "multi_class": "softmax",
        "weight": np.arange(1.0, 41) % 3 + 0.5,
    },
    "300 rows": {"n": 300},
    "300 rows, ep": {"n": 300, "inference": "ep"},
    "300 rows, softmax": {"n": 300, "classes": 3, "multi_class": "softmax"},
}


def classes(n=40, classes=2, weight=None, **settings):
    """Settings of a classifier, and its data."""
    X = rows(n)
    edges = np.quantile(target(X), np.arange(1, classes) / classes)
    settings = {"kernel": 2.0 * RBF([0.9, 1.4]), "optimizer": None, **settings}
    return settings, (X, np.digitize(target(X), edges), weight)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification(name, device):
    settings, data = classes(**CLASSIFICATION[name])
    expected = classification(TorchGPClassifier(device="cpu", **settings), *data)
    same(classification(TorchGPClassifier(device=device, **settings), *data), expected)


@pytest.mark.parametrize(
    ("inference", "kernel"),
    [("laplace", RBF(1.0)), ("ep", RBF(1.0)), ("vi", RBF(1.0)), ("laplace", "auto")],
    ids=["laplace", "ep", "vi", "auto"],
)
def test_optimised_classification(inference, kernel, device):
    X = rows(25)
    y = target(X) > 0
    here, there = (
        TorchGPClassifier(kernel, inference=inference, device=place).fit(X, y)
        for place in ("cpu", device)
    )
    found, expected = (m.log_marginal_likelihood_value_ for m in (there, here))
    assert found == pytest.approx(expected, rel=1e-8)
    Z = rows(9, seed=5)
    np.testing.assert_allclose(there.predict_proba(Z), here.predict_proba(Z), atol=1e-5)


# --- devices without float64 --------------------------------------------------------


@pytest.fixture
def single(monkeypatch):
    """The name of a device whose numbers are float32 at most."""
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {pretended_device.NAME})
    with pretended_device.opened(has_float64=False):
        yield pretended_device.NAME


@needs_pretended
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_without_float64(name, single):
    settings, data = problem(**REGRESSION[name])
    here, there = (
        regression(TorchGPRegressor(device=place, dtype="float32", **settings), *data)
        for place in ("cpu", single)
    )
    same(there, here, 2e-3)


@needs_pretended
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_without_float64(name, single):
    settings, data = classes(**CLASSIFICATION[name])
    here, there = (
        classification(
            TorchGPClassifier(device=place, dtype="float32", **settings), *data
        )
        for place in ("cpu", single)
    )
    same(there, here, 2e-3)


# --- kernels ------------------------------------------------------------------------


class Triangle(RBF):
    """A kernel that only torch evaluates."""

    def __call__(self, X, Y=None, eval_gradient=False):
        raise NotImplementedError


class Numpy(RBF):
    """A kernel that only NumPy evaluates."""

    def __call__(self, X, Y=None, eval_gradient=False):
        return super().__call__(X, Y, eval_gradient)


register_kernel(
    Triangle,
    lambda params, X, Z: torch.exp(-torch.cdist(X, Z) / params["length_scale"]),
    stationary=True,
)


class Given(RBF):
    """A kernel with a pullback of its own, which answers in numbers of the host."""

    def __call__(self, X, Y=None, eval_gradient=False):
        raise NotImplementedError


def given(params, X, Z):
    r = torch.cdist(X, Z)
    K = torch.exp(-r / params["length_scale"])

    def pullback(G):
        return {
            "length_scale": (G * K * r).sum().item() / params["length_scale"].item()
        }

    return K, pullback


register_kernel(Given, given, stationary=True)
KERNELS = {
    **EXACT_LEAVES,
    **ROUGH_LEAVES,
    **COMPOSITES,
    **EVERY_OF_OURS,
    "registered": 1.5 * Triangle(0.8),
    "registered, many scales": Triangle([0.8]) + WhiteKernel(0.1),
    "registered, own pullback": Given(0.8) + WhiteKernel(0.1),
    "numpy": 1.5 * Numpy(0.8) + WhiteKernel(0.1),
}


@pytest.mark.filterwarnings("ignore::sklearn_torchgp.exceptions.KernelFallbackWarning")
@pytest.mark.parametrize("name", KERNELS)
def test_kernels(name, device):
    X, Z = (
        np.random.RandomState(s).uniform(0.1, 1.1, (n, 3)) for s, n in ((0, 20), (1, 5))
    )
    G = np.random.RandomState(2).randn(20, 20)
    G = G + G.T

    def said(device):
        device = torch.device(device)
        covariance = Covariance(KERNELS[name], X, dtype=torch.float64, device=device)
        K, pullback = covariance.gram(KERNELS[name].theta + 0.1)
        gradient = pullback(torch.from_numpy(G).to(device))
        blocks, of_blocks = covariance.at().blocks(np.arange(20).reshape(4, 5))
        rows = covariance.points.others(Z)
        _, slope = covariance.cross_slope(rows)
        parts = {
            "gram": K.tril(),
            "blocks": blocks,
            "slope": slope(torch.from_numpy(G[:5]).to(device)),
            "full": covariance.full(),
            "cross": covariance.cross(Z),
            "diag": covariance.diag(Z),
            "nugget": covariance.nugget()[0],
        }
        return {k: v.cpu().numpy() for k, v in parts.items()} | {
            "gradient": gradient,
            "of blocks": of_blocks(torch.ones_like(blocks)),
        }

    same(said(device), said("cpu"))


class OfStrings(Kernel):
    """exp(-|difference of lengths|), for rows that are no numbers."""

    requires_vector_input = False

    def __init__(self):
        pass

    def __call__(self, X, Y=None, eval_gradient=False):
        a, b = ([len(one) for one in Z] for Z in (X, X if Y is None else Y))
        K = np.exp(-np.abs(np.subtract.outer(a, b)))
        return (K, np.empty((len(a), len(b), 0))) if eval_gradient else K

    def diag(self, X):
        return np.ones(len(X))

    def is_stationary(self):
        return False


def test_rows_that_are_strings(device):
    X, y = ["a", "bcd", "efghij", ""], [1.0, 2.0, 0.5, 3.0]
    settings = {"kernel": OfStrings(), "alpha": 0.1, "optimizer": None}
    here, there = (
        TorchGPRegressor(device=place, **settings).fit(X, y).predict(["ab"], True)
        for place in ("cpu", device)
    )
    np.testing.assert_allclose(there, here, rtol=1e-12)


# --- arrays -------------------------------------------------------------------------


@pytest.mark.parametrize("dispatch", [False, True])
def test_tensors_of_the_device_are_answered_there(dispatch, device):
    if dispatch:
        need_dispatch()
    X, Z = rows(40), rows(9, seed=5)
    X_there, y_there, Z_there = (
        torch.from_numpy(one).to(device) for one in (X, target(X), Z)
    )
    settings = {"kernel": KERNEL, "optimizer": None}
    expected = TorchGPRegressor(device="cpu", **settings).fit(X, target(X)).predict(Z)
    for place in ("cpu", device):
        model = TorchGPRegressor(device=place, **settings)
        with config_context(array_api_dispatch=dispatch):
            model.fit(X_there, y_there)
            mean, std = model.predict(Z_there, return_std=True)
            paths = model.sample_paths(2, random_state=0)(Z_there)
            left_out = model.loo_predict()
        for answer in (mean, std, paths, left_out):
            assert answer.device == X_there.device
        np.testing.assert_allclose(mean.cpu().numpy(), expected, rtol=1e-8)


def looked_at(X, y, labels, device):
    """Scores, summaries and what displays drew, of rows that may lie on a device."""
    model = TorchGPRegressor(KERNEL, device=device, verbose=1).fit(X, y)
    classes = TorchGPClassifier(1.3 * RBF([0.9, 1.4]), device=device).fit(X, labels)
    with matplotlib.rc_context({"backend": "agg"}):
        posterior = PosteriorDisplay.from_estimator(model, X, y, grid_resolution=6)
        map_ = ClassificationDisplay.from_estimator(classes, X, grid_resolution=6)
        loo = LeaveOneOutDisplay.from_estimator(model, X, y)
        coverage = CoverageDisplay.from_estimator(model, X, y)
        evidence = LogMarginalLikelihoodDisplay.from_estimator(model, grid_resolution=3)
        matplotlib.pyplot.close("all")
    assert model.summary().facts["device"].startswith(device)
    assert classes.summary().facts["device"].startswith(device)
    return {
        "scores": [f(model, X, y) for f in (neg_log_predictive_density, crps)],
        "inside": interval_coverage(model, X, y),
        "noise": model.summary().facts["noise"],
        "mean": posterior.mean,
        "std": posterior.std,
        "proba": map_.proba,
        "residuals": loo.residuals_,
        "observed": coverage.observed,
        "evidence": evidence.values - evidence.values.max(),
    }


@pytest.mark.parametrize("there", [False, True], ids=["arrays", "tensors"])
def test_scores_summaries_and_displays(there, device, capsys):
    """Rows that lie on the device are drawn, too; every iteration is told of."""
    X = rows(30)
    y, labels = target(X), (target(X) > 0).astype(float)
    expected = looked_at(X, y, labels, "cpu")
    lines = len(capsys.readouterr().out.splitlines())
    given = X, y, labels
    if there:
        given = [torch.from_numpy(part).to(device) for part in given]
    same(looked_at(*given, device), expected, tol=1e-4)  # optima differ a little
    assert lines > 5
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_the_prior(device):
    Z = rows(9, seed=5)
    here, there = (
        TorchGPRegressor(KERNEL, device=place).predict(Z, return_cov=True)
        for place in ("cpu", device)
    )
    np.testing.assert_allclose(there[0], here[0])
    np.testing.assert_allclose(there[1], here[1], rtol=1e-12)


# --- how often the host waits -------------------------------------------------------


def waits_of_an_evaluation(model, X, y, counts):
    """What the device was asked for the objective and its gradient, within a fit."""
    asked = []

    def evaluate(objective, theta, bounds):
        for step in (0.0, 0.1):
            counts.reset()
            value, _ = objective(theta + step)
            asked.append(replace(counts))
        return theta, value

    model.set_params(optimizer=evaluate, device=pretended_device.NAME).fit(X, y)
    return asked[-1]


UPLOADS = {
    "shared scale": (1.0 * RBF(1.0) + WhiteKernel(0.1), 0),
    "scale of each feature": (1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1), 1),
    "sum": (Matern([1.0, 1.0], nu=1.5) + DotProduct() + WhiteKernel(0.1), 1),
}


@needs_pretended
@pytest.mark.parametrize("name", UPLOADS)
def test_waits_of_a_likelihood_and_its_gradient(name):
    """4: whether the factor failed, the value, how |x|^2 is summed, the gradient."""
    kernel, uploads = UPLOADS[name]
    X = rows(1000)
    with pretended_device.opened() as counts:
        asked = waits_of_an_evaluation(TorchGPRegressor(kernel), X, target(X), counts)
    assert asked.synchronisations <= 4
    assert asked.uploads <= uploads
    assert asked.dispatches <= 130


@needs_pretended
@pytest.mark.parametrize(
    ("inference", "waits"), [("laplace", 20), ("ep", 70), ("vi", 80)]
)
def test_waits_of_a_classifier(inference, waits):
    X = rows(300)
    model = TorchGPClassifier(1.0 * RBF([1.0, 1.0]), inference=inference)
    with pretended_device.opened() as counts:
        asked = waits_of_an_evaluation(model, X, target(X) > 0, counts)
    assert asked.synchronisations <= waits
    assert asked.uploads <= 1


@needs_pretended
def test_waits_do_not_grow_with_panels(monkeypatch):
    X = rows(300)
    monkeypatch.setitem(cholesky.PANEL, "accelerator", (64, 64))
    with pretended_device.opened() as counts:
        asked = waits_of_an_evaluation(TorchGPRegressor(KERNEL), X, target(X), counts)
    assert asked.synchronisations <= 4


@needs_pretended
def test_waits_of_a_prediction():
    """3: the mean, the deviation, whether a variance is negative."""
    X, Z = rows(300), rows(100, seed=5)
    with pretended_device.opened() as counts:
        model = TorchGPRegressor(KERNEL, optimizer=None, device=pretended_device.NAME)
        model.fit(X, target(X)).predict(Z, return_std=True)
        counts.reset()
        model.predict(Z, return_std=True)
    assert counts.synchronisations <= 3


@needs_pretended
@pytest.mark.parametrize("where", [0, 70, -1])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_factor_that_fails_on_the_device(where, value, monkeypatch):
    monkeypatch.setitem(cholesky.PANEL, "accelerator", (64, 64))
    with pretended_device.opened():
        A = torch.eye(200, dtype=torch.float64).to(pretended_device.NAME)
        A[where, where] = value
        with pytest.raises(NotPositiveDefiniteError):
            cholesky.cholesky_(A)


# --- the pretended device -----------------------------------------------------------


@needs_pretended
def test_the_pretended_device_refuses_tensors_of_the_cpu():
    with pretended_device.opened():
        there = torch.ones(3, 3).to(pretended_device.NAME)
        for meet in (torch.add, torch.matmul, torch.Tensor.mul_):
            with pytest.raises(RuntimeError, match="on the CPU"):
                meet(there, torch.ones(3, 3))
        assert (there * torch.tensor(2.0)).device == there.device
        with pytest.raises(RuntimeError):
            np.asarray(there)
    assert accelerators() == (None, 0)


@needs_pretended
@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.cpu(),
        lambda x: torch.empty(4).copy_(x),
        lambda x: x[x > 2],
        lambda x: x.nonzero(),
        lambda x: x.unique(),
    ],
)
def test_the_pretended_device_counts_waits(wait):
    with pretended_device.opened() as counts:
        x = torch.arange(4.0).to(pretended_device.NAME)
        assert (counts.uploads, counts.synchronisations) == (1, 0)
        x.add_(x).mul(x)[1:]
        assert counts.synchronisations == 0
        wait(x)
        assert counts.synchronisations == 1
