"""The posterior of no data: what an estimator says before `fit`."""

from .._linalg.precision import double
from .contract import Posterior


class Prior(Posterior):
    """The latent functions before any observation: zero mean, the kernel's covariance.

    Parameters
    ----------
    covariance : callable X -> Covariance on the rows X
    n_functions : int
    """

    is_prior = True

    def __init__(self, covariance, n_functions=1):
        super().__init__(covariance, None, {})
        self.n_functions = n_functions

    def moments(self, X, spread=None, *, noise=True):
        covariance = self.covariance(X)
        mean = double(covariance.points.zeros(len(X), self.n_functions))
        if spread == "cov":
            return mean, double(covariance.full(noise=noise)[..., None])
        if spread == "var":
            variance = covariance.diag(covariance.points, noise=noise)
            return mean, double(variance[:, None])
        return mean, None
