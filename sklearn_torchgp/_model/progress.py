"""What a fit tells while it runs: lines for `verbose`, events for callbacks.

scikit-learn's callbacks (from 1.9 on) see a tree of tasks: the fit, its binary problems
(of a classifier with several), their starts, the iterations of the optimiser. A fit
that nobody watches asks one question of the estimator and does nothing else.
"""

import os
import time
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch

from .._data.arrays import resolve_dtype
from .objective import Objective

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9 has no callbacks

    class CallbackSupportMixin:
        """Nothing: `set_callbacks` is missing where scikit-learn has none."""

    def with_callbacks(method):
        """The method itself."""
        return method


# A fit takes about as many evaluations from each start; it is announced from so many
# seconds on, measured on so many rows where there are at least twice as many.
EVALUATIONS, LONG, FEW_ROWS = 30, 60.0, 1000

# Methods that hold no n x n matrix: named as a cure where the estimator has them.
NO_MATRIX = ("vecchia", "inducing", "grid")


# Tells the callbacks that their fit is over: the decorator does nothing else.
_tear_down = with_callbacks(lambda estimator: None)


@contextmanager
def watched(estimator, X, y, **metadata):
    """A `fit` that somebody watches: the body, with a Watch in `estimator._watch`."""
    context, given = None, {"estimator": estimator, "X": X, "y": y}
    try:
        if "_skl_callbacks" in vars(estimator):
            context = estimator._init_callback_context(
                max_subtasks=None, sequential_subtasks=False
            )
            given["metadata"] = {k: v for k, v in metadata.items() if v is not None}
            context.call_on_fit_task_begin(**given)
        estimator._watch = Watch(
            estimator.verbose, type(estimator).__name__, context, given
        )
        yield
        del estimator._watch
        if context is not None:
            context.call_on_fit_task_end(**given, reconstruction_attributes={})
    finally:
        _tear_down(estimator)


class Watch:
    """Reports a task and what is done in it: a fit, a problem, a start.

    Parameters
    ----------
    verbose : int
    name : str
        What lines begin with.
    context : CallbackContext or None
        Of scikit-learn, where there are callbacks.
    given : dict
        `estimator`, `X`, `y` and `metadata` of the fit, which every event carries.
    """

    def __init__(self, verbose, name, context, given):
        self.verbose, self.name = verbose, name
        self.context, self.given = context, given

    def task(self, kind, number, name, **options):
        """The Watch of a part of the task."""
        context = None
        if self.context is not None:
            context = self.context.subcontext(
                task_name=kind, task_id=number, max_subtasks=None, **options
            )
        return Watch(self.verbose, f"{self.name}, {name}", context, self.given)

    def begin(self):
        """The task begins; seconds count from here."""
        self.began, self.n_iterations, self.n_evaluations = time.perf_counter(), 0, 0
        if self.context is not None:
            self.context.call_on_fit_task_begin(**self.given)

    def end(self):
        """The task has come to its end."""
        if self.context is not None:
            self.context.call_on_fit_task_end(**self.given)

    def iteration(self, n_evaluations, theta, value, gradient):
        """An iteration of the optimiser ended; returns whether it is to stop."""
        self.n_iterations += 1
        if self.verbose:
            what = self.given["estimator"]._what_is_maximised()
            print(
                f"[{self.name}] iteration {self.n_iterations}, "
                f"{n_evaluations} evaluations, "
                f"{what} {value:.6f}, "
                f"gradient norm {np.linalg.norm(gradient):.3g}, "
                f"{time.perf_counter() - self.began:.2f} s",
                flush=True,
            )
        if self.context is None:
            return False
        step = self.context.subcontext(task_name="iteration")
        step.call_on_fit_task_begin(**self.given)
        at = partial(self.given["estimator"]._attributes_at, theta)
        return step.call_on_fit_task_end(**self.given, reconstruction_attributes=at)

    def announce(self, estimator, n_starts):
        """Say what a fit costs that will take minutes, once, before it begins."""
        n, exact = len(estimator.X_train_), getattr(estimator, "method_", "exact")
        exact = exact == "exact"
        if not self.verbose or n < 2 * FEW_ROWS or estimator._has_own_objective():
            return
        seconds = _seconds_of_one(estimator, n, 3 if exact else 1)
        if EVALUATIONS * n_starts * seconds < LONG:
            return
        n_bytes = n * n * resolve_dtype(estimator.dtype).itemsize
        memory = f" and {n_bytes / 2**30:.3g} GiB" if exact else ""
        print(
            f"[{self.name}] One evaluation on {n} rows takes about {seconds:.3g} s"
            f"{memory} (from one on {FEW_ROWS} rows), and the optimiser asks for some "
            f"{EVALUATIONS} from each of {n_starts} start(s). Too long? "
            f"{cure(estimator, n)}",
            flush=True,
        )


def _seconds_of_one(estimator, n, power):
    """Seconds of one evaluation with gradient, from one on some of the rows."""
    rows = np.sort(np.random.RandomState(0).permutation(n)[:FEW_ROWS])
    objective = Objective(estimator._model_of_rows(rows), strict=False)
    seconds = []
    for _ in range(2):  # the first one also does what is done once
        began = time.perf_counter()
        objective(estimator.kernel_.theta, True)
        seconds.append(time.perf_counter() - began)
    return min(seconds) * (n / FEW_ROWS) ** power


def cure(estimator, n):
    """What helps n rows that take too long, or more memory than could be had."""
    device, dtype = estimator._device_for(n), resolve_dtype(estimator.dtype)
    ways = [
        f"Set method={method!r} or 'auto', which hold no n x n matrix."
        for method in [one for one in NO_MATRIX if one in estimator._methods][:1]
    ]
    memory = _memory_of(device)
    most = int((memory / 2 / dtype.itemsize) ** 0.5)
    if most < n:
        ways.append(f"Fit at most {most} rows: their matrix takes half of {device}.")
    else:
        ways.append("Fit fewer rows.")
    if dtype == torch.float64 and 4 * n * n < memory / 2:
        ways.append("Set dtype='float32' (half the memory).")
    return " ".join(ways)


def _memory_of(device):
    """Bytes of memory of a device; infinite where nobody says."""
    try:
        if device.type == "cuda":
            return float(torch.cuda.mem_get_info(device)[1])
        if device.type == "cpu":
            return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError, RuntimeError):
        pass  # not on this system
    return float("inf")
