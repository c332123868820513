"""Random functions whose covariance is a kernel: the prior, written down.

Of a kernel k we draw functions phi with E phi(x) phi(z) = k(x, z), exactly:

- stationary: sqrt(2) cos(omega' x + b), omega from the spectral density of k, b uniform
  (Bochner; GPML 4.2.1), with weights where omega is drawn otherwise (see `tails`);
- a random line, DotProduct: sigma_0 e_0 + e' x with normal e;
- a product of kernels: the product of such functions; a sum: each part on its own.

A normally weighted mean of D of them is normal as D grows; its covariance, over all
that is random, is k at every D. (A wave's amplitude is Rayleigh's in place of normal:
given omega the mean is normal then, and its law the same everywhere.) White noise is no
function and has none.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from .._data.arrays import own_or_copy
from .registry import lookup


@dataclass(frozen=True)
class Term:
    """variance times a product of kernels with frequencies (`waves`) or `lines`.

    Both are functions ``draw(rng, shape)``, as the records of kernels have them.
    """

    variance: float
    waves: tuple = ()
    lines: tuple = ()

    def __mul__(self, other):
        return Term(
            self.variance * other.variance,
            self.waves + other.waves,
            self.lines + other.lines,
        )

    def of_columns(self, index):
        """The same term, of some of the columns of the rows."""
        return Term(
            self.variance,
            tuple(_embedded(draw, index) for draw in self.waves),
            tuple(_embedded(draw, index) for draw in self.lines),
        )


def _embedded(draw, index):
    """Draws for rows of which `draw` knows some columns only."""

    def wide(rng, shape):
        drawn = draw(rng, (*shape[:-1], len(index)))
        own, *offset = drawn if isinstance(drawn, tuple) else (drawn,)
        slopes = np.zeros(shape)
        slopes[..., index] = own
        return (slopes, *offset) if offset else slopes

    return wide


def terms(kernel, d=None):
    """The kernel on d columns as a list of Terms; ValueError where there is none."""
    entry = lookup(kernel)
    if entry is not None and entry.terms is not None:
        return entry.terms(kernel, d, terms)
    if entry is not None and entry.inputs == "none":
        value = entry.dense(kernel.get_params(deep=False))[0]
        return [Term(value)] if value else []
    if entry is not None and entry.lines is not None:
        return [Term(1.0, lines=(partial(entry.lines, kernel),))]
    if entry is not None and entry.frequencies is not None:
        return [Term(1.0, waves=(partial(entry.frequencies, kernel),))]
    raise ValueError(
        f"The 'kernel' parameter has a part, {kernel}, without random features. "
        "sample_paths allows sums, products and small integer powers of RBF, Matern, "
        "RationalQuadratic, ExpSineSquared (one feature), DotProduct, ConstantKernel "
        "and WhiteKernel, and of the stationary kernels of sklearn_torchgp.kernels. "
        "Use sample_y for draws at given rows."
    )


class PriorPaths:
    """Functions drawn from the prior of one Term.

    Parameters
    ----------
    term : Term
    n_features : int
        Random functions in each path.
    n_paths : int
    d : int
        Number of columns of X.
    rng : RandomState
    """

    def __init__(self, term, n_features, n_paths, d, rng):
        D = n_features if term.waves or term.lines else 1
        shape = n_paths, D, d
        self.omega, share = np.zeros(shape), np.ones((n_paths, D))
        for draw in term.waves:
            omega, weight = draw(rng, shape)
            self.omega += omega
            share *= weight
        self.wave = bool(term.waves)
        self.phase = rng.uniform(0, 2 * math.pi, (n_paths, D))
        self.lines = [draw(rng, shape) for draw in term.lines]
        size = np.sqrt(term.variance / D * share)
        if self.wave:
            self.weight = size * np.sqrt(rng.chisquare(2, (n_paths, D)))
        else:
            self.weight = size * rng.standard_normal((n_paths, D))

    def __call__(self, X):
        """The paths at X: tensor (m, n_paths) in float64, for an ndarray X (m, d)."""
        X = own_or_copy(np.ascontiguousarray(X, dtype=np.float64))
        X = torch.from_numpy(X)
        values = []
        for p, weight in enumerate(self.weight):
            phi = torch.ones(len(X), len(weight), dtype=torch.float64)
            if self.wave:
                phi = X @ torch.from_numpy(self.omega[p]).mT
                phi.add_(torch.from_numpy(self.phase[p])).cos_()
            for slope, offset in self.lines:
                line = X @ torch.from_numpy(slope[p]).mT
                phi *= line + torch.from_numpy(offset[p])
            values.append(phi @ torch.from_numpy(weight))
        return torch.stack(values, dim=1)
