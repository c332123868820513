"""Data of several outputs, and dense formulas of what their models say of them."""

import numpy as np
from dense_formulas import log_normal
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sklearn_torchgp.kernels import Columns, Coregion

RNG = np.random.RandomState(0)
N, T = 17, 3
X = RNG.uniform(-2, 2, (N, 2))
Z = RNG.uniform(-2, 2, (5, 2))
Y = np.c_[np.sin(X.sum(1)), np.cos(X[:, 0]), X[:, 1] - np.sin(X.sum(1))]
Y += 0.1 * RNG.randn(N, T)
HOLES = Y.copy()
HOLES[RNG.rand(N, T) < 0.3] = np.nan
HOLES[4] = np.nan  # a row of which nothing is known

FEATURES = RBF([0.8, 1.4])
W = np.array([[1.0, 0.2, 0.0], [-0.4, 0.8, 0.3], [0.5, -0.6, 0.4]])
KAPPA = np.array([0.2, 0.1, 0.3])
NOISE = np.array([0.05, 0.1, 0.02])
B = W @ W.T + np.diag(KAPPA)


def noise_of_outputs(noise=NOISE):
    outputs = Coregion(len(noise), 0, kappa=noise)
    return WhiteKernel(1.0, "fixed") * Columns(outputs, -1)


def long_kernel(outputs=None, noise=NOISE, features=FEATURES):
    """The ICM of all three outputs with a full B, or with another Coregion."""
    outputs = Coregion(T, T, W, KAPPA) if outputs is None else outputs
    by_features = Columns(features, slice(None, -1))
    return by_features * Columns(outputs, -1) + noise_of_outputs(noise)


class Dense:
    """The ICM by Kronecker products, of which what is missing is struck out.

    Outputs are the slow index: output 0 at all rows comes first.
    """

    def __init__(self, X, Y, B, noise, kernel=FEATURES, alpha=1e-10):
        self.X, self.B, self.noise, self.kernel = X, B, noise, kernel
        self.y = Y.T.ravel()
        self.known = ~np.isnan(self.y)
        K = np.kron(B, kernel(X))
        K += np.kron(np.diag(noise), np.eye(len(X))) + alpha * np.eye(len(self.y))
        self.K = K[np.ix_(self.known, self.known)]

    @property
    def evidence(self):
        y = self.y[self.known]
        return log_normal(y, np.zeros(len(y)), self.K)

    def joint(self, Z):
        """Mean (m, t), and covariance (m, t, m, t) with the outputs' own noise."""
        m, t = len(Z), len(self.B)
        k = np.kron(self.B, self.kernel(Z, self.X))[:, self.known]
        mean = k @ np.linalg.solve(self.K, self.y[self.known])
        cov = np.kron(self.B, self.kernel(Z)) + np.kron(np.diag(self.noise), np.eye(m))
        cov -= k @ np.linalg.solve(self.K, k.T)
        return mean.reshape(t, m).T, cov.reshape(t, m, t, m).transpose(1, 0, 3, 2)


CORRELATION = -0.95


def simulated(seed, n=120):
    """Two noisy outputs with a correlation; half of the second is missing.

    Returns rows, outputs, new rows and the outputs there.
    """
    rng = np.random.RandomState(seed)
    X = rng.uniform(0, 1, (n + 100, 2))
    f, g = rng.multivariate_normal(np.zeros(len(X)), RBF(0.15)(X), size=2)
    second = CORRELATION * f + np.sqrt(1 - CORRELATION**2) * g
    Y = np.c_[f, second] + 0.1 * rng.randn(len(X), 2)
    seen = Y[:n].copy()
    seen[: n // 2, 1] = np.nan
    return X[:n], seen, X[n:], Y[n:]


AMPLITUDE = ConstantKernel(1.0) * RBF(0.3) + WhiteKernel(0.1)
