"""The limit on OpenBLAS is taken back, whoever leaves first."""

import threading

import pytest
import threadpoolctl
import torch

from sklearn_torchgp._linalg import lapack
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


LEAVES = {
    "factor_": lambda A: lapack.factor_(A),
    "inverse_": lambda A: lapack.inverse_(A),
    "invert_lower_": lambda A: lapack.invert_lower_(A),
    "own_gram_": lambda A: lapack.own_gram_(A),
    "solve": lambda A: lapack.solve(A, A[:, :1]),
    "add_outer_": lambda A: lapack.add_outer_(A, A[:, :1], scale=1.0, keep=1.0),
}


@pytest.mark.parametrize("name", LEAVES)
def test_lapack_cannot_be_called_with_several_threads(name, monkeypatch):
    seen = []

    def spied(function):
        def call(*args, **options):
            seen.append(blas_threads())
            return function(*args, **options)

        return call

    for table in ("_FACTOR", "_INVERSE", "_INVERT", "_OWN_GRAM", "_OUTER", "_SOLVE"):
        routines = {k: spied(f) for k, f in getattr(lapack, table).items()}
        monkeypatch.setattr(lapack, table, routines)
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        LEAVES[name](torch.eye(4, dtype=torch.float64))
        assert blas_threads() == before
    assert seen
    assert all(set(threads) <= {1} for threads in seen)
