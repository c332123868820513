"""Kernels that the contract tests and the parity tests run over."""

from itertools import combinations, pairwise

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
from sklearn_torchgp.kernels import (
    Additive,
    Categorical,
    ChangePoint,
    Columns,
    Coregion,
    DeepKernel,
    Periodic,
    Polynomial,
    SpectralMixture,
    Tanimoto,
    TiedMatern,
    TorchKernel,
)
from sklearn_torchgp.kernels import RationalQuadratic as ARDRationalQuadratic

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


class Cosine(TorchKernel):
    """A user's kernel in one torch expression."""

    parameters = {"length_scale": 1.0, "amplitudes": [1.0, 0.5]}
    stationary = True

    def forward(self, X, Z):
        squares = ((X[:, None] - Z) / self.length_scale).square().sum(-1)
        return self.amplitudes[0] * torch.exp(-squares) + self.amplitudes[1]


def network(*widths):
    """A small network in float32, with a layer that is not trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [torch.nn.Linear(a, b) for a, b in pairwise(widths)]
    layers[0].bias.requires_grad_(False)
    return torch.nn.Sequential(layers[0], torch.nn.Tanh(), *layers[1:])


class Output(torch.nn.Module):
    """The number of one of three outputs, for any row: what a Coregion sees."""

    def forward(self, X):
        return (7 * X.sum(-1, keepdim=True) % 3).floor().clamp_max(2)


def _coregion(k, X, Z):
    """w_i' w_j, and kappa_i where i is j."""
    k, t = k.kernel, k.kernel.n_outputs
    W = np.reshape([] if k.W is None else k.W, (t, k.rank))
    i, j = (Output()(torch.from_numpy(A)).numpy().astype(int)[:, 0] for A in (X, Z))
    return np.array(
        [[W[a] @ W[b] + (a == b) * np.asarray(k.kappa)[a] for b in j] for a in i]
    )


def _pairs(function):
    """The matrix of a function of two rows (and the kernel)."""

    def matrix(kernel, X, Z):
        return np.array([[function(kernel, x, z) for z in Z] for x in X])

    return matrix


@_pairs
def _cosine(k, x, z):
    r2 = np.sum(((x - z) / k.length_scale) ** 2)
    return k.amplitudes[0] * np.exp(-r2) + k.amplitudes[1]


def _columns(k, X, Z):
    """Of RBF on columns 2 and 0."""
    X, Z = X[:, [2, 0]], Z[:, [2, 0]]
    return np.exp(-0.5 * _squares(X, Z, k.kernel.length_scale))


def _squares(X, Z, length_scale):
    return (((X[:, None] - Z) / length_scale) ** 2).sum(-1)


@_pairs
def _periodic(k, x, z):
    sines = np.sin(np.pi * (x - z) / k.periodicity) / k.length_scale
    return np.exp(-2 * np.sum(sines**2))


@_pairs
def _rational(k, x, z):
    r2 = np.sum(((x - z) / k.length_scale) ** 2)
    return (1 + r2 / (2 * k.alpha)) ** -k.alpha


@_pairs
def _matern(k, x, z):
    """Of nu = 5/2."""
    t = np.sqrt(5 * np.sum(((x - z) / k.length_scale) ** 2))
    return (1 + t + t**2 / 3) * np.exp(-t)


@_pairs
def _polynomial(k, x, z):
    return (k.sigma_0**2 + x @ z) ** k.degree


@_pairs
def _categorical(k, x, z):
    return np.exp(-np.sum((x != z) / np.asarray(k.length_scale)))


@_pairs
def _tanimoto(k, x, z):
    union = x @ x + z @ z - x @ z
    return k.variance * (x @ z / union if union else 1.0)


def _change(k, X, Z):
    """From RBF to a constant."""
    a, b = (
        1 / (1 + np.exp(-k.steepness * (A[:, k.feature] - k.location))) for A in (X, Z)
    )
    before = np.exp(-0.5 * _squares(X, Z, k.kernel_before.length_scale))
    return np.outer(1 - a, 1 - b) * before + np.outer(a, b) * (
        k.kernel_after.constant_value
    )


def _additive(k, X, Z):
    """Over all sets of features, of RBF."""
    d = X.shape[1]
    scales = np.broadcast_to(k.kernel.length_scale, d)
    z = [_squares(X[:, [i]], Z[:, [i]], scales[i]) for i in range(d)]
    z = [np.exp(-0.5 * one) for one in z]
    sets = {r: combinations(range(d), r) for r in range(1, k.max_order + 1)}
    return sum(
        v * sum(np.prod([z[i] for i in chosen], axis=0) for chosen in sets[r])
        for r, v in enumerate(np.atleast_1d(k.variances), 1)
    )


