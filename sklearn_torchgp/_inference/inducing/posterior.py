"""The posterior seen through inducing points.

With P = L^-T (I - B^-1) L^-1 and k = k(Z, x*), and where there is a trend h'beta,

    mean = k'gamma + h*'beta,    gamma = L^-T B^-1 (b_y - b_H beta)
    variance = k** - k'P k + |R^-T d|^2,    d = h* - b_H'B^-1 L^-1 k.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from ..._linalg.cholesky import solve_lower
from ..._linalg.memory import Workspace
from ..._linalg.precision import double
from ..columns import Coefficients
from ..contract import Posterior
from ..dense import DensePosterior
from .left_out import left_out
from .statistics import Solution, Statistics, Whitening


def kept(Z, whitening, found, solutions):
    """What a posterior keeps, as named tensors."""
    return {
        "inducing_points_": torch.from_numpy(np.array(Z.objects)),
        "_inducing_L": whitening.L,
        "_inducing_L_B": torch.stack([one.L_B for one in solutions]),
        "_inducing_b": torch.stack([one.b for one in found]),
        "_inducing_squares": torch.stack([one.squares for one in found]),
        "_inducing_rest": torch.stack([one.rest for one in found]),
    }


class InducingPosterior(Posterior):
    """f given noisy observations of it, all of them seen through inducing points.

    It keeps `inducing_points_` (m, d), the factors of K_uu and of B, and the sums over
    the rows, to which further rows are added.

    Parameters
    ----------
    method : Inducing
    """

    def __init__(self, method, covariance, likelihood, arrays):
        super().__init__(covariance, likelihood, arrays)
        self.method = method

    @property
    def n_functions(self):
        return self.likelihood.y.shape[1]

    @cached_property
    def points(self):
        """The inducing points, as Points."""
        Z = self.arrays["inducing_points_"].cpu().double().numpy()
        return self.covariance.points.others(Z)

    @cached_property
    def L(self):
        return double(self.arrays["_inducing_L"])

    @cached_property
    def solutions(self):
        """The Solution of each factor."""
        names = "_inducing_L_B", "_inducing_b", "_inducing_squares", "_inducing_rest"
        parts = (double(self.arrays[name]) for name in names)
        return [Solution.with_factor(*one) for one in zip(*parts, strict=True)]

    @property
    def statistics(self):
        """The Statistics of each factor."""
        found, eye = [], torch.eye(len(self.L)).to(self.L)
        for i, one in enumerate(self.solutions):
            rest = double(self.arrays["_inducing_rest"])[i]
            squares = double(self.arrays["_inducing_squares"])[i]
            S = one.L_B @ one.L_B.mT - eye
            found.append(Statistics(S, one.b, squares, rest))
        return found

    @property
    def trend(self):
        """The Coefficients of all targets; None without a trend."""
        return self.seen.trend

    @cached_property
    def seen(self):
        """What new rows see: a posterior over the inducing points."""
        return SeenThrough(self)

    def whitening(self, at):
        """The Whitening that the sums were made with, for rows of `at`."""
        return Whitening(at.points.others(self.points.objects), self.L, 0.0, None)

    def moments(self, X, spread=None, *, noise=True):
        return self.seen.moments(X, spread, noise=noise)

    def slopes(self, X, *, variance=False):
        return self.seen.slopes(X, variance=variance)

    def leave_one_out(self):
        """Mean (n, t) and variance (n, n_factors) of the noisy observations."""
        at, factors = self.covariance.at(), self.likelihood.factors()
        found = [
            left_out(at, self.whitening(at), observed, solution)
            for observed, solution in zip(factors, self.solutions, strict=True)
        ]
        means, variances = zip(*found, strict=True)
        return torch.cat(means, dim=1), torch.stack(variances, dim=1)

    def factors(self):
        """A posterior for each factor, of the targets that share it."""
        names = "_inducing_L_B", "_inducing_b", "_inducing_squares", "_inducing_rest"
        parts = []
        for i, one in enumerate(self.likelihood.factors()):
            arrays = {n: self.arrays[n] for n in ("inducing_points_", "_inducing_L")}
            arrays.update((name, self.arrays[name][i : i + 1]) for name in names)
            parts.append(InducingPosterior(self.method, self.covariance, one, arrays))
        return parts

    def observed(self, function):
        """As the contract says: of a function its values at the points, carried over
        to the rows, are all that they see.
        """
        at, L = self.covariance.at(), self.L
        values = torch.as_tensor(function(self.points.objects)).to(L)
        told = torch.cholesky_solve(values, L)
        rows = at.points
        seen = [
            double(at.cross(rows[some], self.points)[0]) @ told
            for some in self.whitening(at).blocks(rows.n)
        ]
        return torch.cat(seen)

    def condition(self, residual):
        """As the contract says, for a posterior of one factor."""
        likelihood = replace(self.likelihood, y=residual)
        start = self.method.start(self.arrays)
        points = self.covariance.points
        work = Workspace(points.dtype, points.device)
        found = self.method.infer(self.covariance, likelihood, start=start, work=work)
        return found.posterior()


class SeenThrough(DensePosterior):
    """The same for new rows, which the m inducing points tell everything.

    Parameters
    ----------
    posterior : InducingPosterior
    """

    def __init__(self, posterior):
        covariance = posterior.covariance.on(posterior.points)
        super().__init__(covariance, posterior.likelihood, posterior.arrays)
        self.L, self.solutions = posterior.L, posterior.solutions
        targets = [one.y.shape[1] for one in posterior.likelihood.factors()]
        self.of_factors = [
            Coefficients.of(one.sums.S, t)
            for one, t in zip(self.solutions, targets, strict=True)
        ]
        gammas = [
            _gamma(self.L, one, trend, t)
            for one, trend, t in zip(
                self.solutions, self.of_factors, targets, strict=True
            )
        ]
        self.alpha = torch.cat(gammas, dim=1).to(covariance.points.zeros(0))

    @property
    def n_factors(self):
        return len(self.solutions)

    @cached_property
    def trend(self):
        if self.likelihood.basis is None:
            return None
        beta = torch.cat([one.beta for one in self.of_factors], dim=1)
        return Coefficients(None, beta.to(self.alpha))

    def few_moments(self, X, spread=None, *, noise=True):
        return None

    def _explained(self, k, h):
        a = solve_lower(self.L, double(k.mT))
        prior = a.square().sum(0)
        parts = [
            prior - sum(part.square().sum(0) for part in self._left(i, a, h))
            for i in range(self.n_factors)
        ]
        return torch.stack(parts, dim=1)

    def _explained_covariance(self, k, h):
        a = solve_lower(self.L, double(k.mT))
        prior = a.mT @ a
        parts = [
            prior - sum(part.mT @ part for part in self._left(i, a, h))
            for i in range(self.n_factors)
        ]
        return torch.stack(parts, dim=-1)

    def _variance_weights(self, k, h):
        a = solve_lower(self.L, double(k.mT))
        c, e = [], []
        for i, one in enumerate(self.solutions):
            left, *unsure = self._left(i, a, h)
            back = left
            if unsure:
                R, V = self.of_factors[i].R.to(a), self._trend_b(i)
                share = torch.linalg.solve_triangular(R, unsure[0], upper=True)
                back = back - solve_lower(one.L_B, V) @ share
                e.append(share.mT.to(k))
            back = a - torch.linalg.solve_triangular(one.L_B.mT, back, upper=True)
            c.append(torch.linalg.solve_triangular(self.L.mT, back, upper=True).mT)
        return torch.stack(c).to(k), torch.stack(e) if e else None

    def _left(self, i, a, h):
        """Factor i: roots of what is left unsure of the points, and of the trend."""
        one = self.solutions[i]
        left = [solve_lower(one.L_B, a)]
        if h is not None:
            told = solve_lower(one.L_B, self._trend_b(i)).mT @ left[0]
            lower = self.of_factors[i].R.mT.to(a)
            left.append(solve_lower(lower, double(h).mT - told))
        return left

    def _trend_b(self, i):
        return self.solutions[i].b[:, -self.likelihood.basis.H.shape[1] :]


def _gamma(L, solution, trend, t):
    """L^-T B^-1 (b_y - b_H beta): (m, t)."""
    b = solution.b[:, :t]
    if trend is not None:
        b = b - solution.b[:, t:] @ trend.beta.to(b)
    beta = torch.cholesky_solve(b, solution.L_B)
    return torch.linalg.solve_triangular(L.mT, beta, upper=True)
