"""What the contract tests run over: one entry here, and a newcomer has its tests."""

import numpy as np
import torch
from dense_formulas import log_normal
from scipy.stats import multivariate_normal
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp._inference import (
    Exact,
    Inducing,
    InducingSites,
    MulticlassMethod,
    SiteMethod,
    Vecchia,
    loo_log_density,
    mixed_evidence,
)
from sklearn_torchgp._inference.sites.ep import ep
from sklearn_torchgp._inference.sites.laplace import laplace
from sklearn_torchgp._inference.sites.multiclass_ep import multiclass_ep
from sklearn_torchgp._inference.sites.softmax_laplace import softmax_laplace
from sklearn_torchgp._inference.sites.vi import vi
from sklearn_torchgp._likelihoods import (
    Bernoulli,
    Likelihood,
    MultinomialProbit,
    Softmax,
)
from sklearn_torchgp._likelihoods.gaussian import Basis, Observations
from sklearn_torchgp._model.model import Model
from sklearn_torchgp._regression.trend import trend_columns

N = 14
RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (N, 2))
Y = np.c_[np.sin(X.sum(1)), np.cos(X[:, 0])] + 0.1 * RNG.randn(N, 2)
NOISE = RNG.uniform(0.05, 0.2, N)
WEIGHT = RNG.uniform(0.3, 3.0, N)
KERNEL = ConstantKernel(1.3) * RBF([0.8, 1.4]) + WhiteKernel(0.15)
QUIET = ConstantKernel(1.3) * RBF([0.8, 1.4])


def tensor(array):
    return torch.as_tensor(np.asarray(array, dtype=float))


def covariance(kernel, X=X):
    return Covariance(kernel, X, dtype=torch.float64, device=torch.device("cpu"))


class GaussianTerms(Likelihood):
    """y = f + e as a likelihood of terms, which every method must find exact."""

    def __init__(self, y, noise):
        self.y, self.noise = y, noise

    def log_p(self, f):
        square = (self.y - f).square() / self.noise
        return -0.5 * (square + (2 * np.pi * self.noise).log())

    def probability(self, f):
        return f

    def rows(self, index):
        return GaussianTerms(self.y[index], self.noise[index])


class PlainBernoulli(Likelihood):
    """A Bernoulli likelihood that is its log p: everything else by default."""

    def __init__(self, closed):
        self.closed, self.bends = closed, closed.bends

    def log_p(self, f):
        return self.closed.log_p(f)


LABELS = tensor(np.where(Y[:, 0] > 0, 1.0, -1.0))
TERMS = GaussianTerms(tensor(Y[:, 0]), tensor(NOISE))
LIGHT = tensor(np.minimum(WEIGHT, 1.0))
LIKELIHOODS = {
    "logit": Bernoulli("logit", LABELS),
    "probit": Bernoulli("probit", LABELS),
    "logit-weights": Bernoulli("logit", LABELS, LIGHT),
    "probit-weights": Bernoulli("probit", LABELS, LIGHT),
}


def observed(targets=1, noise=NOISE, **options):
    noise = noise if isinstance(noise, float) else tensor(noise)
    return Observations(tensor(Y[:, :targets]), noise, **options)


def trend(mean):
    return Basis(trend_columns(mean, X), X, tensor(Y))


def softmax_likelihood(n_classes, weight=None):
    codes = np.arange(N) % n_classes
    return Softmax(tensor(np.eye(n_classes)[codes].T), weight)


def dense(K, targets=1, noise=NOISE):
    """log p(y) of plain observations."""
    C = K + np.diag(np.broadcast_to(noise, N))
    return sum(log_normal(y, np.zeros(N), C) for y in Y[:, :targets].T)


def dense_by_target(K, noise):
    return sum(dense_one(K, y, n) for y, n in zip(Y.T, noise.T, strict=True))


def dense_one(K, y, noise):
    return log_normal(y, np.zeros(N), K + np.diag(noise))


