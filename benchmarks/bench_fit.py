"""How long does a whole fit take, and how good is the optimum?

A fit converged if the gradient that it ended with, less what the bounds hold back, is
small beside the log marginal likelihood; scikit-learn's own function judges both.
"""

import warnings

import numpy as np
from contenders import OURS, SKLEARN, regressor
from harness import Contender, NotConverged, compete, options, problem, save
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor

SMALL = ((10, 1), (50, 4), (100, 4), (300, 4))
CASES = (*SMALL, (1000, 8), (2000, 8), (4000, 8))
QUICK = (*SMALL, (1000, 4))


def judge(X, y, X_test, y_test):
    """Quality of a fitted model: its LML at the optimum, test RMSE and NLPD."""
    referee = None

    def quality(model):
        nonlocal referee
        if referee is None:
            referee = GaussianProcessRegressor(model.kernel, optimizer=None).fit(X, y)
        theta, bounds = model.kernel_.theta, model.kernel_.bounds
        lml, gradient = referee.log_marginal_likelihood(theta, eval_gradient=True)
        free = np.clip(theta + gradient, *bounds.T) - theta
        if np.abs(free).max() > 1e-3 * max(1.0, abs(lml)):
            raise NotConverged(f"gradient of {np.abs(free).max():.3g} at LML {lml:.6g}")
        mean, std = model.predict(X_test, return_std=True)
        variance = std**2
        nlpd = 0.5 * (np.log(2 * np.pi * variance) + (y_test - mean) ** 2 / variance)
        return {
            "lml": float(lml),
            "rmse": float(np.sqrt(np.mean((y_test - mean) ** 2))),
            "nlpd": float(nlpd.mean()),
        }

    return quality


def fit(name, X, y, **settings):
    with warnings.catch_warnings():  # `judge` decides
        warnings.simplefilter("ignore", ConvergenceWarning)
        return regressor(name, X.shape[1], **settings).fit(X, y)


def main():
    args = options(__doc__)
    rows = []
    for n, d in QUICK if args.quick else CASES:
        X, y, X_test, y_test = problem(n, d, n_test=500)
        quality = judge(X, y, X_test, y_test)
        contenders = [
            Contender(name, lambda name=name, X=X, y=y: fit(name, X, y), quality)
            for name in (OURS, SKLEARN)
        ]
        rounds, block = (5, 0.5) if n <= 300 else (1, 0) if args.quick else (2, 0)
        rows += compete({"n": n, "d": d}, contenders, rounds=rounds, block=block)
    save("fit", rows, args)


if __name__ == "__main__":
    main()
