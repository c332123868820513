"""SpectralMixture: any stationary kernel, as a mixture of Gaussians in its spectrum."""

import math
from functools import partial
from numbers import Integral

import numpy as np
import torch

from .._covariance.distance import Separation
from .._covariance.features import Term
from .._covariance.phases import cosine, sines_of_rows, weighted_sines
from .._covariance.registry import KernelRecord, register
from .._covariance.stationary import exp_
from ._base import Kernel
from ._spectrum import peaks


class SpectralMixture(Kernel):
    """k = sum_q w_q prod_k exp(-2 pi^2 s_qk^2 t_k^2) cos(2 pi m_qk t_k), t = x - z.

    Its spectral density is a mixture of Gaussians with weights w, means m (frequencies,
    in cycles a unit of the feature) and standard deviations s (Wilson and Adams 2013,
    "Gaussian process kernels for pattern discovery and extrapolation", eq. 12). The
    evidence has many optima in the frequencies: where to start matters.

    Parameters
    ----------
    n_components : int, default=4
        Q.
    weights : array-like of shape (Q,), default=None
    means, scales : array-like of shape (Q,) or (Q, d), default=None
        Of shape (Q,) for all features alike. None, of these or of `weights`: one of our
        estimators takes, before it optimises, the highest peaks of the periodogram of y
        along each feature; the kernel that it fits has the values. Elsewhere call
        ``kernel.start(X, y)`` first: without data None stands for weights 1 / Q, means
        0.25, 0.5 .. and scales 0.25.
    weights_bounds, means_bounds, scales_bounds : pair, "fixed", or a list with one of \
            these for each element, default=(1e-5, 1e5)

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_torchgp.kernels import SpectralMixture
    >>> X = np.linspace(0, 10, 80)[:, None]
    >>> y = np.sin(2 * np.pi * 1.5 * X[:, 0])
    >>> kernel = SpectralMixture(n_components=1).start(X, y)
    >>> kernel.means.round(1)
    array([[1.5]])
    """

    parameters = ("weights", "means", "scales")
    may_be_zero = ("weights", "means")
    stationary = True

    def __init__(
        self,
        n_components=4,
        weights=None,
        means=None,
        scales=None,
        weights_bounds=(1e-5, 1e5),
        means_bounds=(1e-5, 1e5),
        scales_bounds=(1e-5, 1e5),
    ):
        self.n_components = n_components
        self.weights = weights
        self.means = means
        self.scales = scales
        self.weights_bounds = weights_bounds
        self.means_bounds = means_bounds
        self.scales_bounds = scales_bounds

    def start(self, X, y):
        """A copy whose values that are None are taken from the data.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,) or (n, t)
            Of several targets the first is looked at.

        Returns
        -------
        kernel : SpectralMixture
        """
        kernel = type(self)(**self.get_params(deep=False))
        kernel.acquaint(None, np.asarray(X, dtype=float), np.asarray(y, dtype=float))
        return kernel

    def acquaint(self, names, X, y):
        given = {name: getattr(self, name) for name in self.parameters}
        if X is None or all(value is not None for value in given.values()):
            return
        self._check_components()
        found = peaks(np.asarray(X, dtype=np.float64), y, self.n_components)
        for (name, value), start in zip(given.items(), found, strict=True):
            if value is None:
                setattr(self, name, start)

    def check(self, n_features):
        self._check_components()
        Q = self.n_components
        for name, form in self.forms().items():
            allowed = [(Q,)] if name == "weights" else [(Q,), (Q, n_features)]
            if form.value.shape not in allowed and not (Q == form.value.size == 1):
                raise ValueError(
                    f"The {name!r} parameter of SpectralMixture must be of shape "
                    f"{' or '.join(map(str, allowed))}. Got {form.value.shape}: "
                    f"{getattr(self, name)!r}."
                )

    def _check_components(self):
        Q = self.n_components
        if not isinstance(Q, Integral) or Q is True or Q < 1:
            raise ValueError(
                "The 'n_components' parameter of SpectralMixture must be an integer of "
                f"at least 1. Got {Q!r} instead."
            )

    def _value(self, name):
        value, Q = getattr(self, name), self.n_components
        if value is not None:
            return value
        self._check_components()
        default = {
            "weights": np.full(Q, 1 / Q),
            "means": 0.25 * np.arange(1, Q + 1),
            "scales": np.full(Q, 0.25),
        }
        return default[name]


