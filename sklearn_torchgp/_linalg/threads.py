"""Keeping two thread pools off the same cores."""

import functools
import threading

import threadpoolctl


class _Here(threading.local):
    """What holds for the calling thread."""

    limited = False


_here = _Here()


class one_blas_thread:
    """Keep NumPy's and SciPy's OpenBLAS to one thread; torch's threads are left alone.

    SciPy's L-BFGS-B makes tiny LAPACK calls, after each of which the OpenBLAS workers
    spin on the cores that torch needs: a fit at n = 10 took 313 ms with them and 14 ms
    without (2 cores). threadpoolctl comes with scikit-learn, which depends on it.

    OpenBLAS has one count for the process. Who finds it at 1 changes nothing and hence
    restores nothing, so that overlapping fits in several Python threads end with the
    count they began with. (A call from another thread than the main one was seen to
    change nothing, OpenBLAS 0.3.30: hence nobody can restore it for another. A limit
    that another thread sets meanwhile is lost, as the estimators' Notes say.) Inside
    itself, in one thread, it does nothing: a fit enters it once, not its evaluations.
    """

    def __enter__(self):
        self._changed = ()
        self._entered = not _here.limited
        if self._entered:
            before = [(pool, pool.get_num_threads()) for pool in blas_pools()]
            self._changed = [(pool, threads) for pool, threads in before if threads > 1]
            for pool, _ in self._changed:
                pool.set_num_threads(1)
            _here.limited = True

    def __exit__(self, *error):
        if self._entered:
            _here.limited = False
            for pool, threads in self._changed:
                pool.set_num_threads(threads)


def on_one_blas_thread(function):
    """The function, inside `one_blas_thread` whoever calls it."""

    @functools.wraps(function)
    def limited(*args, **options):
        if _here.limited:
            return function(*args, **options)
        with one_blas_thread():
            return function(*args, **options)

    return limited


@functools.cache
def blas_pools():
    """NumPy's and SciPy's, found once: a look at all libraries takes 4 ms."""
    controller = threadpoolctl.ThreadpoolController()
    return [pool for pool in controller.lib_controllers if pool.user_api == "blas"]
