"""Several classes from binary problems: one against the rest, or every pair."""

import warnings
from itertools import combinations

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.gaussian_process.kernels import CompoundKernel
from sklearn.utils.parallel import Parallel, delayed

from .._data.arrays import as_numpy
from .._linalg.draws import joint_draws
from .._model.base import wants_fitted_value
from ..exceptions import callers_level
from .latent_gp import LatentGP


class BinaryProblems(BaseEstimator):
    """A set of binary problems on the same training rows.

    Parameters
    ----------
    settings : Settings
        Of each problem.
    n_jobs : int, default=None
        Processes; None means 1.
    labels : array-like of shape (n_classes,), default=None
        What warnings call the classes; None for their codes.

    Attributes
    ----------
    estimators_ : list of LatentGP
    classes_ : ndarray (n_classes,), codes
    kernel_ : CompoundKernel of the kernels of the problems
    """

    def __init__(self, settings, *, n_jobs=None, labels=None):
        self.settings = settings
        self.n_jobs = n_jobs
        self.labels = labels

    def fit(self, X, y, sample_weight=None, *, watch=None, shards=None):
        """Fit every problem; y holds codes 0, 1, ...; `watch` hears of each.

        ``shards(code)`` are those of the problem of a class, where X are but a draw
        of all rows; problems then are fitted one after the other.
        """
        self.X_train_, self.y_train_ = X, y
        codes = np.unique(y) if shards is None else range(len(self.labels))
        self.classes_ = np.array(codes)  # a draw may lack a class
        problems = self._problems(X, y, sample_weight)
        n_jobs = self.n_jobs if shards is None else None
        parallel = effective_n_jobs(n_jobs) > 1
        points = None if parallel else self._shared_points(X)
        watches = self._watches(watch, len(problems))
        fits = Parallel(n_jobs=n_jobs)(
            delayed(_fit)(
                LatentGP(self.settings), *problem, points, watch, shards and shards(c)
            )
            for c, (problem, watch) in enumerate(zip(problems, watches, strict=True))
        )
        self.estimators_ = [estimator for estimator, _ in fits]
        self._warn([caught for _, caught in fits])
        self.log_marginal_likelihood_value_ = np.mean(
            [e.log_marginal_likelihood() for e in self.estimators_]
        )
        return self

    def _names_of_problems(self):
        labels = self.classes_ if self.labels is None else self.labels
        return self._names([str(label) for label in labels])

    def _watches(self, watch, n_problems):
        """A Watch for each problem; None where nobody watches."""
        if watch is None:
            return [None] * n_problems
        return [
            watch.task("problem", k, f"problem {name}", sequential_subtasks=False)
            for k, name in enumerate(self._names_of_problems())
        ]

    def _warn(self, caught):
        """The warnings of the problems, one of each kind, naming whose they are."""
        names = self._names_of_problems()
        for category in {w.category: None for problem in caught for w in problem}:
            whose = [
                (name, next(w for w in problem if w.category is category))
                for name, problem in zip(names, caught, strict=True)
                if any(w.category is category for w in problem)
            ]
            shown = ", ".join(name for name, _ in whose[:5])
            more = ", ..." if len(whose) > 5 else ""
            warnings.warn(
                f"{whose[0][1].message} (So in {len(whose)} of {len(names)} binary "
                f"problems: {shown}{more}.)",
                category,
                stacklevel=callers_level(),
            )

    def _shared_points(self, X):
        return LatentGP(self.settings).points(X)

    @property
    def kernel_(self):
        return CompoundKernel([e.kernel_ for e in self.estimators_])

    @property
    def log_posterior_(self):
        return np.mean([e.log_posterior_ for e in self.estimators_])

    @property
    def optimizer_results_(self):
        return [record for e in self.estimators_ for record in e.optimizer_results_]

    def log_marginal_likelihood(
        self, theta=None, eval_gradient=False, clone_kernel=True
    ):
        """Mean of the problems' evidences, at one theta for all or one for each."""
        if wants_fitted_value(theta, eval_gradient):
            return self.log_marginal_likelihood_value_
        theta = np.asarray(theta, dtype=np.float64)
        n_problems = len(self.estimators_)
        n_dims = self.estimators_[0].kernel_.n_dims
        if theta.shape not in ((n_dims,), (n_dims * n_problems,)):
            raise ValueError(
                f"Shape of theta must be either ({n_dims},), one theta for all binary "
                f"problems, or ({n_dims * n_problems},), one for each of the "
                f"{n_problems}. Obtained theta with shape {theta.shape}."
            )
        shared = theta.size == n_dims
        parts = [theta] * n_problems if shared else np.split(theta, n_problems)
        results = [
            e.log_marginal_likelihood(part, eval_gradient, clone_kernel)
            for e, part in zip(self.estimators_, parts, strict=True)
        ]
        if not eval_gradient:
            return np.mean(results)
        values, gradients = zip(*results, strict=True)
        whole = np.mean(gradients, axis=0) if shared else np.ravel(gradients)
        return np.mean(values), whole if shared else whole / n_problems

    def latent_moments(self, X, spread="var"):
        """Those of the independent problems, side by side; see `LatentGP`."""
        moments = [e.latent_moments(X, spread) for e in self.estimators_]
        means, spreads = zip(*moments, strict=True)
        return torch.cat(means, dim=1), spread and torch.cat(spreads, dim=-1)

    def sample_latent(self, X, n_samples, rng):
        """Draws of the problems' latent functions at X: ndarray (m, q, n_samples)."""
        moments = map(as_numpy, self.latent_moments(X, "cov"))
        return joint_draws(*moments, n_samples, rng)


