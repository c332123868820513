"""Newton's method for the mode of p(y | f) N(f | 0, K), with step halving (GPML 3.4.1).

It climbs psi(f) = log p(y | f) - f' K^-1 f / 2 in a = K^-1 f. Undamped Newton, as
GPML's algorithms 3.1 and 3.3 list it, fails where the variance is large, inside
ordinary bounds. a and f are linear in the step, so a shorter one costs no
factorisation.

From one theta to the next it is f that changes little, not a: a start is an f, and the
full step from there, which needs no a, is the first iterate.

Tensors and arrays are the same to it.
"""

from typing import Any, NamedTuple

# The Newton decrement squared (about twice the gain that is left) at which the next
# step is the last: convergence is quadratic, so that step lands on the mode. From 1e-7
# it would leave 1e-9 of log |B|, which is not flat there as psi is.
LAST_STEP = 1e-9

# In float32 round-off is far above that. So where psi no longer shows a gain the steps
# go on as long as each promises less than this part of the gain before.
SHRINKS = 0.25


class Mode(NamedTuple):
    """Where Newton's method ended.

    Attributes
    ----------
    a, f : tensors, or ndarrays
        K^-1 times the mode, and the mode.
    psi : float
        log p(y | f) - f' K^-1 f / 2.
    local : object
        What `expand` made of f.
    converged : bool
    residual : float
        max |a - d log p / df|, which is 0 at the mode.
    n_steps : int
    """

    a: Any
    f: Any
    psi: float
    local: Any
    converged: bool
    residual: float
    n_steps: int


def find_mode(times_K, log_p, expand, start, *, zero, eps, largest_variance, max_iter):
    """Climb to the mode from f = `start`, or from 0 where that is better.

    Parameters
    ----------
    times_K : callable
        a -> K a.
    log_p : callable
        f -> log p of every row.
    expand : callable
        ``expand(f)`` -> (gradient of log p, times_W, solve, local): W is minus its
        Hessian, ``solve(r)`` is (I + W K)^-1 r, and `local` whatever the caller wants
        back at the mode.
    start : tensor, ndarray or None
    zero : tensor or ndarray
        Of the shape of a.
    eps : float
        Of the precision of all these.
    largest_variance : float
        max diag K: how far the mode may move for a small gain.
    max_iter : int
        Most steps after the one from `start`.

    Returns
    -------
    Mode
    """
    a, f, psi = _best_start(times_K, log_p, expand, start, zero)
    in_float32, before = eps > 1e-10, float("inf")
    converged = False
    for step in range(max_iter + 1):
        gradient, _, solve, local = expand(f)
        if converged or step == max_iter:
            break
        # From what is left, not from W f + gradient as in the book's listing: large
        # weights and variances would leave round-off of that size in the step.
        da = solve(gradient - a)
        df = times_K(da)
        gain = ((gradient - a) * df).sum().item()
        noise = 4 * eps * (1 + abs(psi))
        if gain <= max(LAST_STEP / (1 + largest_variance), noise):
            last = gain <= LAST_STEP / (1 + largest_variance)
            converged = not in_float32 or last or abs(gain) > SHRINKS * before
            before = abs(gain)
            a, f = a + da, f + df
            continue
        length, psi = _longest_step(log_p, a, f, da, df, psi)
        if length == 0.0:  # no gain that could be measured is left
            converged = gain <= 1e3 * noise
            break
        a, f = a + length * da, f + length * df
    residual = abs(a - gradient).max().item()
    # Round-off can make a gain small, or negative, far from the mode.
    converged = converged and residual <= eps**0.25 * (1 + abs(a).max().item())
    return Mode(a, f, _psi(log_p, a, f), local, converged, residual, step)


def _psi(log_p, a, f):
    return (log_p(f).sum() - 0.5 * (a * f).sum()).item()


def _best_start(times_K, log_p, expand, start, zero):
    """a, f and psi(f) one full step from f = `start`, or at 0 where that is better."""
    psi = _psi(log_p, zero, zero)
    if start is not None:
        gradient, times_W, solve, _ = expand(start)
        a = solve(times_W(start) + gradient)
        f = times_K(a)
        psi_start = _psi(log_p, a, f)
        if psi_start > psi:
            return a, f, psi_start
    return zero, zero, psi


def _longest_step(log_p, a, f, da, df, psi):
    """The longest of 1, 1/2, 1/4, ... that does not lower psi (0 if none), and psi."""
    length = 1.0
    while length > 1e-6:
        new = _psi(log_p, a + length * da, f + length * df)
        if new >= psi:
            return length, new
        length /= 2
    return 0.0, psi
