"""Leave-one-out prediction in closed form (GPML 5.4.2).

With P = K^-1, K holding the noise, and alpha = P y, leaving out row i gives

    mean_i = y_i - alpha_i / P_ii,   variance_i = 1 / P_ii         (GPML 5.12)

for the noisy y_i. Both hold as they stand with a trend, whose coefficients are then
those of the other rows, when P is the `precision_` that has the trend taken out. A row
of weight w is left out with all its copies: 1 / P_ii has the noise N / w of their mean
in it, and one noisy copy has 1 / P_ii + N (1 - 1 / w).
"""

import math
from dataclasses import replace

import torch

from ..._linalg.cholesky import symmetrize_
from .evidence import per_factor
from .solution import condition_, precision_


def leave_one_out(observations, solution, own=0.0):
    """Mean and variance of each noisy observation given all other rows.

    Parameters
    ----------
    observations : Observations
    solution : Solution
        Of these observations; left as it is.
    own : float or tensor (n,)
        As `Observations.own_noise` says. Read only under weights.

    Returns
    -------
    mean : tensor (n, t)
    variance : tensor (n, n_factors)
        Where the rows were merged from others, of the rows that were given.
    """
    factors = solution.factors()
    copies = [replace(one, L=one.L.clone()) for one in factors]
    p = torch.stack([precision_(one).diagonal() for one in copies], dim=1)
    if solution.trend is not None:
        # Without a row that alone determines a coefficient (P_ii = 0, but for round-off
        # on the scale of 1 / K_ii) the others say nothing: mean NaN, variance infinite.
        K_ii = [one.L.tril().square().sum(1) for one in factors]
        p = torch.where(p * torch.stack(K_ii, dim=1) > 1e-10, p, 0.0)
    variance = 1 / p
    if observations.weight is not None:
        rest = 1 - 1 / observations.weight
        variance = variance + _copy_noise(observations, own) * rest[:, None]
    mean = observations.y - solution.alpha / p
    mean = torch.where(p > 0, mean, math.nan)
    if observations.given is None:
        return mean, variance
    return _of_rows_given(mean, variance, observations, own)


def _of_rows_given(mean, variance, observations, own):
    """The moments of each row that was merged, where only that one is left out."""
    group, weight = observations.given
    noise, y = _copy_noise(observations, own)[group], observations.y[group]
    rest = observations.weight[group] - weight
    return put_back(mean[group], variance[group], y, noise, rest)


def _copy_noise(observations, own=0.0):
    """The noise of one copy of each row, (n, n_factors)."""
    parts = observations.factors()
    return torch.stack([part.noise + own for part in parts], dim=1)


def put_back(mean, variance, y, noise, copies):
    """The same moments where some of the copies left out tell of the row, too.

    Parameters
    ----------
    mean : tensor (n, t)
        Of `leave_one_out`.
    variance : tensor (n, n_factors)
        Of `leave_one_out`.
    y : tensor (n, t)
    noise : tensor (n, n_factors)
        Of one copy.
    copies : tensor (n,)
        How many are put back, 0 or more.
    """
    latent = (variance - noise).clamp_(min=0)
    told = latent * copies[:, None]
    # A copy without noise, or the only one to tell, is all there is to know.
    doubt = torch.where(torch.isinf(told), 0.0, noise / (told + noise)).nan_to_num(1.0)
    only = torch.isinf(latent) & (copies[:, None] > 0)
    left = torch.where(only, noise / copies[:, None], latent * doubt)
    return torch.where(doubt == 0, y, y + doubt * (mean - y)), left + noise


def loo_log_density(K, observations, nugget=0.0):
    """The criterion sum of log densities of left-out observations (GPML 5.10, 5.11).

    Each of the w copies of a row counts, under what the other rows say. The derivative
    is that of GPML 5.13, gathered into one matrix by dP = -P dK P.
    """
    return per_factor(_one_factor, K, observations, nugget)


def _one_factor(K, observations, nugget):
    own = observations.own_noise(nugget, K.diagonal())
    solution = condition_(K, observations, nugget)
    alpha = solution.alpha
    P = precision_(solution)
    p = P.diagonal().clone()[:, None]
    weight = observations.weight
    w = 1.0 if weight is None else weight[:, None]
    share = None if weight is None else 1 - 1 / weight
    r, v = alpha / p, 1 / p
    if weight is not None:
        v = v + ((observations.noise + own) * share)[:, None]
    value = -0.5 * (w * (r.square() / v + (2 * math.pi * v).log())).sum().item()

    def derivative():
        d_r = -w * r / v
        d_v = 0.5 * (w * (r.square() / v - 1) / v).sum(1)
        d_p = -(d_r * alpha).sum(1) / p[:, 0].square() - d_v / p[:, 0].square()
        symmetrize_(P)
        u = P @ (d_r / p)
        G = (P * d_p) @ P
        G.addmm_(u, alpha.mT, beta=-1, alpha=-0.5).addmm_(alpha, u.mT, alpha=-0.5)
        own_slope = None if weight is None else d_v * share
        return G, observations.noise_slopes_(G.diagonal(), own_slope)

    return value, derivative, None
