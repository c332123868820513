"""How k(x, z) changes with x: what gradients of predictions are made of.

The nodes of a kernel tree answer `slope` where their record has one. What has none is
differenced here: twice d evaluations, in float64, as differences of float32 values are
noise.
"""

import numpy as np
import torch

from .._linalg.precision import double


def by_autograd(dense):
    """The `slope` of a record whose `dense` is written in torch operations.

    It answers None where autograd finds no way from the value to the rows.
    """

    def slope(params, X, Z):
        with torch.enable_grad():
            X = X.detach().requires_grad_()
            K = dense(params, X, Z)
        if not K.requires_grad:
            return None

        def pull(G):
            return torch.autograd.grad(K, X, G, retain_graph=True)[0]

        return K.detach(), pull

    return slope


def diag_slope(tree, at, points, *, noise):
    """d k(x_i, x_i) / dx_i: (m, d); k is symmetric, so it is twice `slope` at z = x."""
    slopes = []
    for start in range(0, points.n, 64):
        rows = points[slice(start, min(start + 64, points.n))]
        twice = 2 * torch.eye(rows.n, dtype=points.dtype, device=points.device)
        slopes.append(_as_slope(tree.slope(at, rows, rows)[1](twice), rows))
    total = torch.cat(slopes)
    if noise and isinstance(tree.nugget(at, points)[0], torch.Tensor):
        wide = _in_double(at)
        total = total + _differences(points, lambda Z: tree.nugget(wide, Z)[0])
    return total


def _as_slope(value, rows):
    return value if isinstance(value, torch.Tensor) else rows.zeros(*rows.raw.shape)


def differenced(node, at, rows, cols):
    """The slope of a node by central differences."""
    value, _ = node.dense(at, rows, cols)
    wide, others = _in_double(at), cols.double()

    def pull(G):
        G = double(G)
        return _differences(
            rows, lambda Z: (G * node.dense(wide, Z, others)[0]).sum(1), reference=cols
        )

    return value, pull


def _in_double(at):
    """The parameters of every leaf, for points in float64."""
    return [
        {name: _wide(value) for name, value in params.items()}
        if isinstance(params, dict)
        else params
        for params in at
    ]


def _wide(value):
    return double(value) if isinstance(value, torch.Tensor) else value


def _differences(points, function, reference=None):
    """Central differences (m, d) of function(points in float64) -> (m,), row by row."""
    X = np.asarray(points.objects, dtype=np.float64)
    near = X if reference is None else np.asarray(reference.objects, dtype=np.float64)
    steps = 6e-6 * np.maximum(np.ptp(near, axis=0), 1e-4 * np.abs(X).max(axis=0))
    slopes, wide = points.zeros(*X.shape), points.double()
    for k, step in enumerate(np.where(steps > 0, steps, 6e-6)):
        shift = np.zeros_like(X)
        shift[:, k] = step
        up, down = (function(wide.others(X + s)) for s in (shift, -shift))
        slopes[:, k] = (up - down) / (2 * step)
    return slopes
