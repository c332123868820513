"""The posterior of Vecchia's approximation: new rows given their nearest ones.

A new row x* is conditioned on its nearest training rows N,

    b = K_N^-1 k_N*,   mean = b' y_N,   variance = k** - k_N*' b,

and with a trend h' beta, whose coefficients are those of all rows (see `terms`),

    mean = b' (y_N - H_N beta) + h*' beta,   variance + |R^-T d|^2,   d = h* - H_N' b.
"""

import warnings
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from ..._linalg.cholesky import symmetrize_
from ..._linalg.memory import row_blocks
from ..._linalg.precision import double
from ...exceptions import JitterWarning, callers_level
from ..columns import Coefficients, Sums, columns_of
from ..contract import Posterior
from ..exact.method import JITTER_LADDER
from .joint import covariance_of_errors
from .left_out import left_out, of_rows_given
from .local import Local
from .neighbors import Search
from .sweep import batches, sweep
from .terms import terms


class VecchiaPosterior(Posterior):
    """f given noisy observations of it, of near rows.

    It keeps `order_` (n,) and `neighbors_` (n, k), row i: the training rows that row
    ``order_[i]`` is conditioned on in the evidence, -1 where there are fewer; and the
    sums over the terms.

    Parameters
    ----------
    method : Vecchia
    """

    def __init__(self, method, covariance, likelihood, arrays):
        super().__init__(covariance, likelihood, arrays)
        self.method = method

    @property
    def n_functions(self):
        return self.likelihood.y.shape[1]

    @cached_property
    def added(self):
        """What the diagonal of K got where it had no factor without it."""
        return self.arrays["_vecchia_added"].item()

    @cached_property
    def sums(self):
        """The Sums of each factor."""
        S, logs = (
            double(self.arrays[name]).cpu()
            for name in ("_vecchia_sums", "_vecchia_log_det")
        )
        return [Sums(one, log.item()) for one, log in zip(S, logs, strict=True)]

    @cached_property
    def observed(self):
        """The observations of each factor, with the noise that blocks have."""
        return self.method.helped(self.likelihood, self.added).factors()

    @cached_property
    def trends(self):
        """The Coefficients of each factor, or None."""
        if self.likelihood.basis is None:
            return [None] * len(self.observed)
        return [
            Coefficients.of(sums.S, one.y.shape[1])
            for one, sums in zip(self.observed, self.sums, strict=True)
        ]

    @property
    def trend(self):
        """The Coefficients of all targets; None without a trend."""
        if self.likelihood.basis is None:
            return None
        beta = torch.cat([one.beta for one in self.trends], dim=1)
        return Coefficients(None, beta)

    @cached_property
    def search(self):
        return Search(self.covariance.at())

    @property
    def at(self):
        return self.search.at

    @property
    def points(self):
        return self.covariance.points

    @property
    def n_near(self):
        """Rows that a new row is conditioned on."""
        return min(self.method.n_neighbors_predict, self.points.n)

    @property
    def ladder(self):
        """What may be added to the diagonals of blocks without a factor."""
        helps = self.method.ladder and self.likelihood.has_noise
        return JITTER_LADDER[self.points.dtype] if helps else ()

    def moments(self, X, spread=None, *, noise=True):
        Z, m, q = self.points.others(X), len(X), len(self.observed)
        near = self.search.nearest(Z, self.n_near)
        means = self._results(m, self.n_functions)
        variances = self._results(m, q)
        kept = [self.points.zeros(m, self.n_near) for _ in range(q * (spread == "cov"))]
        unsure = [self.points.zeros(m, self._n_columns) for _ in kept]
        slices = self._batches(m)
        added = [0.0] * len(slices)

        def some(i, rows):
            first = 0
            for j, local in enumerate(self._locals(Z, near, rows)):
                added[i] = max(added[i], local.added)
                means[rows, first : first + local.t] = local.mean()
                first += local.t
                if spread == "var":
                    prior = self.covariance.diag(Z[rows], noise=noise)
                    variances[rows, j] = double(local.variance(prior))
                elif spread == "cov":
                    kept[j][rows] = local.weights()
                    if local.h is not None:
                        unsure[j][rows] = local.unsure

        sweep(some, slices, self.at)
        _warn_of(max(added))
        if spread != "cov":
            return means, variances if spread == "var" else None
        prior = self.covariance.full(X, noise=noise)
        found = covariance_of_errors(self.at, self.observed, Z, prior, near, kept)
        for C, one in zip(found, unsure, strict=True):
            C.addmm_(one, one.mT)
            C.diagonal().clamp_(min=0)
            symmetrize_(C)
        return means, double(torch.stack(found, dim=-1))

    def slopes(self, X, *, variance=False):
        """As the contract says, with neighbours held fixed."""
        Z, basis = self.points.others(X), self.likelihood.basis
        near = self.search.nearest(Z, self.n_near)
        of_trend = None
        if basis is not None:
            slopes = basis.slopes(self.points.raw.shape[1])
            of_trend = torch.from_numpy(slopes).to(self.likelihood.y)
        means, variances = [], []
        for i in range(len(X)):
            z = Z[slice(i, i + 1)]
            _, pull = self.covariance.rows(np.array(near[i])).cross_slope(z)
            locals_ = self._locals(Z, near, slice(i, i + 1))
            mean, less = zip(
                *(one.slopes(pull, of_trend) for one in locals_), strict=True
            )
            means.append(torch.cat(mean, dim=-1))
            if variance:
                prior = self.covariance.diag_slope(z)[..., None]
                variances.append(prior + torch.stack(less, dim=-1))
        mean = double(torch.cat(means))
        return mean, double(torch.cat(variances)) if variance else None

    def jitter(self, Z):
        helped = self.method.helped(self.likelihood)
        if not helped.jitter:
            return 0.0
        return helped.jitter * self.covariance.diag(Z) + self.added

    def leave_one_out(self):
        """Mean (n, t) and variance (n, n_factors) of the noisy observations."""
        n, rows = self.points.n, np.arange(self.points.n)
        near = self.search.others(rows, min(self.method.n_neighbors_predict, n - 1))
        blocks = np.column_stack([near, rows]).astype(np.int32)
        means, variances, added = zip(
            *(
                left_out(self.at, one, trend, blocks, self.ladder)
                for one, trend in zip(self.observed, self.trends, strict=True)
            ),
            strict=True,
        )
        _warn_of(max(added))
        moments = torch.cat(means, dim=1), torch.stack(variances, dim=1)
        if self.likelihood.given is None:
            return moments
        return of_rows_given(*moments, self.at, self.likelihood, self.observed)

    def factors(self):
        """A posterior for each factor, of the targets that share it."""
        parts = []
        for i, one in enumerate(self.likelihood.factors()):
            arrays = dict(
                self._arrays, _vecchia_sums=self.arrays["_vecchia_sums"][i : i + 1]
            )
            arrays["_vecchia_log_det"] = self.arrays["_vecchia_log_det"][i : i + 1]
            parts.append(VecchiaPosterior(self.method, self.covariance, one, arrays))
        return parts

    def condition(self, residual):
        """As the contract says, for a posterior of one factor."""
        likelihood, arrays = replace(self.likelihood, y=residual), self._arrays
        if likelihood.basis is not None:
            observed = self.method.helped(likelihood, self.added)
            blocks = self.method.start(self.covariance, self.arrays)
            sums, _ = terms(self.at, observed, blocks, columns_of(observed))
            arrays["_vecchia_sums"] = sums.S[None]
        return VecchiaPosterior(self.method, self.covariance, likelihood, arrays)

    @property
    def _arrays(self):
        names = (
            "order_",
            "neighbors_",
            "_vecchia_sums",
            "_vecchia_log_det",
            "_vecchia_added",
        )
        return {name: self.arrays[name] for name in names}

    @property
    def _n_columns(self):
        basis = self.likelihood.basis
        return 0 if basis is None else basis.H.shape[1]

    @property
    def _all_near(self):
        """Whether the neighbours of every row are all rows: one factor serves all."""
        return self.n_near == self.points.n

    def _results(self, *shape):
        """A float64 tensor where answers are."""
        return double(self.points.zeros(1)).new_empty(shape)

    def _batches(self, m):
        """Slices of m new rows."""
        if self._all_near:
            bytes_per_row = 4 * self.n_near * self.points.itemsize
            return row_blocks(m, bytes_per_row, self.points.device, at_least=512)
        return batches(m, self.n_near, self.points)

    def _locals(self, Z, near, rows):
        """The Local of each factor, for some of the rows Z with neighbours near."""
        own = np.arange(rows.start, rows.stop)
        index, own = (near[rows], own[:, None])
        if self._all_near:
            index, own = index[:1], own.reshape(1, -1)
        index = torch.from_numpy(np.array(index)).long().to(self.points.device)
        K = self.at.blocks(index)[0]
        c = self.at.cross(self.points[index], Z[own])[0]
        h, q = None, len(self.observed)
        if self.likelihood.basis is not None:
            h = self.likelihood.basis.at(Z.objects[rows])
        for i, (one, trend) in enumerate(zip(self.observed, self.trends, strict=True)):
            own_K = K if i == q - 1 else K.clone()
            yield Local(self.at, one, trend, index, own_K, c, h, self.ladder)


def _warn_of(added):
    """Tell that some blocks had no factor with the noise on their diagonals."""
    if added:
        warnings.warn(
            "The covariance of the nearest rows of some rows was not positive "
            f"definite: up to {added:.3g} was added to the diagonals. Raise 'alpha' or "
            "add a WhiteKernel; nearly equal rows are the usual cause.",
            JitterWarning,
            stacklevel=callers_level(),
        )