@_pairs
def _spectral(k, x, z):
    total, t = 0.0, x - z
    for q in range(k.n_components):
        m, s = (np.atleast_2d(np.asarray(v).T).T[q] for v in (k.means, k.scales))
        wave = np.exp(-2 * np.pi**2 * s**2 * t**2) * np.cos(2 * np.pi * m * t)
        total += k.weights[q] * np.prod(wave)
    return total


MIXTURE = dict(
    weights=[0.6, 1.1],
    means=[[0.4, 1.3, 0.7], [0.2, 0.5, 2.1]],
    scales=[[0.2, 0.3, 0.1], [0.15, 0.4, 0.25]],
)

# Name -> kernel of ours, its matrix by an independent formula.
OURS = {
    "torch-kernel": (Cosine(0.8, [1.2, 0.4]), _cosine),
    "columns": (Columns(RBF([0.7, 1.3]), [2, 0]), _columns),
    "periodic": (Periodic(1.2, 0.7), _periodic),
    "periodic-ard": (Periodic(ARD, [0.5, 0.8, 1.3]), _periodic),
    "rational-quadratic-ard": (ARDRationalQuadratic(ARD, 1.4), _rational),
    "tied-matern": (TiedMatern(0.8, nu=2.5), _matern),
    "tied-matern-ard": (TiedMatern(ARD, nu=2.5), _matern),
    "polynomial": (Polynomial(3, 0.7), _polynomial),
    "categorical": (Categorical(0.8), _categorical),
    "categorical-ard": (Categorical(ARD), _categorical),
    "tanimoto": (Tanimoto(1.3), _tanimoto),
    "coregion": (
        DeepKernel(Output(), Coregion(3, 1, [[1.2], [-0.4], [0.7]], [0.3, 0.2, 0.5])),
        _coregion,
    ),
    "coregion-partly-fixed": (
        DeepKernel(
            Output(),
            Coregion(
                3, 2, [[1.2, 0.1], [-0.4, 0.9], [0.7, -0.6]], [0.3, 0.0, 0.5],
                [(-3, 3), "fixed", *[(-2, 2)] * 4], [(0.1, 2), "fixed", (0.1, 2)],
            ),
        ),
        _coregion,
    ),
    "coregion-of-rank-0": (
        DeepKernel(Output(), Coregion(3, 0, kappa=[0.3, 0.2, 0.5])), _coregion,
    ),
    "change-point": (
        ChangePoint(
            RBF(ARD), ConstantKernel(1.3), 0.5, 4.0, 1, location_bounds=(0.1, 1.1)
        ),
        _change,
    ),
    "additive": (Additive(RBF(0.6), 3, [0.7, 0.4, 0.2]), _additive),
    "additive-ard": (Additive(RBF(ARD), 2, [0.7, 0.4]), _additive),
    "spectral-mixture": (SpectralMixture(2, **MIXTURE), _spectral),
    "spectral-mixture-one": (
        SpectralMixture(1, [1.1], [[0.4, 1.3, 0.7]], [0.3]), _spectral,
    ),
    "spectral-mixture-alike": (
        SpectralMixture(2, [0.6, 1.1], [0.4, 1.3], [0.2, 0.3]), _spectral,
    ),
}  # fmt: skip

# Theirs in compounds with each other and with noise, and with elements fixed.
OUR_COMPOSITES = {
    "columns-of-noise": Columns(RBF(0.8) + WhiteKernel(0.2), slice(0, 2))
    * Columns(Periodic(1.0, 0.7, periodicity_bounds="fixed"), 2)
    + WhiteKernel(0.1),
    "change-of-noise": ChangePoint(
        RBF(0.7) + WhiteKernel(0.1), Polynomial(2, 0.8) + WhiteKernel(0.3), 0.4, 3.0
    ),
    "additive-of-noise": Additive(
        ConstantKernel(0.8) * RBF(ARD) + WhiteKernel(0.2), 2, [0.5, 0.3]
    ),
    "partly-fixed": Periodic(ARD, 0.9, [(0.1, 10), "fixed", (0.2, 20)])
    * ARDRationalQuadratic(ARD, 1.2, ["fixed", (0.1, 10), "fixed"]),
    "within-each-other": Columns(
        Additive(Columns(Periodic(0.9), 0) ** 2, 1), [1, 2]
    ) + Columns(ChangePoint(RBF([0.5, 0.9]), Cosine(), 0.5), [0, 2]),
    "deep": 1.2 * DeepKernel(network(3, 4, 2), RBF([0.3, 0.5]) + WhiteKernel(0.1))
    + Columns(DeepKernel(network(2, 3, 1), DotProduct(0.5)), [0, 2]),
    "of-a-numpy-kernel": Columns(Numpy(0.8), [0, 1])
    + Additive(Numpy([0.5, 0.6, 0.7]), 2),
}  # fmt: skip

EVERY_OF_OURS = {name: kernel for name, (kernel, _) in OURS.items()} | OUR_COMPOSITES
