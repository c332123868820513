"""The posteriors of site methods: one latent function, or one for each class."""

from functools import cached_property

import torch

from ..._linalg.cholesky import solve_lower, symmetrize_
from ..._linalg.memory import row_blocks
from ..._linalg.precision import double
from ..contract import Posterior
from ..dense import DensePosterior
from .engine import Sites, leave_one_out
from .multiclass_posterior import latent_moments
from .multiclass_posterior import leave_one_out as leave_one_class_out


class SitePosterior(DensePosterior):
    """f given Gaussian sites (GPML algorithms 3.2 and 3.6).

    It keeps `alpha_` (n,), `W_sr_` (n,), the factor `L_` (n, n) of B = I + s K s, and
    `pi_` (n,), the probabilities of the positive class at the posterior mean.
    """

    @cached_property
    def s(self):
        return self.arrays["W_sr_"]

    def leave_one_out(self):
        """Mean and variance (n, 1) of each f_i given all but one copy of its term."""
        K = symmetrize_(self.covariance.gram()[0])
        alpha, precision = self.arrays["alpha_"], self.s.square()
        sites = Sites(precision, alpha + precision * (K @ alpha))
        m, v = leave_one_out(K, sites, self.likelihood.copies)
        return double(m[:, None]), double(v[:, None])


class MulticlassPosterior(Posterior):
    """The functions of all classes (GPML algorithm 3.4), by Laplace or nested EP.

    It keeps `alpha_` (C, n), the site precisions `D_` (C, n), `E_` (C, n, n) =
    (K + D_c^-1)^-1, and the factor `M_` (n, n) of the sum of E_.
    """

    @property
    def n_functions(self):
        return len(self.arrays["alpha_"])

    def moments(self, X, spread=None, *, noise=True):
        if spread == "cov":
            mean, cov = self.joint_moments(X, noise=noise)
            return mean.mT, cov.diagonal(dim1=0, dim2=2).contiguous()
        a, points = self.arrays["alpha_"], self.covariance.points
        bytes_per_row = 3 * len(a) * points.n * points.itemsize
        means, spreads = [], []
        for rows in row_blocks(len(X), bytes_per_row, points.device):
            Z = points.others(X[rows])
            k = self.covariance.cross(Z)
            means.append(double(k) @ double(a.mT))
            if spread:
                prior = self.covariance.diag(Z, noise=noise)
                spreads.append(latent_moments(k, prior, *self._kept())[1])
        if not spread:
            return torch.cat(means), None
        cov = double(torch.cat(spreads))
        return torch.cat(means), (
            cov if spread == "latent" else cov.diagonal(dim1=1, dim2=2)
        )

    def joint_moments(self, X, *, noise=True):
        """Mean (C, m) and covariance (C, m, C, m) of all latent values at X."""
        a, E, M = self._kept()
        k = self.covariance.cross(X)
        reach = k @ E
        through = solve_lower(M, reach.mT)
        cov = torch.einsum("ckm,dkl->cmdl", through, through)
        prior = self.covariance.full(X, noise=noise)
        for c, r in enumerate(reach):
            cov[c, :, c] += prior - r @ k.mT
        return double(a) @ double(k.mT), double(cov)

    def leave_one_out(self):
        """Mean (n, C) and covariance (n, C, C) of each row's functions without it."""
        K = symmetrize_(self.covariance.gram()[0])
        # One copy of a row of weight 1 or more, all of a lighter one.
        copies = self.likelihood.weight.clamp(min=1)
        return leave_one_class_out(
            K[None], *self._kept(), self.arrays["D_"], copies=copies
        )

    def _kept(self):
        return tuple(self.arrays[name] for name in ("alpha_", "E_", "M_"))