class OneVsRest(BinaryProblems):
    """One problem for each class; probabilities are the positive ones, normalised."""

    def _names(self, labels):
        return labels

    def _problems(self, X, y, weight):
        return [(X, (y == c).astype(np.int64), weight) for c in self.classes_]

    def log_proba(self, X):
        """Log of the class probabilities at X: (m, C)."""
        return _normalised([e.log_proba(X) for e in self.estimators_])

    def loo_log_proba(self):
        """The same for each training row without its own label: (n, C)."""
        return _normalised([e.loo_log_proba() for e in self.estimators_])


class OneVsOne(BinaryProblems):
    """One problem for each pair of classes, on the rows of these two.

    Probabilities by the second method of Wu, Lin and Weng (2004), "Probability
    estimates for multi-class classification by pairwise coupling".
    """

    def _names(self, labels):
        return [f"{one} or {other}" for one, other in combinations(labels, 2)]

    def _problems(self, X, y, weight):
        problems = []
        for rows, second in self._pairs(y):
            part = X[rows] if isinstance(X, np.ndarray) else [X[i] for i in rows]
            chosen = None if weight is None else weight[rows]
            problems.append((part, (y[rows] == second).astype(np.int64), chosen))
        return problems

    def _pairs(self, y):
        """Rows of both classes and the positive class, for each pair."""
        return [
            (np.flatnonzero((y == first) | (y == second)), second)
            for first, second in combinations(self.classes_, 2)
        ]

    def _shared_points(self, X):
        """None: every problem has rows of its own."""
        return None

    def log_proba(self, X):
        """Log of the class probabilities at X: (m, C)."""
        r = [e.log_proba(X)[:, 1].exp() for e in self.estimators_]
        return couple(r, len(self.classes_)).log()

    def loo_log_proba(self):
        """The same for each training row without its own label: (n, C)."""
        r = []
        for e, (rows, _) in zip(
            self.estimators_, self._pairs(self.y_train_), strict=True
        ):
            p = e.log_proba(self.X_train_)
            p[torch.as_tensor(rows, device=p.device)] = e.loo_log_proba()
            r.append(p[:, 1].exp())
        return couple(r, len(self.classes_)).log()


def _fit(estimator, X, y, weight, points, watch, shards):
    """The fitted estimator, and its warnings: from a worker they would not arrive."""
    if watch is not None:
        watch.begin()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, y, weight, points=points, watch=watch, shards=shards)
    if watch is not None:
        watch.end()
    return estimator, caught


def _normalised(log_proba):
    """Positive log probabilities, normalised over problems (in logs: no 0 / 0)."""
    return torch.log_softmax(torch.stack([p[:, 1] for p in log_proba], dim=1), dim=1)


def couple(r, n_classes):
    """Class probabilities from those of pairs.

    Minimises sum_{i != j} (r_ji p_i - r_ij p_j)^2 subject to sum_i p_i = 1: a linear
    system, whose solution is positive (Wu, Lin and Weng 2004, section 4.2).

    Parameters
    ----------
    r : list of tensors (m,)
        Probability of the second class of each pair, in lexical order.

    Returns
    -------
    tensor (m, n_classes)
    """
    C, m = n_classes, r[0].shape[0]
    R = r[0].new_zeros(m, C, C)  # R[:, i, j] = p(i | i or j)
    for (i, j), second in zip(combinations(range(C), 2), r, strict=True):
        # Away from 0 and 1, where the system may become singular.
        second = second.clamp(1e-12, 1 - 1e-12)
        R[:, i, j], R[:, j, i] = 1 - second, second
    system = r[0].new_zeros(m, C + 1, C + 1)
    system[:, :C, :C] = -R * R.mT
    system.diagonal(dim1=1, dim2=2)[:, :C] = R.square().sum(dim=1)
    system[:, :C, C] = system[:, C, :C] = 1
    target = r[0].new_zeros(m, C + 1)
    target[:, C] = 1
    p = torch.linalg.solve(system, target)[:, :C].clamp(min=1e-300)
    return p / p.sum(dim=1, keepdim=True)
