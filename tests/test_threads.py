"""The limit on OpenBLAS is taken back, whoever leaves first."""

import threading

import threadpoolctl

from sklearn_torchgp._linalg.threads import one_blas_thread


def blas_threads():
    pools = threadpoolctl.threadpool_info()
    return [p["num_threads"] for p in pools if p["user_api"] == "blas"]


def test_overlapping_uses_restore_the_first_state():
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        entered, leave = threading.Event(), threading.Event()

        def other():
            with one_blas_thread():
                entered.set()
                leave.wait()

        thread = threading.Thread(target=other)
        with one_blas_thread():
            thread.start()
            entered.wait()
            assert set(blas_threads()) <= {1}
        leave.set()
        thread.join()
        assert blas_threads() == before


def test_inside_itself_it_leaves_the_limit_to_the_outer_one():
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        with one_blas_thread():
            with one_blas_thread():
                assert set(blas_threads()) <= {1}
            assert set(blas_threads()) <= {1}
        assert blas_threads() == before
        with one_blas_thread():
            assert set(blas_threads()) <= {1}