def dense_with_trend(K, H):
    """The limit of a prior N(0, s^2 I) on the coefficients, log s taken out."""
    C = K + np.diag(NOISE)
    inverse = np.linalg.inv(C)
    A = H.T @ inverse @ H
    P = inverse - inverse @ H @ np.linalg.solve(A, H.T @ inverse)
    logs = np.linalg.slogdet(C)[1] + np.linalg.slogdet(A)[1]
    y, p = Y[:, 0], H.shape[1]
    return -0.5 * (y @ P @ y + logs + (N - p) * np.log(2 * np.pi))


def dense_loo(K):
    """Every row told by the others, one after the other."""
    C, total = K + np.diag(NOISE), 0.0
    for i in range(N):
        rest = np.arange(N) != i
        b = np.linalg.solve(C[rest][:, rest], C[rest, i])
        total += multivariate_normal(b @ Y[rest, 0], C[i, i] - b @ C[rest, i]).logpdf(
            Y[i, 0]
        )
    return total


def with_ones(X):
    return np.c_[np.ones(N), X]


# Every row near every other: with it Vecchia's approximation is exact.
ALL_NEAR = Vecchia(N - 1, N)
# Inducing points at the rows: with them the bound is exact, but for its jitter.
AT_ROWS, AT_FEW = Inducing(X), Inducing(X[:5] + 0.1)
SCATTER2 = tensor(RNG.uniform(0.0, 0.3, (N, 2)))
SCATTER = SCATTER2[:, :1]
NOISE_BY_TARGET = np.c_[NOISE, NOISE[::-1]]

