"""ConstantKernel, WhiteKernel, DotProduct, and the metrics of PairwiseKernel."""

import torch
from sklearn.gaussian_process import kernels

from .distance import distance
from .leaf import nothing
from .registry import KernelRecord, register


def constant(params):
    """k(x, z) = c, kept as one number."""
    value = params["constant_value"]
    return value, lambda total: {"constant_value": value * total}


def zero(params):
    """The part of white noise between two rows, even equal ones."""
    return 0.0, nothing


def white_noise(params):
    """Noise of a row with itself."""
    value = params["noise_level"]
    return value, lambda total: {"noise_level": value * total}


def dot_product(params, X, Z):
    """sigma_0^2 + x'z (GPML 4.2.2)."""
    variance = params["sigma_0"] ** 2
    K = (X @ Z.mT).add_(variance)
    return K, lambda G: {"sigma_0": 2 * variance * G.sum()}


def dot_product_diag(params, X):
    variance = params["sigma_0"] ** 2
    return X.square().sum(-1) + variance, lambda g: {"sigma_0": 2 * variance * g.sum()}


def dot_product_slope(params, X, Z):
    K, _ = dot_product(params, X, Z)
    return K, lambda G: G @ Z


def lines_of_dot_product(kernel, rng, shape):
    """sigma_0 e_0 + e' x with normal e."""
    slopes = rng.standard_normal(shape)
    return slopes, kernel.sigma_0 * rng.standard_normal(shape[:-1])


def pairwise(params, X, Z):
    """The metric of a PairwiseKernel, with its derivative in log gamma."""
    options = params["pairwise_kernels_kwargs"] or {}
    gamma = params["gamma"]
    return _METRICS[params["metric"]](X, Z, gamma, **options)


def _linear(X, Z, gamma):
    return X @ Z.mT, lambda G: {}


def _cosine(X, Z, gamma):
    X, Z = (A / A.norm(dim=-1, keepdim=True).clamp_min(1e-300) for A in (X, Z))
    return X @ Z.mT, lambda G: {}


def _polynomial(X, Z, gamma, degree=3, coef0=1):
    product = gamma * (X @ Z.mT)
    base = product + coef0
    slope = degree * product
    return base**degree, lambda G: {"gamma": (G * slope * base ** (degree - 1)).sum()}


def _sigmoid(X, Z, gamma, coef0=1):
    product = gamma * (X @ Z.mT)
    K = torch.tanh(product + coef0)
    return K, lambda G: {"gamma": (G * product * (1 - K.square())).sum()}


def _decay(dissimilarity):
    """exp(-gamma D(x, z)) for a dissimilarity D."""

    def metric(X, Z, gamma):
        D = dissimilarity(X, Z)
        K = torch.exp(-gamma * D)
        return K, lambda G: {"gamma": -gamma * (G * K * D).sum()}

    return metric


def _chi2_distance(X, Z):
    """sum_k (x_k - z_k)^2 / (x_k + z_k), for rows without negative entries."""
    if X.min() < 0 or Z.min() < 0:
        raise ValueError(
            "The metrics 'chi2' and 'additive_chi2' of PairwiseKernel need X without "
            f"negative values. Got a minimum of {min(X.min(), Z.min()).item():.3g}; "
            "use non-negative features (histograms, counts) or another metric."
        )
    D = 0.0
    for k in range(X.shape[-1]):
        x, z = X[..., k, None], Z[..., None, :, k]
        total = x + z
        D = D + torch.where(total > 0, (x - z).square() / total, 0.0)
    return D


def _additive_chi2(X, Z, gamma):
    return -_chi2_distance(X, Z), lambda G: {}


_METRICS = {
    "linear": _linear,
    "cosine": _cosine,
    "poly": _polynomial,
    "polynomial": _polynomial,
    "sigmoid": _sigmoid,
    "rbf": _decay(lambda X, Z: distance(X, Z).square_()),
    "laplacian": _decay(lambda X, Z: torch.cdist(X, Z, p=1)),
    "chi2": _decay(_chi2_distance),
    "additive_chi2": _additive_chi2,
}


def _known_metric(kernel):
    options = set(kernel.pairwise_kernels_kwargs or {})
    known = {"poly": {"degree", "coef0"}, "sigmoid": {"coef0"}}
    known["polynomial"] = known["poly"]
    return (
        isinstance(kernel.metric, str)
        and kernel.metric in _METRICS
        and options <= known.get(kernel.metric, set())
    )


register(
    kernels.ConstantKernel,
    KernelRecord(constant, constant, inputs="none", few=True),
)
register(
    kernels.WhiteKernel,
    KernelRecord(zero, zero, nugget=white_noise, inputs="none", few=True),
)
register(
    kernels.DotProduct,
    KernelRecord(
        dot_product,
        dot_product_diag,
        slope=dot_product_slope,
        lines=lines_of_dot_product,
    ),
)
register(kernels.PairwiseKernel, KernelRecord(pairwise, accepts=_known_metric))
