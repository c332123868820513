"""Problems, reference values and slow oracles that the classification tests share."""

import json
from pathlib import Path

import numpy as np
import torch
from helpers import numeric_gradient
from sklearn.datasets import load_breast_cancer
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

from sklearn_torchgp import TorchGPClassifier
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp._inference import SITE_ALGORITHMS
from sklearn_torchgp._inference.sites.engine import factor
from sklearn_torchgp._linalg.cholesky import symmetrize_

REFERENCE = json.loads(
    (Path(__file__).parent / "data" / "classification.json").read_text()
)
LINKS = ("logit", "probit")
# Our name of a method, and its name in the reference file.
REFERENCE_NAMES = {"laplace": "laplace", "ep": "ep", "vi": "vi_full"}

KERNEL = ConstantKernel(2.0) * RBF(1.5)


def fixed(multi_class="one_vs_rest", **params):
    """A classifier that keeps its kernel: fast, and right for most questions."""
    given = {"kernel": KERNEL, "optimizer": None, "multi_class": multi_class}
    return TorchGPClassifier(**(given | params))


def kernel_of(setting):
    """The scikit-learn kernel of a reference setting."""
    length_scale = setting["lengthscale"]
    radial = {
        "rbf": RBF(length_scale),
        "matern32": Matern(length_scale, nu=1.5),
        "matern52": Matern(length_scale, nu=2.5),
    }
    return ConstantKernel(setting["variance"]) * radial[setting["kernel"]]


def covariance_of(kernel, X, dtype=torch.float64):
    return Covariance(kernel, np.asarray(X), dtype=dtype, device=torch.device("cpu"))


def gram_of(kernel, X, theta=None, dtype=torch.float64):
    """K, both triangles, and its pullback."""
    K, pullback = covariance_of(kernel, X, dtype).gram(theta)
    return symmetrize_(K), pullback


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def settings():
    """(id, problem, setting) of all binary reference settings."""
    for name, problem in REFERENCE["binary"].items():
        for setting in problem["settings"]:
            label = f"{name}-{setting['kernel']}-{setting['variance']:g}"
            yield label, problem, setting


def latent(result, K, k):
    """Mean, and variance taken away by the data, for cross-covariances k (m, n)."""
    s = result.sites.precision.sqrt()
    V = torch.linalg.solve_triangular(factor(K, s).tril(), (k * s).mT, upper=False)
    return k @ result.alpha, V.square().sum(0)


def check_gradient(inference, likelihood, kernel, X, *, rtol, **options):
    """The pullback of a method's derivative against differences of its evidence."""
    method = SITE_ALGORITHMS[inference]

    def lml(theta):
        K, _ = gram_of(kernel, X, theta)
        return method(K, likelihood, **options).lml

    K, pullback = gram_of(kernel, X)
    gradient = pullback(method(K, likelihood, **options).derivative())
    expected = numeric_gradient(lml, kernel.theta)
    np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=rtol)


def two_moons(n, seed=0, noise=0.4):
    """X (n, 2), and labels -1, 1 with some overlap."""
    rng = np.random.RandomState(seed)
    y = rng.choice([-1.0, 1.0], size=n)
    angle = rng.uniform(0, np.pi, n)
    X = np.c_[np.cos(angle) * y + 0.5 * y, np.sin(angle) * y]
    return X + noise * rng.randn(n, 2), y


def extreme_problems():
    """(id, X, y, weight) of rows that are hard at large variances."""
    rng = np.random.RandomState(0)
    X, y = two_moons(20)
    line = np.linspace(-1, 1, 12)[:, None]
    yield "opposite copies", np.repeat(X[:8], 2, axis=0), np.tile([-1.0, 1.0], 8), None
    yield "separable", line, np.where(np.arange(12) > 5, 1.0, -1.0), None
    yield "constant feature", np.c_[X, np.ones(20)], y, None
    yield "two rows far apart", 1e3 * X[:2], np.array([-1.0, 1.0]), None
    yield "one row", X[:1], y[:1], None
    yield "weights", X, y, np.exp(rng.uniform(-2, np.log(100), 20))
    yield "half contradicted", np.r_[X, X[:10]], np.r_[y, -y[:10]], None


def unscaled_rows(n=150):
    """The first rows of breast_cancer as they come: features from 1e-3 to 1e3."""
    X, y = load_breast_cancer(return_X_y=True)
    return X[:n], 2.0 * y[:n] - 1.0
