"""Keeping two thread pools off the same cores."""

import functools
import threading
from contextlib import contextmanager

import threadpoolctl

_this_thread = threading.local()


@contextmanager
def one_blas_thread():
    """Keep NumPy's and SciPy's OpenBLAS to one thread; torch's threads are left alone.

    SciPy's L-BFGS-B makes tiny LAPACK calls, after each of which the OpenBLAS workers
    spin on the cores that torch needs: a fit at n = 10 took 313 ms with them and 14 ms
    without (2 cores). threadpoolctl comes with scikit-learn, which depends on it.

    OpenBLAS has one count for the process. Who finds it at 1 changes nothing and hence
    restores nothing, so that overlapping fits in several Python threads end with the
    count they began with. (A call from another thread than the main one was seen to
    change nothing, OpenBLAS 0.3.30: hence nobody can restore it for another.) Inside
    itself, in one thread, it does nothing: a fit enters it once, not its evaluations.
    """
    if getattr(_this_thread, "holds", False):
        yield
        return
    before = [(pool, pool.get_num_threads()) for pool in _blas_pools()]
    changed = [(pool, threads) for pool, threads in before if threads > 1]
    for pool, _ in changed:
        pool.set_num_threads(1)
    _this_thread.holds = True
    try:
        yield
    finally:
        _this_thread.holds = False
        for pool, threads in changed:
            pool.set_num_threads(threads)


@functools.cache
def _blas_pools():
    """Found once: looking for the libraries of the process takes 4 ms."""
    controller = threadpoolctl.ThreadpoolController()
    return [pool for pool in controller.lib_controllers if pool.user_api == "blas"]
