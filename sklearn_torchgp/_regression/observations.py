"""Training rows, weights, known noise and trend -> the Gaussian likelihood."""

from dataclasses import replace

import numpy as np
import torch

from .._data.arrays import as_numpy
from .._data.rows import all_differ, distinct_rows, is_table
from .._likelihoods.gaussian import Basis, Observations, rounding_jitter


def observations(
    y,
    noise,
    *,
    weight=None,
    columns=None,
    X=None,
    given=None,
    scatter=None,
    y_given=None,
):
    """What exact inference is to condition on.

    Parameters
    ----------
    y : tensor (n,) or (n, t)
    noise : float, ndarray (n,) or (n, t)
    weight : array (n,), default=None
    columns : TrendColumns, default=None
        Of a trend at the rows X.
    given : (ndarray (m,) of int, ndarray (m,)), default=None
    scatter, y_given : ndarray (n, t) and (m, t), default=None
        As in `Rows`.
    """
    y = y[:, None] if y.ndim == 1 else y
    n_copies = len(y)
    if weight is not None:
        weight = torch.as_tensor(as_numpy(weight)).to(y)
        n_copies = weight.sum().item()
    if given is not None:
        group, own = given
        given = torch.from_numpy(group).to(y.device), torch.from_numpy(own).to(y)
    if scatter is not None:
        scatter, y_given = (torch.from_numpy(one).to(y) for one in (scatter, y_given))
    if not isinstance(noise, float):
        # A copy: torch takes neither read-only memory nor negative strides.
        noise = torch.from_numpy(np.array(noise, order="C")).to(y)
    helped = isinstance(noise, torch.Tensor) or noise > 0
    return Observations(
        y,
        noise,
        jitter=rounding_jitter(n_copies, y.dtype) if helped else 0.0,
        weight=weight,
        basis=None if columns is None else Basis(columns, X, y),
        given=given,
        scatter=scatter,
        y_given=y_given,
    )


def training_noise(alpha, kept, known, scale):
    """alpha and known noise of the rows, in units of the process.

    Parameters
    ----------
    alpha : float or array (n_given,)
    kept : ndarray or None
        Which of the rows given these are.
    known : array (n,) or (n, t) in units of y squared, or None
    scale : array
        Of the targets.

    Returns
    -------
    float, ndarray (n,) or (n, t)
    """
    noise = np.asarray(as_numpy(alpha), dtype=np.float64)
    if noise.size == 1:
        noise = noise.item()
    elif kept is not None:
        noise = noise[kept]
    if known is None:
        return noise
    known, scale = as_numpy(known), np.asarray(as_numpy(scale))
    if np.unique(scale).size == 1:
        scale = scale.reshape(-1)[0]
    elif known.ndim == 1:  # the scales of the targets differ: so do the factors
        known = known[:, None]
    scaled = known / scale**2
    return scaled + (noise if known.ndim == 1 else np.reshape(noise, (-1, 1)))


def merged(model):
    """The model with rows that are equal in X, y and noise as one with a weight.

    Such rows are what weights mean, so the evidence is the same; but its matrix is
    smaller and does not turn singular as the noise gets small, where the optimiser
    would climb round-off.
    """
    covariance, observed = model.covariance, model.likelihood
    X = covariance.points.objects
    if not covariance.tells_noise or not is_table(X) or all_differ(X):
        return model
    columns = [as_numpy(observed.y)]
    if isinstance(observed.noise, torch.Tensor):
        columns.append(as_numpy(observed.noise))
    index, weight, _ = distinct_rows(X, columns, as_numpy(observed.weight))
    if len(index) == len(X):
        return model
    part = model.rows(index)
    weight = torch.as_tensor(weight).to(observed.y)
    return replace(part, likelihood=replace(part.likelihood, weight=weight))


def check_copies(covariance, weight):
    """Raise ValueError for weights where the kernel hides noise of its own.

    A row of weight 2 is two copies, each with its own noise; of a NumPy kernel whose
    k(X) has more on its diagonal than k(X, X) nobody knows how much of it is noise.
    """
    if weight is None or covariance.tells_noise or (weight == 1).all():
        return
    some = covariance.rows(slice(0, min(2, covariance.points.n)))
    own = some.gram()[0].diagonal() - some.nugget()[0]
    between = some.cross(some.points.objects).diagonal()
    if not torch.allclose(own, between, rtol=1e-10):
        raise ValueError(
            "The 'sample_weight' parameter is given, but a part of the kernel runs "
            "through its own NumPy code and carries noise that is not told apart, so "
            "that copies of a row cannot be. Take the noise out of it and add a "
            "WhiteKernel, give it a torch function with register_kernel, or repeat the "
            "rows."
        )


def check_n_targets(n_targets, y):
    """Raise ValueError unless y has as many targets as the parameter says."""
    seen = y.shape[1] if y.ndim > 1 else 1
    if n_targets is not None and seen != n_targets:
        raise ValueError(
            "The number of targets seen in `y` is different from the parameter "
            f"`n_targets`. Got {seen} != {n_targets}."
        )


def check_alpha(alpha, n_samples):
    """Raise ValueError unless `alpha` is a variance, or one for each row."""
    alpha = np.asarray(as_numpy(alpha))
    if alpha.ndim == 0:
        return
    if alpha.ndim > 1 or alpha.shape[0] not in (1, n_samples):
        raise ValueError(
            "alpha must be a scalar or an array with same number of entries as y. "
            f"({'x'.join(map(str, alpha.shape))} != {n_samples})"
        )
    if not (np.isfinite(alpha).all() and (alpha >= 0).all()):
        raise ValueError(
            "The 'alpha' parameter must be finite and not negative in every entry. "
            f"Got a minimum of {alpha.min()!r}; it is a variance."
        )