class _Component:
    """One Gaussian of the spectrum: exp(-r^2 / 2) prod_k cos_k on two sets of rows."""

    def __init__(self, mean, scale, X, Z):
        self.mean, self.scale = 2 * math.pi * mean, 2 * math.pi * scale
        self.apart = Separation(X * self.scale, Z * self.scale)
        self.phi, self.psi = X * self.mean, Z * self.mean
        self.decay = exp_(self.apart.squared(1.0), -0.5)

    def value(self):
        return self._times(self.decay, range(self.phi.shape[-1]))

    def without(self, k):
        """The value without the cosine of feature k."""
        return self._times(self.decay, [j for j in range(len(self.mean)) if j != k])

    def _times(self, value, features):
        for k in features:
            value = value * cosine(self.phi[..., k : k + 1], self.psi[..., k : k + 1])
        return value


def _components(params, X, Z):
    """Each component's weight, and a function that makes it."""
    d, weights = X.shape[-1], params["weights"].reshape(-1)
    means, scales = (
        params[name].reshape(len(weights), -1).expand(-1, d)
        for name in ("means", "scales")
    )
    return [
        (w, partial(_Component, m, s, X, Z))
        for w, m, s in zip(weights, means, scales, strict=True)
    ]


def _dense(params, X, Z):
    components = _components(params, X, Z)
    K = sum(w * make().value() for w, make in components)

    def pullback(G):
        gains = [_gains(w, make(), G) for w, make in components]
        by_weight, *others = (torch.stack(gain) for gain in zip(*gains, strict=True))
        found = {"weights": by_weight}
        for name, gain in zip(("means", "scales"), others, strict=True):
            each = params[name].numel() == gain.numel()
            found[name] = gain.reshape(-1) if each else gain.sum(-1)
        return found

    return K, pullback


def _gains(w, component, G):
    """What the logarithms of weight, means and scales of one component gain."""
    W = w * G * component.value()
    d = len(component.mean)
    by_scale = -component.apart.weighted(W, W.new_ones(d))
    by_mean = []
    for k in range(d):
        phases = component.phi[..., k : k + 1], component.psi[..., k : k + 1]
        by_mean.append(-weighted_sines(w * G * component.without(k), *phases))
    return W.sum(), torch.cat(by_mean), by_scale


def _slope(params, X, Z):
    components = _components(params, X, Z)
    K = sum(w * make().value() for w, make in components)

    def pull(G):
        return sum(_slope_of(w, make(), G) for w, make in components)

    return K, pull


def _slope_of(w, component, G):
    slopes = component.scale * component.apart.slope(w * G * component.value(), 1.0)
    for k, m in enumerate(component.mean):
        phases = component.phi[..., k : k + 1], component.psi[..., k : k + 1]
        sines = sines_of_rows(w * G * component.without(k), *phases)
        slopes[..., k] -= m * sines[..., 0]
    return slopes


def _diag(params, X):
    weights = params["weights"].reshape(-1)
    value = weights.sum().expand(X.shape[:-1])
    return value, lambda g: {"weights": weights * g.sum()}


def _terms(kernel, d, terms):
    kernel.check(d)
    forms, Q = kernel.forms(), kernel.n_components
    weights = forms["weights"].value.reshape(Q)
    means, scales = (
        np.broadcast_to(forms[name].value.reshape(Q, -1), (Q, d))
        for name in ("means", "scales")
    )

    def frequencies(rng, shape):
        q = rng.choice(Q, shape[:-1], p=weights / weights.sum())
        sign = rng.choice([-1.0, 1.0], shape)
        normal = rng.standard_normal(shape)
        return 2 * math.pi * (sign * means[q] + scales[q] * normal), 1.0

    return [Term(float(weights.sum()), waves=(frequencies,))]


register(
    SpectralMixture,
    KernelRecord(
        _dense,
        _diag,
        slope=_slope,
        terms=_terms,
        inputs="centred",
        tensors=True,
        check=SpectralMixture.check,
    ),
)
