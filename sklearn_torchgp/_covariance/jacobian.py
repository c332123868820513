"""K and its derivatives in theta as arrays: what scikit-learn's kernels return.

Our kernels know pullbacks only, G -> sum_ij G_ij dK_ij / dtheta. They are linear in G,
so the derivative of the pullback in G is dK / dtheta: one backward pass for each
hyperparameter.
"""

import numpy as np
import torch

from .operators import weights_for


def gram_and_jacobian(covariance):
    """K(X, X) with its noise, (n, n), and dK / dtheta, (n, n, p), as ndarrays."""
    theta = covariance.own_theta
    n, p = covariance.points.n, covariance.n_dims
    K = covariance.full().numpy()
    if not p:
        return K, np.empty((n, n, 0))
    try:
        columns = _through_the_pullback(covariance, p)
    except (RuntimeError, TypeError):  # a pullback that torch cannot follow
        columns = _by_differences(covariance, theta)
    return K, np.stack(columns, axis=-1)


def _through_the_pullback(covariance, p):
    at, points = covariance.at(), covariance.points
    G = points.zeros(points.n, points.n).requires_grad_()
    grads = []
    value, pull = at.tree.dense(at.params, points, points)
    pull(weights_for(value, G), 1.0, grads)
    noise, pull_noise = at.tree.nugget(at.params, points)
    pull_noise(weights_for(noise, G.diagonal()), 1.0, grads)
    gradient = [points.zeros() for _ in range(p)]
    for place, scale, term in grads:
        if not isinstance(term, torch.Tensor):
            raise TypeError("a pullback that is not written in torch")
        for i, part in zip(np.arange(p)[place], term.reshape(-1), strict=True):
            gradient[i] = gradient[i] + scale * part
    return [_derivative(one, G) for one in gradient]


def _derivative(number, G):
    if not number.requires_grad:  # a hyperparameter of no effect
        return np.zeros(G.shape)
    (found,) = torch.autograd.grad(number, G, retain_graph=True)
    return found.numpy()


def _by_differences(covariance, theta, step=1e-5):
    steps = step * np.eye(len(theta))
    pairs = ((covariance.full(theta=theta + s * e) for s in (1, -1)) for e in steps)
    return [((up - down) / (2 * step)).numpy() for up, down in pairs]
