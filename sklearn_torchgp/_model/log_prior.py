"""Priors of a kernel's hyperparameters, as a term in theta."""

from dataclasses import fields

import numpy as np

from ..priors import Gamma, HalfNormal, LogNormal, Prior

OURS = (Gamma, HalfNormal, LogNormal)
ALLOWED = "LogNormal, Gamma, HalfNormal, or another Prior of sklearn_torchgp.priors"


class LogPrior:
    """theta -> sum of the log densities of the hyperparameters [, gradient].

    The densities are those of the hyperparameters themselves, without the Jacobian of
    their logarithms; the gradient is that in theta.

    Parameters
    ----------
    priors : dict
        Names of ``kernel.get_params()`` -> a Prior, for each element, or a list of
        them, one for each free element.
    kernel : scikit-learn kernel

    Raises
    ------
    ValueError
        Where a name, or what it stands for, is not that.
    """

    def __init__(self, priors, kernel):
        check_priors(priors)
        places, found = _places(kernel), []
        for name, given in priors.items():
            if name not in places:
                raise ValueError(_no_place(name, kernel, places))
            index = places[name]
            found += zip(_each(name, given, len(index)), index, strict=True)
        self.n_dims = kernel.n_dims
        self._groups = _grouped(found)

    def __call__(self, theta, eval_gradient=False):
        value, gradient = 0.0, np.zeros(self.n_dims)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            for prior, index in self._groups:
                x = np.exp(theta[index])
                value += float(np.sum(prior.log_density(x)))
                gradient[index] = prior.slope(x)
        if not np.isfinite(value):  # beyond the numbers that a float can be
            value, gradient = -np.inf, np.zeros(self.n_dims)
        return (value, gradient) if eval_gradient else value


class LogPosterior:
    """An objective plus the log prior of the kernel's part of the vector.

    It adds the same log prior whatever share of the rows the objective sees: the
    evidence of some rows is that of a smaller data set, which has the same prior, and
    one whose terms are drawn already stands for the evidence of all.

    Parameters
    ----------
    objective : callable (vector, eval_gradient) -> value [, gradient]
    log_prior : LogPrior
    """

    def __init__(self, objective, log_prior):
        self.objective, self.log_prior = objective, log_prior

    def __call__(self, vector, eval_gradient=True):
        found = self.objective(vector, eval_gradient)
        if eval_gradient:
            return _sum(self.log_prior, vector, *found)
        return np.float64(found + self.log_prior(vector[: self.log_prior.n_dims]))


def stages_with(log_prior, make_stages):
    """Stages of an optimisation, as `run_starts` takes them, with the prior in each."""
    return [
        (n_rows, LogPosterior(objective, log_prior), *rest)
        for n_rows, objective, *rest in make_stages()
    ]


def batch_with(log_prior, n_rows, evaluate):
    """The evaluation of all starts as one batch, with the prior of each."""

    def evaluate_posterior(vectors):
        found = zip(vectors, evaluate(vectors), strict=True)
        return [_sum(log_prior, vector, *pair) for vector, pair in found]

    return n_rows, evaluate_posterior


def _sum(log_prior, vector, value, gradient):
    """The value and gradient of an objective, with the prior's added."""
    p = log_prior.n_dims
    log_p, slope = log_prior(vector[:p], True)
    gradient = np.array(gradient, dtype=np.float64)
    gradient[:p] += slope
    return np.float64(value + log_p), gradient


def check_priors(priors):
    """Raise ValueError unless priors is None, or a dict from names to Priors."""
    if priors is None:
        return
    if not isinstance(priors, dict):
        raise ValueError(
            "The 'priors' parameter must be None or a dict from names of "
            f"hyperparameters, as in kernel.get_params(), to {ALLOWED}. Got "
            f"{priors!r} instead."
        )
    for name, given in priors.items():
        several = isinstance(given, (list, tuple))
        if not given if several else not isinstance(given, Prior):
            raise ValueError(_no_prior(name, given))
        if several and not all(isinstance(one, Prior) for one in given):
            raise ValueError(_no_prior(name, given))


def _no_prior(name, given):
    return (
        f"The 'priors' parameter must hold for {name!r} {ALLOWED}, or a list of these "
        f"with one for each element. Got {given!r} instead."
    )


def _places(kernel):
    """Name of each free hyperparameter -> indices of its elements in theta."""
    places, stop = {}, 0
    for hyper in kernel.hyperparameters:
        if not hyper.fixed:
            start, stop = stop, stop + hyper.n_elements
            if not _is_linear(kernel, hyper.name):
                places[hyper.name] = np.arange(start, stop)
    return places


def _is_linear(kernel, name):
    """Whether a hyperparameter stands in theta as it is, and may be negative."""
    *path, own = name.split("__")
    owner = kernel.get_params()["__".join(path)] if path else kernel
    return own in getattr(owner, "linear", ())


def _no_place(name, kernel, places):
    """What is wrong with a name that has no place in theta."""
    known = {hyper.name: hyper for hyper in kernel.hyperparameters}
    if name not in known:
        why = "is no hyperparameter of the kernel"
    elif known[name].fixed:
        why = "is fixed, so that a prior says nothing: give it bounds, in the kernel"
    else:
        why = "may be negative, and priors are for positive numbers: of the kernel"
    return (
        f"The 'priors' parameter has a prior for {name!r}, which {why} {kernel}. Leave "
        f"it out, or name one of {sorted(places)}."
    )


def _each(name, given, n_elements):
    """A list of n Priors."""
    if not isinstance(given, (list, tuple)):
        return [given] * n_elements
    if len(given) != n_elements:
        raise ValueError(
            f"The 'priors' parameter must hold for {name!r} one prior, or a list of "
            f"{n_elements}, its number of free elements. Got a list of {len(given)}."
        )
    return list(given)


def _grouped(found):
    """(prior, index) for (prior, place): those of a class of ours as one, of arrays.

    A prior for each of many features then costs no more than one for all. One of a
    user, who need not mean arrays as its parameters, stands by itself.
    """
    groups = {}
    for prior, place in found:
        key = type(prior) if type(prior) in OURS else id(prior)
        priors, index = groups.setdefault(key, ([], []))
        priors.append(prior)
        index.append(place)
    return [(_stacked(priors), np.array(index)) for priors, index in groups.values()]


def _stacked(priors):
    """Priors as one: those of a class of ours as one whose fields are arrays (k,)."""
    first = priors[0]
    if all(prior is first for prior in priors):
        return first
    stacked = object.__new__(type(first))
    for field in fields(stacked):
        values = np.array([getattr(prior, field.name) for prior in priors])
        object.__setattr__(stacked, field.name, values)
    return stacked
