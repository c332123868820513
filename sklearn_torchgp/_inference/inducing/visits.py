"""What class labels say of their sites, one pass over the rows: see `sites`.

A function here is given the covariance and the likelihood of a shard of the rows, and
answers with what adds up over shards, after what the shard keeps for itself: see
`Workspace.sum` and `Workspace.each`.
"""

from dataclasses import dataclass

import torch

from ..._linalg.cholesky import solve_lower
from ..._linalg.precision import double
from .gradient import over_rows
from .statistics import Rows, Statistics, Whitening

# Most bytes of whitened rows that are kept for further passes at one theta: 10,000 rows
# seen through 512 points. Making them is two fifths of a pass (digits, 300 points).
KEPT = 2**26

# Precisions below this one are rows that say nothing.
FAINT = 1e-30


@dataclass(frozen=True)
class Greatest:
    """A number of which the greatest counts where others are summed."""

    value: float

    def __add__(self, other):
        return Greatest(max(self.value, other.value))


def beginning(covariance, likelihood, theta, Z, L, sites, work):
    """Sites (2, n), to begin with where none are given, and their [Statistics]."""
    at = covariance.at(theta)
    if sites is None:
        zero = torch.zeros_like(at.diag()[0])
        _, slope, bend, _, _ = likelihood.expectations(zero, zero)
        sites = torch.stack([-bend, slope])
    found = Statistics.zeros(len(L), 1, L)
    for some, a in _whitened(at, Z, L, work):
        _add(found, a, *sites[:2, some], work)
    return sites, [found]


def visited(covariance, likelihood, theta, Z, L, sites, L_B, beta, work):
    """Where all sites would go from q, and how far that is.

    Returns
    -------
    sites : tensor (4, n)
        Those that they would be, and one over units of these, for residuals.
    sums : list
        Statistics of these; sum of E log p, and of its sizes: (2,); the Greatest
        residual.
    """
    at = covariance.at(theta)
    prior = at.diag()[0] + at.nugget()[0]
    L_B, beta = L_B.to(prior), beta.to(prior)
    found, fit = Statistics.zeros(len(L), 1, L), torch.zeros(2).to(prior)
    moved, gap = prior.new_empty(4, len(prior)), 0.0
    for some, a in _whitened(at, Z, L, work):
        mean = (a.mT @ beta)[:, 0]
        left = solve_lower(L_B, a).square().sum(0)
        variance = (prior[some] - a.square().sum(0) + left).clamp(min=0)
        terms = likelihood.rows(some).expectations(mean, variance)
        log_p, slope, bend, _, _ = terms
        moved[0, some], moved[1, some] = -bend, slope - bend * mean
        moved[2, some], moved[3, some] = variance, variance.sqrt()
        _add(found, a, *moved[:2, some], work)
        precision, shift = sites[:2, some]
        of_mean = (slope - shift + precision * mean).abs() * variance.sqrt()
        of_variance = (bend + precision).abs() * variance
        fit = fit + torch.stack([log_p.sum(), log_p.abs().sum()])
        gap = max(gap, torch.maximum(of_mean, of_variance).max().item())
    return moved, [found, fit, Greatest(gap)]


def mixed(covariance, likelihood, weights, *sites_and_work):
    """A weighted sum of sites, and [how many precisions of it are negative]."""
    pairs = zip(weights, sites_and_work[:-1], strict=True)
    total = sum(weight * one[:2] for weight, one in pairs)
    return total, [int((total[0] < 0).sum())]


def gaps(covariance, likelihood, *sites_and_work):
    """[Products (k, k)] of what k sites lack to where they would go, these last.

    In the units of the last ones.
    """
    k = len(sites_and_work) // 2
    before, after = sites_and_work[:k], sites_and_work[k : 2 * k]
    scale, pairs = after[-1][2:], zip(before, after, strict=True)
    missing = [((there[:2] - here[:2]) * scale).ravel() for here, there in pairs]
    missing = double(torch.stack(missing))
    return [missing @ missing.mT]


def gradient_of_sites(covariance, likelihood, theta, Z, L, sites, towards, moves, work):
    """[by_theta, by_points] with these sites held fixed, as `gradient.gradient`."""
    at = covariance.at(theta)
    precision, shift = sites[0].clamp(min=FAINT), sites[1]
    rows = [Rows(precision, (shift / precision)[:, None], precision)]
    whitening = Whitening(at.points.others(Z), L)
    by_theta, by_points, _ = over_rows(at, whitening, rows, towards, moves, work)
    return [by_theta + at.nugget()[1](-0.5 * precision), by_points]


def _whitened(at, Z, L, work):
    """Slices of rows, each with a = L^-1 k(Z, rows), which no pass changes."""
    of, found = work.kept.get("whitened", (None, None))
    if of is L:
        yield from found
        return
    whitening, found = Whitening(at.points.others(Z), L), []
    few = len(L) * at.points.itemsize * at.points.n <= KEPT
    like = L.to(at.points.zeros(0))
    for some in whitening.blocks(at.points.n):
        a = solve_lower(like, at.cross(whitening.Z, at.points[some])[0])
        if few:
            found.append((some, a))
        yield some, a
    if few:
        work.kept["whitened"] = L, found


def _add(found, a, precision, shift, work):
    """Add the rows with these sites to Statistics."""
    scaled = torch.mul(a, precision, out=work.buffer("scaled", *a.shape))
    product = torch.mm(scaled, a.mT, out=work.buffer("a a'", len(a), len(a)))
    found.S.add_(product.to(found.S))
    found.b.add_((a @ shift[:, None]).to(found.b))
