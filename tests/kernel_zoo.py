"""Kernels that the contract tests and the parity tests run over."""

import numpy as np
import torch
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)

from sklearn_torchgp import register_kernel

N_FEATURES = 3
ARD = [0.7, 1.1, 1.9]

# Leaves with an analytic gradient in scikit-learn.
EXACT_LEAVES = {
    "constant": ConstantKernel(1.3),
    "white": WhiteKernel(0.4),
    "rbf": RBF(0.8),
    "rbf-ard": RBF(ARD),
    "rbf-one-element": RBF([0.8]),
    "matern12": Matern(0.8, nu=0.5),
    "matern12-ard": Matern(ARD, nu=0.5),
    "matern32": Matern(0.8, nu=1.5),
    "matern32-ard": Matern(ARD, nu=1.5),
    "matern52": Matern(0.8, nu=2.5),
    "matern52-ard": Matern(ARD, nu=2.5),
    "matern-inf-ard": Matern(ARD, nu=np.inf),
    "rational-quadratic": RationalQuadratic(0.9, alpha=1.4),
    "exp-sine-squared": ExpSineSquared(1.2, periodicity=2.1),
    "dot-product": DotProduct(0.7),
}

# Leaves whose gradient scikit-learn takes by a forward difference of 1e-10.
ROUGH_LEAVES = {
    "matern08": Matern(0.8, nu=0.8),
    "matern-one": Matern(0.8, nu=1.0),
    "matern21-ard": Matern(ARD, nu=2.1),
    "matern72": Matern(0.8, nu=3.5),
    "pairwise-linear": PairwiseKernel(0.4, metric="linear"),
    "pairwise-cosine": PairwiseKernel(0.4, metric="cosine"),
    "pairwise-poly": PairwiseKernel(
        0.4, metric="poly", pairwise_kernels_kwargs={"degree": 2, "coef0": 0.5}
    ),
    "pairwise-polynomial": PairwiseKernel(0.4, metric="polynomial"),
    "pairwise-rbf": PairwiseKernel(0.4, metric="rbf"),
    "pairwise-laplacian": PairwiseKernel(0.4, metric="laplacian"),
    "pairwise-sigmoid": PairwiseKernel(0.4, metric="sigmoid"),
    "pairwise-chi2": PairwiseKernel(0.4, metric="chi2"),
    "pairwise-additive-chi2": PairwiseKernel(0.4, metric="additive_chi2"),
}

COMPOSITES = {
    "scaled-ard-noise": 2.0 * RBF(ARD) + WhiteKernel(0.3),
    "sum": RBF(0.5) + Matern(1.5, nu=1.5) + ConstantKernel(0.5),
    "product": RBF(ARD) * RationalQuadratic(0.9, alpha=0.7),
    "noise-times-kernel": (1.5 * RBF(0.7) + WhiteKernel(0.2))
    * (DotProduct(0.9) + WhiteKernel(0.5)),
    "noise-scaled": ConstantKernel(1.7) * WhiteKernel(0.3) + Matern(0.9),
    "power": RBF(0.6) ** 2,
    "power-of-noisy": (DotProduct(0.9) + WhiteKernel(0.4)) ** 3,
    "power-of-constant": ConstantKernel(1.3) ** 1.5 * RBF(1.0),
    "fixed-part": ConstantKernel(2.0, "fixed") * RBF(ARD, "fixed") + Matern(0.7),
    "all-fixed": ConstantKernel(2.0, "fixed") * RBF(0.9, "fixed"),
    "half-fixed": RationalQuadratic(0.9, 1.4, alpha_bounds="fixed")
    + ExpSineSquared(1.2, 2.1, periodicity_bounds="fixed"),
}

ZOO = {**EXACT_LEAVES, **ROUGH_LEAVES, **COMPOSITES}


def rows(n, seed=0):
    """n rows in (0.1, 1.1)^3: non-negative, as the chi2 metrics ask."""
    return np.random.RandomState(seed).uniform(0.1, 1.1, (n, N_FEATURES))


class Numpy(RBF):
    """A user's kernel in NumPy, with a part that only rows with themselves have."""

    def __call__(self, X, Y=None, eval_gradient=False):
        if eval_gradient:
            return self(X), 2 * super().__call__(X, eval_gradient=True)[1]
        noise = 0.1 * np.eye(len(X)) if Y is None else 0.0
        return 2 * super().__call__(X, Y) + noise

    def diag(self, X):
        return np.full(len(X), 2.1)


class Tracked(RBF):
    """A user's kernel, in torch operations: registered below."""


class Derived(RBF):
    """A user's kernel with its own pullback, and no diagonal: registered below."""


class Looped(RBF):
    """A user's kernel that torch.vmap cannot follow: registered below."""


def _tracked(params, X, Z):
    scaled = (X[:, None] - Z) / params["length_scale"]
    return (1 / torch.cosh(scaled)).prod(-1)


def _derived(params, X, Z):
    K = params["length_scale"] * (X @ Z.mT)
    return K, lambda G: {"length_scale": (G * K).sum()}


def _looped(params, X, Z):
    spread = max(1.0, X.abs().max().item())  # vmap has no .item()
    return _tracked(params, X, Z) + 0 * spread


register_kernel(Tracked, _tracked, stationary=True)
register_kernel(Derived, _derived)
register_kernel(Looped, _looped)

# What users bring: not compared with scikit-learn's values, which only `Numpy` has.
OWN = {
    "numpy": Numpy(0.8) + WhiteKernel(0.3),
    "tracked": 1.3 * Tracked(ARD) + WhiteKernel(0.2),
    "derived": Derived(0.7) + WhiteKernel(0.2),
    "derived-times-noise": Derived(0.7) * (RBF(0.8) + WhiteKernel(0.2)),
    "looped": Looped(0.8) * DotProduct(0.7),
}
