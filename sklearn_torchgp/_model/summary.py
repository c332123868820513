"""What a fitted estimator is, in a table: `summary()`, and a line for HTML."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._data.arrays import as_numpy


class Summary:
    """What `summary` returns: prints as a table.

    Attributes
    ----------
    title : str
    hyperparameters : list of dict
        `name`, `value`, `bounds` (None where fixed) and `at_bound` ("lower", "upper"
        or ""), in the order of the kernel.
    facts : dict
        Everything else, by name; what a model does not have is left out.
    """

    def __init__(self, title, hyperparameters, facts):
        self.title = title
        self.hyperparameters = hyperparameters
        self.facts = facts

    def as_dict(self):
        """Everything, as plain numbers, strings, lists and dicts."""
        rows = [dict(row) for row in self.hyperparameters]
        return {"estimator": self.title, "hyperparameters": rows, **self.facts}

    def __str__(self):
        rows = [("hyperparameter", "value", "bounds", "at bound")]
        for row in self.hyperparameters:
            bounds = row["bounds"]
            shown = "fixed" if bounds is None else "{:.3g} to {:.3g}".format(*bounds)
            rows.append((row["name"], f"{row['value']:.5g}", shown, row["at_bound"]))
        facts = [(name.replace("_", " "), _text(v)) for name, v in self.facts.items()]
        return "\n".join([self.title, "", *_columns(rows), "", *_columns(facts)])

    __repr__ = __str__


def summarise(estimator):
    """The Summary of a fitted regressor or classifier."""
    check_is_fitted(estimator, "kernel_")
    first = getattr(estimator, "base_estimator_", estimator)
    first = getattr(first, "estimators_", [first])[0]
    X = first.X_train_
    n = len(getattr(estimator, "base_estimator_", estimator).X_train_)
    facts = {
        "rows": n,
        "features": getattr(estimator, "n_features_in_", None),
        "log_marginal_likelihood": float(estimator.log_marginal_likelihood_value_),
        "log_posterior": _log_posterior(estimator),
        "objective": _objective(estimator),
        "noise": _noise(estimator, X),
        "classes": getattr(estimator, "n_classes_", None),
        "inference": _inference(estimator),
        "method": estimator.method,
        "dtype": estimator.dtype,
        "device": str(estimator._device_for(n, fitted=True)),
        **_optimisation(estimator),
        "jitter": getattr(estimator, "jitter_", None),
    }
    facts = {name: value for name, value in facts.items() if value is not None}
    title = type(estimator).__name__
    return Summary(title, _hyperparameters(estimator), facts)


def visual_block(estimator):
    """scikit-learn's box in a diagram, with kernel and evidence once fitted."""
    name = type(estimator).__name__
    caption = None
    if hasattr(estimator, "log_marginal_likelihood_value_"):
        lml = estimator.log_marginal_likelihood_value_
        caption = f"{estimator.kernel_}, log marginal likelihood {lml:.5g}"
    return SimpleNamespace(
        kind="single",
        estimators=estimator,
        names=name,
        name_details=str(estimator),
        name_caption=caption,
        doc_link_label=None,
        dash_wrapped=True,
    )


def _log_posterior(estimator):
    """The evidence with the log density of priors, where there are some."""
    value = float(estimator.log_posterior_)
    return None if value == estimator.log_marginal_likelihood_value_ else value


def _objective(estimator):
    """The value of an objective other than the evidence."""
    if estimator.objective == "lml":
        return None
    return float(estimator.objective_value_)


def _noise(estimator, X):
    """Standard deviation of a new observation around the function, where it is one.

    In units of y (of its transform, where there is one); the mean over targets. Known
    noise of each row comes on top of it.
    """
    if not hasattr(estimator, "_targets"):
        return None
    posterior, targets = estimator._posterior(), estimator._targets()
    one = as_numpy(X)[:1]
    with_it, without = (
        targets.gaussian(posterior, one, "var", noisy)[1] for noisy in (True, False)
    )
    return float(np.sqrt(np.maximum(with_it - without, 0.0)).mean())


def _inference(estimator):
    if not hasattr(estimator, "inference"):
        return None
    return f"{estimator.inference}, {estimator.link}"


def _optimisation(estimator):
    """Starts, evaluations and seconds of them all, the best start's convergence."""
    records = estimator.optimizer_results_
    if not records:
        return {"evaluations": 0}
    seconds = sum(record.seconds for record in records)
    evaluations = sum(
        r.n_evaluations + sum(r.n_coarse_evaluations.values()) for r in records
    )
    return {"starts": len(records), "evaluations": evaluations, "seconds": seconds}


def _hyperparameters(estimator):
    """A dict for each number of the kernel: fixed ones, too."""
    kernel = estimator.kernel_
    if isinstance(kernel, list):
        problems, parts = [f"target {j}" for j in range(len(kernel))], kernel
    elif hasattr(kernel, "kernels"):
        problems, parts = _problem_names(estimator), kernel.kernels
    else:
        return _rows(kernel)
    return [
        {**row, "name": f"{problem}: {row['name']}"}
        for problem, part in zip(problems, parts, strict=True)
        for row in _rows(part)
    ]


def _problem_names(estimator):
    """What the binary problems of a classifier are called."""
    labels = as_numpy(estimator.classes_)
    if estimator.multi_class == "one_vs_one":
        return [f"{one} or {other}" for one, other in combinations(labels, 2)]
    return [f"class {label}" for label in labels]


def _rows(kernel):
    rows, place, params = [], 0, kernel.get_params()
    bounds, theta = kernel.bounds, kernel.theta
    for hyper in kernel.hyperparameters:
        values, free, limits = _elements(kernel, params, hyper)
        for k, value in enumerate(values):
            name = f"{hyper.name}[{k}]" if len(values) > 1 else hyper.name
            row = {"name": name, "value": float(value), "bounds": None, "at_bound": ""}
            if free[k]:
                row["bounds"] = tuple(next(limits).tolist())
                lower, upper = np.isclose(bounds[place], theta[place])
                row["at_bound"] = "lower" if lower else "upper" if upper else ""
                place += 1
            rows.append(row)
    return rows


def _elements(kernel, params, hyper):
    """Values of a hyperparameter, which of them are free, and the bounds of these."""
    limits = iter(() if hyper.fixed else np.asarray(hyper.bounds, dtype=float))
    path, _, own = hyper.name.rpartition("__")
    owner = params[path] if path else kernel
    if hasattr(owner, "forms"):  # of ours: some may be fixed, some None
        return *owner.forms()[own].shown, limits
    values = np.atleast_1d(params[hyper.name]).astype(float)
    return values, np.full(len(values), not hyper.fixed), limits


def _text(value):
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _columns(rows):
    """Rows of cells as lines, each column as wide as its widest cell."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
