"""Class probabilities from Gaussian latent values: who wins the race of f + noise?

softmax(f) is the distribution of argmax(f + e) for Gumbel noise e, and the multinomial
probit that for normal noise. If the latent values of a row are independent, f_c ~
N(m_c, d_c), then with F_c the distribution function of f_c + e_c

    p_c = int F_c'(v) prod_{k != c} F_k(v) dv,

one integral on the line, which treats all classes alike. Gumbel noise is written as a
mixture of normals, so that F_c is a mixture of normals, too.

A common shift of all f does nothing, so only the variances of differences count, and
*independent* values with the same such variances always exist for two classes, mostly
for three, and nearly for the posteriors of more: a covariance of a few percent is left,
for which derivatives of p are enough. Where it is larger the rest is a difference of
two averages over the same points.
"""

import functools
import math
from typing import NamedTuple

import torch


class Noise(NamedTuple):
    """A mixture of normals: weights, means, variances; and sd over that of Gumbel."""

    weight: tuple
    mean: tuple
    variance: tuple
    scale: float


NORMAL = Noise((1.0,), (0.0,), (1.0,), math.sqrt(6) / math.pi)

# Fitted to exp(-exp(-x)), largest error 4e-5, and its density.
GUMBEL = Noise(
    (
        0.019404559338214968,
        0.09812037369214123,
        0.21126843545825608,
        0.26796801680047394,
        0.22455770190061142,
        0.12719844589465054,
        0.04477506580457082,
        0.00670740111108082,
    ),
    (
        -1.2378988038104815,
        -0.7719448284108246,
        -0.26149495488167074,
        0.32595920357164504,
        1.0319227460117457,
        1.9177494898045908,
        3.079388492898287,
        4.661729174877172,
    ),
    (
        0.1274497228184979,
        0.18278696734949063,
        0.26581762782633517,
        0.3990175950459976,
        0.625906543469461,
        1.0421294562257046,
        1.8958847177717695,
        4.076280178987686,
    ),
    1.0,
)

# Nodes on the line: midpoints no wider apart than SPACING times the smallest standard
# deviation, from REACH of them below to as many above.
REACH = 7.0
SPACING = 0.75
NODES = tuple(32 * 2**k for k in range(6))

# The largest correlation that independent values leave over: up to the first value p is
# corrected by its derivatives, then by a difference of averages over so many points.
# Against 2^16 points the largest error was 1.3e-3 for EP's posteriors of digits (10
# classes, signal variance 1e4; 4e-5 at 9), on average 1e-4 or less, and 2e-3 for
# covariances of random matrices (4 and 10 classes, deviation 5).
LEFT_OVER = (0.2, 0.5)
POINTS = (2048, 8192)

# No correction takes more than this away from a probability.
LEAST_KEPT = 0.1

ROOT_2PI = math.sqrt(2 * math.pi)

# Numbers held at a time: 2 MB stay within a core's cache.
ENTRIES = 2**18


def race_average(noise, mean, cov):
    """p(c) = P(f_c + e_c is the largest), f ~ N(mean, cov): tensor (m, C).

    The answer for a row depends neither on the other rows nor on the order of the
    classes.

    Parameters
    ----------
    noise : Noise
    mean : tensor (m, C)
    cov : tensor (m, C, C)
    """
    variance, left_over = independent(cov)
    scale = (variance + noise.scale**2).rsqrt()
    size = (scale[:, :, None] * left_over * scale[:, None, :]).abs().amax(dim=(1, 2))
    level = (size[:, None] > size.new_tensor(LEFT_OVER)).sum(dim=1)
    left_over[level > 0] = 0
    p = independent_race(noise, mean, variance, left_over)
    for k, points in enumerate(POINTS, 1):
        for rows in blocks((level == k).nonzero()[:, 0], points * mean.shape[1]):
            change = _difference(
                noise, mean[rows], cov[rows], variance[rows], p[rows], points
            )
            p[rows] = torch.maximum(p[rows] + change, LEAST_KEPT * p[rows])
    return p / p.sum(dim=1, keepdim=True)


def independent(cov):
    """Variances (m, C) of independent values, and the covariance that they leave over.

    Least squares for Var(f_c - f_k) = d_c + d_k over all pairs, and d >= 0.
    """
    C = cov.shape[1]
    own = cov.diagonal(dim1=1, dim2=2)
    spread = own[:, :, None] + own[:, None, :] - 2 * cov
    if C == 2:
        d = 0.5 * spread.sum(dim=2)
    else:
        total = spread.sum(dim=(1, 2)) / (2 * (C - 1))
        d = (spread.sum(dim=2) - total[:, None]) / (C - 2)
    d = d.clamp(min=0)
    left_over = 0.5 * (d[:, :, None] + d[:, None, :] - spread)
    left_over.diagonal(dim1=1, dim2=2).zero_()
    return d, left_over


