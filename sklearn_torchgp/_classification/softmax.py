"""All classes in one problem: softmax likelihood, joint Laplace approximation."""

import torch

from .._data.arrays import as_numpy, resolve_dtype
from .._inference.sites.softmax_laplace import posterior_blocks, softmax_laplace
from .._likelihoods import Softmax, softmax_average
from .._likelihoods.softmax_average import POINTS
from .._linalg.cholesky import solve_lower, symmetrize_
from .._linalg.draws import joint_draws
from .._linalg.memory import row_blocks
from .binary import LatentGP


class SoftmaxGP(LatentGP):
    """Classification with a softmax over one latent function a class; see `LatentGP`.

    Attributes
    ----------
    kernel_ : kernel
        Shared by all classes.
    X_train_, y_train_ : training rows and codes 0, 1, ...
    alpha_ : ndarray (n_classes, n)
        K^-1 times the posterior mode.
    E_ : ndarray (n_classes, n, n)
        (K_c + D_c^-1)^-1, with D the weighted probabilities at the mode.
    M_ : ndarray (n, n)
        Lower Cholesky factor of the sum of E_ over classes.
    log_marginal_likelihood_value_ : float
    optimizer_results_ : list of Bunch
    """

    def _likelihood(self, device):
        codes = torch.as_tensor(self.y_train_).to(device)
        y = torch.nn.functional.one_hot(codes, len(self.classes_)).mT
        weighted = self.sample_weight_ is not None
        weight = self._tensor("sample_weight_", device) if weighted else None
        return Softmax(y.to(resolve_dtype(self.dtype)), weight)

    def _infer(self, K, likelihood, start, work):
        max_iter = self.max_iter_predict
        return softmax_laplace(K[None], likelihood, start, max_iter=max_iter, work=work)

    def _store(self, result, K, work):
        self.alpha_ = as_numpy(result.a)
        self.E_ = as_numpy(result.E)
        self.M_ = as_numpy(result.M.tril_())

    def latent_mean(self, X):
        """Posterior mean of every f_c at X: (m, C)."""
        return self.latent_moments(X)[0]

    def latent_moments(self, X):
        """Posterior mean and variance of every f_c at X: (m, C) each."""
        moments = list(self._blocks(X))
        mean = torch.cat([m for m, _ in moments])
        variance = torch.cat([S.diagonal(dim1=1, dim2=2) for _, S in moments])
        return mean, variance.clamp(min=0)

    def latent_joint(self, X):
        """Posterior mean (m, C), and covariance between rows within a class."""
        mean, cov = self._joint(X)
        within = cov.diagonal(dim1=0, dim2=2).contiguous()
        return mean.mT, within

    def log_proba(self, X):
        """Log of the class probabilities at X: (m, C)."""
        return torch.cat([softmax_average(m, S) for m, S in self._blocks(X)]).log()

    def sample_latent(self, X, n_samples, rng):
        """Joint draws of all f_c at X: ndarray (m, C, n_samples)."""
        mean, cov = map(as_numpy, self._joint(X))
        size = mean.size
        draws = joint_draws(
            mean.reshape(size, 1), cov.reshape(size, size, 1), n_samples, rng
        )
        return draws.reshape(*mean.shape, n_samples).swapaxes(0, 1)

    def loo_log_proba(self):
        """Log probabilities (n, C) for each training row without its own label.

        The Gaussian site of a row, W_i with gradient g_i, is taken out of its
        posterior: cov (I - W cov)^-1 and mean - that times g.
        """
        covariance = self._fitted_covariance()
        device = covariance.points.device
        K = symmetrize_(covariance.gram()[0])
        likelihood = self._likelihood(device)
        a, E, M = (self._tensor(name, device) for name in ("alpha_", "E_", "M_"))
        f = a @ K
        Sigma = posterior_blocks(K[None], E, M).double()
        pi = likelihood.probabilities(f).mT.double()
        # One copy of a row of weight 1 or more, all of a lighter one.
        w = likelihood.weight.double()
        share = (w.clamp(max=1) / w)[:, None]
        W = torch.diag_embed(pi) - pi[:, :, None] * pi[:, None, :]
        W = w.clamp(max=1)[:, None, None] * W
        identity = torch.eye(W.shape[-1], dtype=W.dtype, device=W.device)
        cov = torch.linalg.solve(identity - Sigma @ W, Sigma)
        shift = cov @ (share * a.mT.double())[:, :, None]
        mean = f.mT.double() - shift[:, :, 0]
        blocks = row_blocks(len(mean), 24 * POINTS * len(f), device)
        return torch.cat([softmax_average(mean[b], cov[b]) for b in blocks]).log()

    def _blocks(self, X):
        """Mean (b, C) and covariance (b, C, C) for blocks of rows (GPML 3.4)."""
        covariance = self._fitted_covariance()
        points = covariance.points
        a, E, M = (self._tensor(n, points.device) for n in ("alpha_", "E_", "M_"))
        bytes_per_row = len(a) * (3 * points.n * points.itemsize + 24 * POINTS)
        for rows in row_blocks(len(X), bytes_per_row, points.device):
            Z = points.others(X[rows])
            k = covariance.cross(Z)
            reach = k @ E
            through = solve_lower(M, reach.mT)
            S = torch.einsum("ckm,dkm->mcd", through, through)
            prior = covariance.diag(Z)[:, None]
            S.diagonal(dim1=1, dim2=2).add_(prior - (reach * k).sum(dim=2).mT)
            yield k.double() @ a.mT.double(), S.double()

    def _joint(self, X):
        """Mean (C, m) and covariance (C, m, C, m) of all latent values at X."""
        covariance = self._fitted_covariance()
        device = covariance.points.device
        a, E, M = (self._tensor(n, device) for n in ("alpha_", "E_", "M_"))
        k = covariance.cross(X)
        reach = k @ E
        through = solve_lower(M, reach.mT)
        cov = torch.einsum("ckm,dkl->cmdl", through, through)
        prior = covariance.full(X)
        for c, r in enumerate(reach):
            cov[c, :, c] += prior - r @ k.mT
        return a.double() @ k.mT.double(), cov.double()
