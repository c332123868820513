"""A slow oracle of Gaussian-process classification with a softmax: sampling."""

import numpy as np


def log_softmax(f):
    """log softmax over the first axis."""
    f = f - f.max(axis=0)
    return f - np.log(np.exp(f).sum(axis=0))


def elliptical_slice_samples(K, y, n_samples, *, weight=None, burn=0.2, seed=0):
    """Draws of all latent values given the labels of the first rows.

    Elliptical slice sampling (Murray, Adams and MacKay 2010): a point on the ellipse
    through the current values and a draw from the prior, the bracket shrunk until the
    likelihood is above a random level. It has no step size and no rejections.

    Parameters
    ----------
    K : ndarray (m, m)
        Prior covariance of training rows, then others, shared by all classes.
    y : ndarray (n,), n <= m
        Codes 0, 1, ... of the first rows.
    n_samples : int
        Steps; the first part `burn` of them is left out.
    weight : ndarray (n,), default=None

    Yields
    ------
    f : ndarray (n_classes, m)
    """
    rng = np.random.RandomState(seed)
    n_classes, n = y.max() + 1, len(y)
    weight = np.ones(n) if weight is None else weight
    L = _root(K)

    def log_likelihood(f):
        return weight @ log_softmax(f[:, :n])[y, np.arange(n)]

    f = rng.randn(n_classes, len(K)) @ L.T
    now = log_likelihood(f)
    for step in range(n_samples):
        f, now = _step(f, now, L, log_likelihood, 1.0, rng)
        if step >= burn * n_samples:
            yield f


def _root(K):
    return np.linalg.cholesky(K + 1e-10 * np.trace(K) / len(K) * np.eye(len(K)))


def _step(f, now, L, log_likelihood, power, rng):
    """One step under N(0, LL') times the likelihood to this power."""
    other = rng.randn(*f.shape) @ L.T
    level = power * now + np.log(rng.rand())
    angle = rng.uniform(0, 2 * np.pi)
    low, high = angle - 2 * np.pi, angle
    while True:
        new = np.cos(angle) * f + np.sin(angle) * other
        now = log_likelihood(new)
        if power * now > level:
            return new, now
        low, high = (angle, high) if angle < 0 else (low, angle)
        angle = rng.uniform(low, high)


def annealed_evidence(K, y, n_steps, *, n_powers=60, burn=0.2, seed=0):
    """log p(y) of the training rows alone: the integral over t of E_t log p(y | f).

    E_t is under the prior times the likelihood to the power t, from 0 to 1 on a grid of
    fifth powers, n_steps each from where the last one ended (Gelman and Meng 1998). The
    trapezoidal rule is corrected by its slopes, the variances.
    """
    rng = np.random.RandomState(seed)
    L, rows = _root(K), np.arange(len(y))

    def log_likelihood(f):
        return log_softmax(f)[y, rows].sum()

    f = rng.randn(y.max() + 1, len(K)) @ L.T
    now = log_likelihood(f)
    powers, found = np.linspace(0, 1, n_powers) ** 5, []
    for power in powers:
        values = []
        for step in range(n_steps):
            f, now = _step(f, now, L, log_likelihood, power, rng)
            if step >= burn * n_steps:
                values.append(now)
        found.append((np.mean(values), np.var(values)))
    (mean, variance), h = np.array(found).T, np.diff(powers)
    steps = h * (mean[1:] + mean[:-1]) / 2 - h**2 * np.diff(variance) / 12
    return steps.sum()


def sampled_probabilities(K, y, n_samples, **options):
    """Class probabilities (m - n, n_classes) of the rows after the first n."""
    n = len(y)
    total = count = 0
    for f in elliptical_slice_samples(K, y, n_samples, **options):
        total, count = total + np.exp(log_softmax(f[:, n:])), count + 1
    return (total / count).T