def independent_race(noise, mean, variance, left_over):
    """The same for independent latent values and a little covariance: tensor (m, C).

    d p / d cov_ab = d2 p / dm_a dm_b for Gaussians (Plackett 1954), and with h = F' / F
    and g = cov h the integrand h_c prod F changes by prod F times

        h_c (h'g / 2 - h_c g_c) + (F_c'' / F_c) g_c.
    """
    weight, shift, own = (
        torch.as_tensor(part, dtype=mean.dtype, device=mean.device)
        for part in noise[:3]
    )
    # A class much narrower than another is a step to it.
    widest = (variance.amax(dim=1) + own.max()).sqrt()
    finest = 2 * REACH * widest / (SPACING * NODES[-1])
    variance = torch.maximum(variance, finest.square()[:, None] - own.min())
    sd = (variance + own.max()).sqrt()
    low = (mean + shift.min() - REACH * (variance + own.min()).sqrt()).amax(dim=1)
    high = (mean + shift.max() + REACH * sd).amax(dim=1)
    least = (variance.amin(dim=1) + own.min()).sqrt()
    needed = (high - low) / (SPACING * least)
    level = (needed[:, None] > needed.new_tensor(NODES[:-1])).sum(dim=1)
    p = torch.empty_like(mean)
    for k, nodes in enumerate(NODES):
        place = (
            torch.arange(nodes, dtype=mean.dtype, device=mean.device) + 0.5
        ) / nodes
        for rows in blocks((level == k).nonzero()[:, 0], nodes * mean.shape[1]):
            v = low[rows, None] + (high - low)[rows, None] * place
            # (m, C, nodes): sums over classes then run along the nodes.
            x = v[:, None, :] - mean[rows, :, None]
            F, first, second = (torch.zeros_like(x) for _ in range(3))
            for w, m, s in zip(weight, shift, own, strict=True):
                tau = (variance[rows] + s).rsqrt()[:, :, None]
                z = (x - m) * tau
                F += w * torch.special.ndtr(z)
                density = (w * tau / ROOT_2PI) * (-0.5 * z.square()).exp_()
                first += density
                second -= density * z * tau
            F.clamp_(min=1e-300)
            product = F.prod(dim=1, keepdim=True)
            h = first / F
            g = left_over[rows] @ h
            change = 0.5 * (h * g).sum(dim=1, keepdim=True) * h - h.square() * g
            change += second / F * g
            some = (product * h).sum(dim=2)
            change = (product * change).sum(dim=2)
            p[rows] = torch.maximum(some + change, LEAST_KEPT * some)
    p.clamp_(min=1e-300)
    return p / p.sum(dim=1, keepdim=True)


def _difference(noise, mean, cov, variance, p, points):
    """softmax(f) averaged over cov, less that over independent values: (m, C).

    Classes take the order of their chances: a low-discrepancy set treats its dimensions
    differently, but so no order of labels shows. Of normal noise, whose average has no
    closed form at a point, Gumbel noise of the same deviation stands in: it serves the
    difference only.
    """
    order = p.argsort(dim=1, descending=True, stable=True)
    mean, variance = mean.gather(1, order), variance.gather(1, order)
    cov = cov.gather(1, order[:, :, None].expand_as(cov))
    cov = cov.gather(2, order[:, None, :].expand_as(cov))
    z = low_discrepancy(mean.shape[1] - 1, points).to(mean).mT
    difference = (mean[:, :-1] - mean[:, -1:])[:, :, None]
    change = 0.0
    for sign, S in ((1, cov), (-1, torch.diag_embed(variance))):
        f = torch.baddbmm(difference, difference_root(S), z.expand(len(S), -1, -1))
        f = torch.nn.functional.pad(f, (0, 0, 0, 1)).div_(noise.scale)
        change = change + sign * torch.softmax(f, dim=1).mean(dim=2)
    return torch.zeros_like(p).scatter_(1, order, change)


def difference_root(cov):
    """Root (m, C - 1, C - 1) of the covariance of differences from the last class."""
    A = cov[:, :-1, :-1] - cov[:, -1:, :-1] - cov[:, :-1, -1:] + cov[:, -1:, -1:]
    scale = A.diagonal(dim1=1, dim2=2).amax(dim=1).clamp(min=1e-300)
    A.diagonal(dim1=1, dim2=2).add_(1e-12 * scale[:, None])
    L, info = torch.linalg.cholesky_ex(A)
    bad = info > 0
    if bad.any():  # covariances that are singular, or not quite covariances
        values, vectors = torch.linalg.eigh(A[bad])
        L[bad] = vectors * values.clamp(min=0).sqrt()[:, None, :]
    return L


@functools.cache
def low_discrepancy(d, points):
    """Scrambled Sobol points with a fixed seed, as normals, half of them mirrored."""
    sobol = torch.quasirandom.SobolEngine(d, scramble=True, seed=0)
    u = sobol.draw(points // 2, dtype=torch.float64)
    z = torch.special.ndtri(u.clamp(1e-12, 1 - 1e-12))
    return torch.cat([z, -z])


def blocks(rows, entries):
    """Indices in blocks of ENTRIES numbers."""
    return rows.split(max(1, ENTRIES // entries)) if len(rows) else ()
