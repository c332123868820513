"""Keeping two thread pools off the same cores."""

import functools
import threading
from contextlib import contextmanager

import threadpoolctl

_lock = threading.Lock()
_users = 0
_before = []


@contextmanager
def one_blas_thread():
    """Keep NumPy's and SciPy's OpenBLAS to one thread; torch's threads are left alone.

    SciPy's L-BFGS-B makes tiny LAPACK calls, after each of which the OpenBLAS workers
    spin on the cores that torch needs: a fit at n = 10 took 313 ms with them and 14 ms
    without (2 cores). The limit is one for the process, so fits in several Python
    threads share it: the first sets it, the last takes it back. threadpoolctl comes
    with scikit-learn, which depends on it.
    """
    global _users, _before
    with _lock:
        if _users == 0:
            _before = [(pool, pool.get_num_threads()) for pool in _blas_pools()]
            for pool, _ in _before:
                pool.set_num_threads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                for pool, n_threads in _before:
                    pool.set_num_threads(n_threads)


@functools.cache
def _blas_pools():
    """Found once: looking for the libraries of the process takes 4 ms."""
    controller = threadpoolctl.ThreadpoolController()
    return [p for p in controller.lib_controllers if p.user_api == "blas"]
