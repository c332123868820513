"""Pass one: what all rows say of the inducing points, summed over blocks of rows."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..._linalg.cholesky import cholesky_, half_log_det, lower_, solve_lower
from ..._linalg.memory import row_blocks
from ..._linalg.precision import double
from ...exceptions import NotPositiveDefiniteError
from ..columns import Sums, columns_of

# A kernel less exact than its dtype may need more jitter: so many times, up to a most.
MORE_JITTER, MOST_JITTER = 10.0, 1e-8

# Fewest rows of a block: products with fewer columns are slower (one core of a CPU).
FEWEST_ROWS = 256


def jitter_of(m, dtype):
    """By what part of its mean the diagonal of K_uu is enlarged: points may meet.

    As little as a factor asks for, which round-off enlarges by about as much: at rows
    of noise s2 the bound and the predictions are off by some jitter k_ii / s2. The same
    at every theta: it is a part of the model that is optimised.
    """
    return torch.finfo(dtype).eps * (m + 50)


@dataclass(frozen=True)
class Rows:
    """Rows as the bound sees them, for one factor.

    Attributes
    ----------
    precision : tensor (n,)
        lambda, of the mean of a row's copies.
    columns : tensor (n, c)
    share : tensor (n,)
        1 / noise of one copy: by how much log lambda falls with it.
    """

    precision: torch.Tensor
    columns: torch.Tensor
    share: torch.Tensor


def rows_of(observed, nugget):
    """The Rows of the observations of one factor.

    Raises
    ------
    ValueError
        Where there is no noise.
    """
    noise = observed.noise + nugget
    if not bool((noise > 0).all()):
        raise ValueError(
            "method='inducing' sees rows through noise, and some of them have none: "
            "their noise is that of 'alpha', 'noise_variance' and of a WhiteKernel. "
            "Set alpha=1e-6 or more, add a WhiteKernel, or use method='exact'."
        )
    share = 1 / noise
    precision = share if observed.weight is None else observed.weight * share
    return Rows(precision, columns_of(observed), share)


@dataclass(frozen=True)
class Statistics:
    """Sums over rows, of one factor, in float64; see the package.

    Attributes
    ----------
    S : tensor (m, m)
    b : tensor (m, c)
    squares : tensor (c, c)
        sum_i lambda_i c_i c_i'.
    rest : tensor (4,)
        sum_i lambda_i (k_ii - |a_i|^2), sum_i log lambda_i, how many rows there are,
        and the log of the factor that their copies add (see `Observations.copies`).
    """

    S: torch.Tensor
    b: torch.Tensor
    squares: torch.Tensor
    rest: torch.Tensor

    @classmethod
    def zeros(cls, m, c, like):
        """Of no rows."""
        return cls(*(like.new_zeros(shape) for shape in ((m, m), (m, c), (c, c), 4)))

    @classmethod
    def mixed(cls, parts, weights):
        """A weighted sum of several: what the rows say is linear in their sites."""
        fields = zip(*(vars(one).values() for one in parts), strict=True)
        return cls(
            *(
                sum(weight * one for weight, one in zip(weights, field, strict=True))
                for field in fields
            )
        )

    def __add__(self, other):
        return Statistics.mixed((self, other), (1.0, 1.0))


@dataclass(frozen=True)
class Whitening:
    """The inducing points at one theta.

    Attributes
    ----------
    Z : Points
    L : tensor (m, m)
        Of K_uu with its jitter, in float64.
    jitter : float, default=0.0
        In parts of the mean diagonal.
    pull : callable, default=None
        The pullback of K_uu.
    """

    Z: object
    L: torch.Tensor
    jitter: float = 0.0
    pull: Callable | None = None

    @classmethod
    def at(cls, at, Z, least=0.0):
        """At one theta, with no less than some jitter.

        Raises
        ------
        NotPositiveDefiniteError
            Where K_uu is no covariance.
        """
        value, pull = at.cross(Z, Z)
        jitter = max(least, jitter_of(Z.n, value.dtype))
        while True:
            K = double(value).clone()
            K.diagonal().add_(jitter * K.diagonal().mean())
            try:
                return cls(Z, lower_(cholesky_(K)), jitter, pull)
            except NotPositiveDefiniteError:
                if jitter >= MOST_JITTER:
                    raise
                jitter = min(jitter * MORE_JITTER, MOST_JITTER)

    def blocks(self, n):
        """Slices of n rows."""
        bytes_per_row = self.Z.n * self.Z.itemsize
        return row_blocks(n, bytes_per_row, self.Z.device, FEWEST_ROWS)


def statistics(covariance, likelihood, theta, Z, L, work):
    """What noisy rows say: a list of Statistics, one of each factor.

    They add up over shards of rows: see `Workspace.sum`.

    Parameters
    ----------
    covariance : Covariance
    likelihood : Observations
    theta : ndarray (n_dims,) or None
    Z : ndarray (m, d)
        The points.
    L : tensor (m, m)
        As in `Whitening`.
    work : Workspace
    """
    at = covariance.at(theta)
    nugget, factors = at.nugget()[0], likelihood.factors()
    rows = [rows_of(one, nugget) for one in factors]
    found = sums(at, Whitening(at.points.others(Z), L), rows, work)
    for one, total in zip(factors, found, strict=True):
        total.rest[2] = len(one.y)
        total.rest[3] = one.copies(nugget)[0]
    return found


def sums(at, whitening, factors, work):
    """The Statistics of each factor, from one pass over the rows of `at`.

    Parameters
    ----------
    at : CovarianceAt
    whitening : Whitening
    factors : list of Rows
    work : Workspace
    """
    points, m = at.points, whitening.Z.n
    L = whitening.L.to(points.zeros(0))
    widths = [one.columns.shape[1] for one in factors]
    found = [Statistics.zeros(m, width, whitening.L) for width in widths]
    product = work.buffer("a a'", m, m)
    diagonal = at.diag()[0]
    for some in whitening.blocks(points.n):
        a = solve_lower(L, at.cross(whitening.Z, points[some])[0])
        missed = double(diagonal[some] - a.square().sum(0))
        scaled = work.buffer("scaled", *a.shape)
        for one, total in zip(factors, found, strict=True):
            precision, columns = one.precision[some], one.columns[some]
            torch.mul(a, precision, out=scaled)
            total.S.add_(double(torch.mm(scaled, a.mT, out=product)))
            total.b.add_(double(scaled @ columns))
            precision, columns = double(precision), double(columns)
            total.squares.addmm_(columns.mT * precision, columns)
            total.rest[0] += precision @ missed
            total.rest[1] += precision.log().sum()
    return found


@dataclass(frozen=True)
class Solution:
    """What the rows say, for one factor.

    Attributes
    ----------
    L_B : tensor (m, m)
        Lower Cholesky factor of B = I + S.
    b : tensor (m, c)
    sums : Sums
        Of the columns under C^-1.
    missed : float
        sum_i lambda_i (k_ii - |a_i|^2).
    n : float
        Number of rows.
    copies : float
        Log of the factor that their copies add.
    """

    L_B: torch.Tensor
    b: torch.Tensor
    sums: Sums
    missed: float
    n: float
    copies: float

    @classmethod
    def of(cls, found):
        """From Statistics."""
        B = found.S.clone()
        B.diagonal().add_(1)
        L_B = lower_(cholesky_(B))
        return cls.with_factor(L_B, found.b, found.squares, found.rest)

    @classmethod
    def with_factor(cls, L_B, b, squares, rest):
        """From the factor of B and the other Statistics."""
        V = solve_lower(L_B, b)
        missed, logs, n, copies = rest.tolist()
        log_det = half_log_det(L_B).item() - 0.5 * logs
        of_columns = Sums((squares - V.mT @ V).cpu(), log_det)
        return cls(L_B, b, of_columns, missed, n, copies)
