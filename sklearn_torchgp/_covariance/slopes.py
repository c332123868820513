"""How k(x, z) changes with x: what gradients of predictions are made of.

`slope` gives, for a node of the kernel tree, its values (m, n) and a function
``pull(G)`` -> sum_j G_ij dk(x_i, z_j) / dx_i, (m, d). For a function of
s = (x - z) / l and r = |s| that is -sum_j G_ij w(r_ij) s_ij / l with the same weight
w = -k'(r) / r that serves the derivative in l; w is finite at r = 0, or set to 0 where
the kernel has a kink there, so gradients are finite at training rows.

Kernels without an entry in the table are differenced: twice d evaluations.
"""

import math

import numpy as np
import torch
from sklearn.gaussian_process import kernels

from .distance import Separation, distance
from .operators import Exponentiation, Product, Sum
from .registry import lookup
from .stationary import _rough_weight, matern_profile, rbf


def slope(node, at, rows, cols):
    """Values and pull of a node; values may be one float, which pulls to nothing."""
    if isinstance(node, Sum):
        (a, pull_a), (b, pull_b) = (slope(c, at, rows, cols) for c in node.children)
        return a + b, lambda G: pull_a(G) + pull_b(G)
    if isinstance(node, Product):
        (a, pull_a), (b, pull_b) = (slope(c, at, rows, cols) for c in node.children)
        return a * b, lambda G: pull_a(G * b) + pull_b(G * a)
    if isinstance(node, Exponentiation):
        value, pull = slope(node.children[0], at, rows, cols)
        p = node.exponent
        return value**p, lambda G: pull(G * (p * value ** (p - 1)))
    function = _SLOPES.get(type(node.kernel)) if lookup(node.kernel) else None
    if function is not None:
        return function(at[node.index], rows, cols)
    return _differenced(node, at, rows, cols)


def diag_slope(tree, at, points, *, noise):
    """d k(x_i, x_i) / dx_i: (m, d); k is symmetric, so it is twice `slope` at z = x."""
    slopes = []
    for start in range(0, points.n, 64):
        rows = points[slice(start, min(start + 64, points.n))]
        twice = 2 * torch.eye(rows.n, dtype=points.dtype, device=points.device)
        slopes.append(_as_slope(slope(tree, at, rows, rows)[1](twice), rows))
    total = torch.cat(slopes)
    if noise and isinstance(tree.nugget(at, points)[0], torch.Tensor):
        total = total + _differences(points, lambda Z: tree.nugget(at, Z)[0])
    return total


def _as_slope(value, rows):
    return value if isinstance(value, torch.Tensor) else rows.zeros(*rows.raw.shape)


def _constant(params, rows, cols):
    return params["constant_value"], lambda G: 0.0


def _white(params, rows, cols):
    return 0.0, lambda G: 0.0


def _dot_product(params, rows, cols):
    K = rows.raw @ cols.raw.mT + params["sigma_0"] ** 2
    return K, lambda G: G @ cols.raw


def _rbf(params, rows, cols):
    K, _ = rbf(params, Separation(rows.centred, cols.centred))
    return K, lambda G: _radial_pull(G * K, rows, cols, params["length_scale"])


def _matern(params, rows, cols):
    nu, length_scale = params["nu"], params["length_scale"]
    if nu == math.inf:
        return _rbf(params, rows, cols)
    t = distance(rows.centred / length_scale, cols.centred / length_scale)
    t.mul_(math.sqrt(2 * nu))
    if nu > 1:
        weight = matern_profile(nu - 1, t).mul_(nu / (nu - 1))
    else:
        weight = _rough_weight(nu, t)
    K = matern_profile(nu, t)
    return K, lambda G: _radial_pull(G * weight, rows, cols, length_scale)


def _rational_quadratic(params, rows, cols):
    alpha, length_scale = params["alpha"], params["length_scale"]
    r = distance(rows.centred / length_scale, cols.centred / length_scale)
    base = 1 + r.square() / (2 * alpha)
    K = base**-alpha
    return K, lambda G: _radial_pull(G * K / base, rows, cols, length_scale)


def _exp_sine_squared(params, rows, cols):
    scale, period = 2 / params["length_scale"] ** 2, params["periodicity"]
    phase = distance(rows.centred, cols.centred).mul_(math.pi / period)
    K = torch.exp(-scale * phase.sin().square())
    # sin(phase) cos(phase) / phase, which is 1 at 0
    weight = torch.where(phase > 0, (2 * phase).sin() / (2 * phase), 1.0)
    weight = 2 * scale * (math.pi / period) ** 2 * weight * K
    return K, lambda G: _radial_pull(G * weight, rows, cols, 1.0)


def _radial_pull(M, rows, cols, length_scale):
    """-sum_j M_ij (x_i - z_j) / l^2."""
    X, Z = rows.centred / length_scale, cols.centred / length_scale
    return (M @ Z - M.sum(1, keepdim=True) * X) / length_scale


_SLOPES = {
    kernels.ConstantKernel: _constant,
    kernels.WhiteKernel: _white,
    kernels.DotProduct: _dot_product,
    kernels.RBF: _rbf,
    kernels.Matern: _matern,
    kernels.RationalQuadratic: _rational_quadratic,
    kernels.ExpSineSquared: _exp_sine_squared,
}


def _differenced(node, at, rows, cols):
    value, _ = node.dense(at, rows, cols)

    def pull(G):
        return _differences(
            rows, lambda Z: (G * node.dense(at, Z, cols)[0]).sum(1), reference=cols
        )

    return value, pull


def _differences(points, function, reference=None):
    """Central differences (m, d) of function(points) -> (m,), row by row."""
    X = np.asarray(points.objects, dtype=np.float64)
    near = X if reference is None else np.asarray(reference.objects, dtype=np.float64)
    steps = 6e-6 * np.maximum(np.ptp(near, axis=0), 1e-4 * np.abs(X).max(axis=0))
    slopes = points.zeros(*X.shape)
    for k, step in enumerate(np.where(steps > 0, steps, 6e-6)):
        shift = np.zeros_like(X)
        shift[:, k] = step
        up, down = (function(points.others(X + s)) for s in (shift, -shift))
        slopes[:, k] = (up - down) / (2 * step)
    return slopes