# Name -> model, its value by dense formulas (or by its limit), relative tolerance.
MODELS = {
    "exact": (Exact(), KERNEL, observed(), dense, 1e-11),
    "exact-targets": (Exact(), KERNEL, observed(2), lambda K: dense(K, 2), 1e-11),
    "exact-number": (
        Exact(), KERNEL, observed(noise=0.1), lambda K: dense(K, noise=0.1), 1e-11
    ),
    "exact-by-target": (
        Exact(), KERNEL, observed(2, NOISE_BY_TARGET),
        lambda K: dense_by_target(K, NOISE_BY_TARGET), 1e-11,
    ),
    "exact-unit-weights": (
        Exact(), KERNEL, observed(weight=tensor(np.ones(N))), dense, 1e-11
    ),
    "exact-constant": (
        Exact(), KERNEL, observed(basis=trend("constant")),
        lambda K: dense_with_trend(K, np.ones((N, 1))), 1e-9,
    ),
    "exact-linear": (
        Exact(), KERNEL, observed(basis=trend("linear")),
        lambda K: dense_with_trend(K, with_ones(X)), 1e-9,
    ),
    "exact-weights": (Exact(), KERNEL, observed(weight=tensor(WEIGHT)), None, None),
    "loo": (Exact(loo_log_density), KERNEL, observed(), dense_loo, 1e-10),
    "loo-weights": (
        Exact(loo_log_density), KERNEL, observed(weight=tensor(WEIGHT)), None, None
    ),
    "mixed": (Exact(mixed_evidence), KERNEL, observed(), dense, 1e-5),
    "laplace": (SiteMethod(laplace), QUIET, TERMS, dense, 1e-10),
    "ep": (SiteMethod(ep), QUIET, TERMS, dense, 1e-10),
    "vi": (SiteMethod(vi), QUIET, TERMS, dense, 1e-10),
    "laplace-logit": (SiteMethod(laplace), QUIET, LIKELIHOODS["logit"], None, None),
    "ep-probit": (SiteMethod(ep), QUIET, LIKELIHOODS["probit"], None, None),
    "vi-logit": (SiteMethod(vi), QUIET, LIKELIHOODS["logit"], None, None),
    "softmax": (
        MulticlassMethod(softmax_laplace), QUIET, softmax_likelihood(3), None, None
    ),
    "multiclass-ep": (
        MulticlassMethod(multiclass_ep), QUIET, softmax_likelihood(3), None, None
    ),
    "multiclass-ep-probit": (
        MulticlassMethod(multiclass_ep), QUIET,
        MultinomialProbit(softmax_likelihood(3).y), None, None,
    ),
    "vecchia": (ALL_NEAR, KERNEL, observed(), dense, 1e-11),
    "vecchia-targets": (ALL_NEAR, KERNEL, observed(2), lambda K: dense(K, 2), 1e-11),
    "vecchia-by-target": (
        ALL_NEAR, KERNEL, observed(2, NOISE_BY_TARGET),
        lambda K: dense_by_target(K, NOISE_BY_TARGET), 1e-11,
    ),
    "vecchia-constant": (
        ALL_NEAR, KERNEL, observed(basis=trend("constant")),
        lambda K: dense_with_trend(K, np.ones((N, 1))), 1e-9,
    ),
    "vecchia-linear": (
        ALL_NEAR, KERNEL, observed(basis=trend("linear")),
        lambda K: dense_with_trend(K, with_ones(X)), 1e-9,
    ),
    "vecchia-weights": (
        ALL_NEAR, KERNEL, observed(weight=tensor(WEIGHT)), None, None
    ),
    "vecchia-few": (Vecchia(3, 5), KERNEL, observed(2), None, None),
    "vecchia-few-weights": (
        Vecchia(3, 5), KERNEL, observed(weight=tensor(WEIGHT), scatter=SCATTER),
        None, None,
    ),
    "vecchia-few-linear": (
        Vecchia(3, 5), KERNEL, observed(2, basis=trend("linear")), None, None
    ),
    "vecchia-drawn": (
        Vecchia(3, 5, n_terms=6), KERNEL, observed(basis=trend("constant")), None, None
    ),
    "vecchia-loo": (
        Vecchia(3, N, leaving_out=True), KERNEL, observed(), dense_loo, 1e-10
    ),
    "vecchia-loo-weights": (
        Vecchia(3, 5, leaving_out=True), KERNEL,
        observed(2, weight=tensor(WEIGHT), scatter=SCATTER2), None, None,
    ),
    "inducing": (AT_ROWS, KERNEL, observed(), dense, 1e-10),
    "inducing-targets": (
        AT_ROWS, KERNEL, observed(2), lambda K: dense(K, 2), 1e-10
    ),
    "inducing-number": (
        AT_ROWS, KERNEL, observed(noise=0.1), lambda K: dense(K, noise=0.1), 1e-10
    ),
    "inducing-by-target": (
        AT_ROWS, KERNEL, observed(2, NOISE_BY_TARGET),
        lambda K: dense_by_target(K, NOISE_BY_TARGET), 1e-10,
    ),
    "inducing-constant": (
        AT_ROWS, KERNEL, observed(basis=trend("constant")),
        lambda K: dense_with_trend(K, np.ones((N, 1))), 1e-10,
    ),
    "inducing-linear": (
        AT_ROWS, KERNEL, observed(basis=trend("linear")),
        lambda K: dense_with_trend(K, with_ones(X)), 1e-10,
    ),
    "inducing-by-target-linear": (
        AT_ROWS, KERNEL, observed(2, NOISE_BY_TARGET, basis=trend("linear")),
        None, None,
    ),
    "inducing-weights": (
        AT_ROWS, KERNEL, observed(weight=tensor(WEIGHT), scatter=SCATTER), None, None
    ),
    "inducing-few": (AT_FEW, KERNEL, observed(2), None, None),
    "inducing-few-by-target": (
        AT_FEW, KERNEL, observed(2, NOISE_BY_TARGET), None, None
    ),
    "inducing-few-linear": (
        AT_FEW, KERNEL, observed(2, basis=trend("linear")), None, None
    ),
    "sites": (InducingSites(X), QUIET, TERMS, dense, 1e-10),
    "sites-white": (
        InducingSites(X[:5] + 0.1), KERNEL, LIKELIHOODS["logit"], None, None
    ),
    "sites-logit": (
        InducingSites(X[:5] + 0.1), QUIET, LIKELIHOODS["logit"],
        None, None,
    ),
    "sites-probit-weights": (
        InducingSites(X[:5] + 0.1), QUIET,
        LIKELIHOODS["probit-weights"], None, None,
    ),
    "softmax-weights": (
        MulticlassMethod(softmax_laplace), QUIET,
        softmax_likelihood(3, tensor(WEIGHT)), None, None,
    ),
}  # fmt: skip


def model_of(name):
    method, kernel, likelihood, _, _ = MODELS[name]
    return Model(covariance(kernel), likelihood, method)
