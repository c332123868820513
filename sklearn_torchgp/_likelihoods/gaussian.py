"""What is observed: the one description of the Gaussian observation model.

Row i stands for w_i copies of an observation of t targets,

    y_ij = f_j(x_i) + h_i' beta_j + e,   e ~ N(0, N_ij),   N_ij = noise_ij + nugget_i,

each copy with its own e; `noise` is known, the nugget is the kernel's White part, and
beta has a flat prior (GPML 2.7). The copies agree in y, so their mean is all there is
to know of f: one row with noise N / w, and a factor that depends on N alone,

    prod_{copies} N(y; f, N) = N(y; f, N / w)  (2 pi N)^(-(w - 1) / 2)  w^(-1 / 2),

which holds for any real w > 0. Where they do not agree y is their mean and the factor
has exp(-scatter / (2 N)) in it, scatter being the sum of their squares about it. Known
noise, weights and trend are fields of this one object; inference does not tell them
apart.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from ..exceptions import NotPositiveDefiniteError


def rounding_jitter(n, dtype):
    """By what fraction every diagonal entry of K is enlarged.

    Round-off moves the eigenvalues by about eps |K|, and |K| is n times the diagonal
    where all rows are alike. float64 leaves that to the caller's noise; in float32 a
    smooth kernel has no factor without it.
    """
    return torch.finfo(dtype).eps * (n + 50) if dtype == torch.float32 else 0.0


class Basis:
    """The columns of a linear trend, at the training rows and elsewhere.

    Parameters
    ----------
    columns : callable X -> ndarray (m, p)
        In whatever scaling is good for round-off. Its `log_scale` is log |det T| for
        H = H_given T: the evidence is told in the units of H_given. ``slopes(d)`` are
        their derivatives in x, (p, d).
    X : ndarray (n, d), or list of n objects
        The training rows.
    like : tensor
        Of the dtype and on the device that H is to have.
    """

    def __init__(self, columns, X, like):
        self.columns, self.X, self.like = columns, X, like

    @cached_property
    def H(self):
        """The columns at the training rows: tensor (n, p)."""
        return self.at(self.X)

    @property
    def log_scale(self):
        return self.columns.log_scale

    def at(self, X):
        """The columns at rows X: tensor (m, p)."""
        return torch.from_numpy(self.columns(X)).to(self.like)

    def slopes(self, n_features):
        return self.columns.slopes(n_features)

    def __getitem__(self, rows):
        part = Basis(self.columns, None, self.like)
        part.H = self.H[rows]
        return part


@dataclass(frozen=True)
class Observations:
    """n rows of t targets, seen through Gaussian noise.

    Attributes
    ----------
    y : tensor (n, t)
    noise : float, tensor (n,) or tensor (n, t)
        Variance of one copy beyond the nugget. (n, t): each target needs a factor of
        its own; else one factor serves them all.
    jitter : float
        K's own diagonal is multiplied by 1 + jitter.
    weight : tensor (n,), default=None
        Positive; None means 1.
    basis : Basis, default=None
        Columns of the trend; None means no trend.
    given : (tensor (m,) of int, tensor (m,)), default=None
        Where these rows were merged from m others: which row each of them is now, and
        its weight.
    scatter : tensor (n, t), default=None
        Weighted squares of what a row is the mean of, about it. Only with weights;
        None means 0.
    y_given : tensor (m, t), default=None
        y of the rows that were merged; None where they agree.
    """

    y: torch.Tensor
    noise: float | torch.Tensor
    jitter: float = 0.0
    weight: torch.Tensor | None = None
    basis: Basis | None = None
    given: tuple[torch.Tensor, torch.Tensor] | None = None
    scatter: torch.Tensor | None = None
    y_given: torch.Tensor | None = None

    @property
    def has_noise(self):
        """Whether every observation has some noise beyond the nugget."""
        if isinstance(self.noise, torch.Tensor):
            return bool((self.noise > 0).all())
        return self.noise > 0

    @property
    def shared(self):
        """Whether one factor serves all targets."""
        return not isinstance(self.noise, torch.Tensor) or self.noise.ndim < 2

    @property
    def plain(self):
        """Whether this is y = f + e with one factor and nothing else."""
        return self.shared and self.weight is None and self.basis is None

    def factors(self):
        """The observations split so that each part needs one factor."""
        if self.shared:
            return [self]
        columns = enumerate(zip(self.y.mT, self.noise.mT, strict=True))
        return [
            replace(
                self,
                y=y[:, None],
                noise=noise,
                scatter=None if self.scatter is None else self.scatter[:, [j]],
            )
            for j, (y, noise) in columns
        ]

    def __getitem__(self, rows):
        """The observations of some rows."""
        noise, weight, basis, scatter = (
            part if part is None or isinstance(part, float) else part[rows]
            for part in (self.noise, self.weight, self.basis, self.scatter)
        )
        y = self.y[rows]
        return Observations(
            y, noise, self.jitter, weight=weight, basis=basis, scatter=scatter
        )

    def rows(self, index):
        """The observations of the rows with these numbers, in their order."""
        return self[torch.as_tensor(index, device=self.y.device)]

    def cover_(self, K, nugget=0.0):
        """Write the noise of the rows on the diagonal of K, which holds the nugget.

        K may be a batch of matrices, of rows that an index (b, k) took.
        """
        diagonal = K.diagonal(dim1=-2, dim2=-1)
        if self.weight is None:
            diagonal.mul_(1 + self.jitter).add_(self.noise)
        else:
            own = self.own_noise(nugget, diagonal)
            diagonal.add_((self.noise + own) / self.weight - nugget)
        return K

    def own_noise(self, nugget, diagonal):
        """What each copy has for itself beyond `noise`, given K's diagonal.

        Its share of the jitter counts as noise: so weights are copies in float32, too.
        """
        if self.weight is None or not self.jitter:
            return nugget
        return nugget + self.jitter * diagonal

    def copies(self, own=0.0):
        """log of the factor that the copies add to the density, and d / d own.

        Parameters
        ----------
        own : float or tensor (n,)
            As `own_noise` says.

        Returns
        -------
        value : float
            Summed over the t targets of one factor.
        slope : tensor (n,) or None
        """
        if self.weight is None:
            return 0.0, None
        w, t, scatter = self.weight, self.y.shape[1], 0.0
        repeated = w != 1
        if self.scatter is not None:
            scatter = self.scatter.sum(1)
            repeated = repeated | (scatter > 0)
        N = torch.where(repeated, self.noise + own, 1.0)
        if not (N > 0).all():
            raise NotPositiveDefiniteError(
                "rows with a weight other than 1 need noise: copies of a row without "
                "noise have a singular covariance"
            )
        logs = t * ((w - 1) * (2 * math.pi * N).log() + w.log()) + scatter / N
        slope = 0.5 * (scatter / N - t * (w - 1)) / N
        return -0.5 * logs.sum().item(), slope

    def noise_slopes_(self, diagonal, own_slope):
        """Take an objective's slopes back to K and the nugget.

        Parameters
        ----------
        diagonal : tensor (n,)
            Slopes in the diagonal that `cover_` wrote; becomes those in K's own.
        own_slope : tensor (n,) or None
            Slopes in `own_noise`, other than through the diagonal.

        Returns
        -------
        tensor (n,) or None
            Slopes in the nugget, beyond its place on K's diagonal.
        """
        if self.weight is None:
            diagonal.mul_(1 + self.jitter)
            return None
        slope = diagonal * (1 / self.weight - 1) + own_slope
        diagonal.mul_(1 + self.jitter / self.weight).add_(self.jitter * own_slope)
        return slope
