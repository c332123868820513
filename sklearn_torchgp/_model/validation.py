"""Arrays in, arrays out: input is checked before any work, or known to be good."""

from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from sklearn import get_config
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils.validation import validate_data

from .._data.arrays import (
    NUMPY,
    ArrayKind,
    as_numpy,
    check_no_dates,
    check_same_kind,
    is_valid_column,
    is_valid_table,
    resolve_dtype,
)
from .._data.rows import as_numbers
from .default import is_auto
from .log_prior import check_priors
from .progress import watched

# Parameter values that have passed scikit-learn's checks, a good part of a small fit;
# forgotten when there are many, as in a search over numbers.
_PASSED, MOST_PASSED = set(), 1000


def _as_checked(estimator):
    """All that the checks of parameters look at, or None: constants, and types."""
    values = [type(estimator)]
    for name in _parameter_names(type(estimator)):
        value = getattr(estimator, name)
        kind = type(value)
        if kind in (float, int, bool, str, type(None)):
            values.append((kind, value))
        elif isinstance(value, Kernel):
            values.append(kind)
        else:
            return None
    return tuple(values)


@cache
def _parameter_names(cls):
    return cls._get_param_names()


class Validation:
    """What GPEstimator checks of parameters and rows, and how it answers."""

    def _check_params(self):
        if not get_config()["skip_parameter_validation"]:
            values = _as_checked(self)
            if values is None or values not in _PASSED:
                self._validate_params()
                if len(_PASSED) >= MOST_PASSED:
                    _PASSED.clear()
                _PASSED.add(values)
        resolve_dtype(self.dtype)
        check_priors(self.priors)

    @contextmanager
    def _all_or_nothing(self, **given):
        """Leave the estimator as it was if the body does not come to its end.

        What a `fit` was `given` is for those who watch it, if there are any.
        """
        before = dict(vars(self))
        try:
            alone = given and self._watch is None  # else part of a fit that is watched
            if alone and (self.verbose or "_skl_callbacks" in before):
                with watched(self, **given):
                    yield
            else:
                yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _input_rules(self, kernel):
        """What `validate_data` should ask of X for this kernel."""
        if kernel is None or is_auto(kernel) or kernel.requires_vector_input:
            return {"dtype": "numeric", "ensure_2d": True}
        return {"dtype": None, "ensure_2d": False}

    def _validate_training_data(self, X, y, **rules):
        """X and y as validated NumPy arrays, and the kind of array that X was."""
        plain = is_valid_table(X) and is_valid_column(y, len(X))
        if plain and "feature_names_in_" not in vars(self) and rules.get("reset", True):
            self.n_features_in_ = X.shape[1]
            return X, y, NUMPY
        kind = ArrayKind(X)
        X, y = validate_data(
            self, as_numpy(X), as_numpy(y), **self._input_rules(self.kernel), **rules
        )
        check_no_dates(X)
        return X, as_numbers(y) if rules.get("y_numeric") else y, kind

    def _validate_rows(self, X, method):
        """New rows as a validated NumPy array, and the kind of array that X was."""
        if self._is_valid(X):
            return X, NUMPY
        kind = ArrayKind(X)
        if hasattr(self, "X_train_"):
            name = f"{type(self).__name__}.{method}()"
            check_same_kind(X, self.X_train_, name)
        rules = self._input_rules(self.kernel)
        X = validate_data(self, as_numpy(X), reset=False, **rules)
        check_no_dates(X)
        return X, kind

    def _is_valid(self, X):
        """Whether validation of new rows X would end with X itself."""
        fitted = vars(self)
        seen = fitted.get("X_train_", fitted.get("_no_rows"))
        return (
            type(seen) is np.ndarray
            and "feature_names_in_" not in fitted
            and is_valid_table(X)
            and X.shape[1] == fitted.get("n_features_in_")
        )

    def _shown(self, values, X, kind):
        """As the caller's kind of array; the last axis is dropped if it is of one."""
        values = values[..., 0] if values.shape[-1] == 1 else values
        narrow = X.dtype == np.float32 and resolve_dtype(self.dtype) == torch.float32
        wanted = np.float32 if narrow else np.float64
        return kind(values if values.dtype == wanted else values.astype(wanted))
