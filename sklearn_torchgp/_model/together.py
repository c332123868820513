"""Starts that evaluate together: one batched evaluation for all of them at a time.

On a GPU few rows keep it idle: the launches of ten small evaluations take ten times as
long as those of one batch. Each start's minimiser runs in a thread of its own, and the
threads meet at every evaluation.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

from .._linalg.memory import size_on

# Rows up to which the starts of a fit are evaluated as one batch, with a buffer each.
# On the CPU one after the other is faster; accelerator: not measured yet.
BATCH_ROWS = {"cpu": 0, "accelerator": 512}


def batch_of_starts(model, n_rows):
    """(n_rows, thetas -> list of (value, gradient)) where one batch pays; else None.

    `model` may have merged some of the n_rows; only plain observations go.
    """
    device = model.covariance.points.device
    if n_rows > size_on(device, BATCH_ROWS) or not model.likelihood.plain:
        return None
    parameters = model.parameters

    def evaluate(vectors):
        thetas = [parameters.split(vector) for vector in vectors]
        found = model.method.infer_all(model.covariance, model.likelihood, thetas)
        return [(value, parameters.join(gradient)) for value, gradient in found]

    return n_rows, evaluate


class Meeting:
    """One function of theta for each of several threads, evaluated in common.

    A call waits until every thread that has not left has called, too; the last one to
    call evaluates for all.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(thetas)`` -> list of results, one for each of a list of thetas.
    n_members : int
    """

    def __init__(self, evaluate, n_members):
        self._evaluate = evaluate
        self._n_members = n_members
        self._changed = threading.Condition()
        self._round = _Round()
        self._stopped = False

    def __call__(self, theta, eval_gradient=True):
        with self._changed:
            if self._stopped:
                raise RuntimeError("the meeting was broken off")
            here, place = self._round, len(self._round.thetas)
            here.thetas.append(theta)
            self._finish_if_all_have_come()
            self._changed.wait_for(lambda: here.results or here.error)
        if here.error:
            raise here.error
        value, gradient = here.results[place]
        return (value, gradient) if eval_gradient else value

    def leave(self):
        """No more calls come from this thread."""
        with self._changed:
            self._n_members -= 1
            self._finish_if_all_have_come()

    def break_off(self):
        """Every call from now on raises."""
        with self._changed:
            self._stopped = True

    def _finish_if_all_have_come(self):
        here = self._round
        if not here.thetas or len(here.thetas) < self._n_members:
            return
        self._round = _Round()
        try:
            here.results = self._evaluate(here.thetas)
        except Exception as error:  # every waiting thread is to hear of it
            here.error = error
        self._changed.notify_all()


class _Round:
    def __init__(self):
        self.thetas, self.results, self.error = [], None, None


def run_together(evaluate, run, starts):
    """[run(objective, start) for each start], with objectives that meet.

    Parameters
    ----------
    evaluate : callable
        As `Meeting` takes it.
    run : callable ``(objective, start)`` -> result
    starts : list of ndarray
    """
    meeting = Meeting(evaluate, len(starts))

    def member(start):
        try:
            return run(meeting, start)
        finally:
            meeting.leave()

    with ThreadPoolExecutor(max_workers=len(starts)) as threads:
        try:
            return list(threads.map(member, starts))
        except BaseException:  # Ctrl-C, too, is not to wait for all the minimisers
            meeting.break_off()
            raise
