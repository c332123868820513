"""The limit on OpenBLAS is taken back, whoever leaves first."""

import ast
import threading
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

import sklearn_torchgp
from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._linalg import lapack
from sklearn_torchgp._linalg.threads import blas_pools, one_blas_thread


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


ROUTINES = (
    "_FACTOR",
    "_INVERSE",
    "_INVERT",
    "_TIMES_TRIANGLE",
    "_OWN_GRAM",
    "_OUTER",
    "_SOLVE",
)
LEAVES = {
    "factor_": lambda A: lapack.factor_(A),
    "inverse_": lambda A: lapack.inverse_(A),
    "invert_lower_": lambda A: lapack.invert_lower_(A),
    "own_gram_": lambda A: lapack.own_gram_(A),
    "solve": lambda A: lapack.solve(A, A[:, :2]),
    "add_outer_": lambda A: lapack.add_outer_(A, A[:, :1], scale=1.0, keep=1.0),
}


def spied(monkeypatch, tables):
    """A list that notes the threads of BLAS whenever a routine of the tables runs."""
    seen = []

    def noting(function):
        def call(*args, **options):
            seen.append([pool.get_num_threads() for pool in blas_pools()])
            return function(*args, **options)

        return call

    for table in tables:
        routines = {k: noting(f) for k, f in getattr(lapack, table).items()}
        monkeypatch.setattr(lapack, table, routines)
    return seen


@pytest.mark.parametrize("n", [4, 150])
@pytest.mark.parametrize("name", LEAVES)
def test_lapack_cannot_be_called_with_several_threads(name, n, monkeypatch):
    seen = spied(monkeypatch, ROUTINES)
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        LEAVES[name](np.eye(n))
        assert blas_threads() == before
    assert seen
    assert all(set(threads) <= {1} for threads in seen)


# For one right-hand side, where OpenBLAS wakes no worker, and who asks them for that.
OF_ONE_COLUMN = {"solve_vector", "_solve_triangle"}
CHOOSING = {"solve"}
PACKAGE = Path(sklearn_torchgp.__file__).parent


def names_in(node):
    """Names, and attributes with what they are of, in a piece of code."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
            yield f"{one.value.id}.{one.attr}"


def test_every_function_of_lapack_sees_to_its_threads():
    """Its routines are named in functions with the limit only, or of one column."""
    tree = ast.parse(Path(lapack.__file__).read_text())
    functions = [one for one in tree.body if isinstance(one, ast.FunctionDef)]
    routines = {*ROUTINES, "lapack.dtrtrs", "blas.dtrsm"}
    calling = {f.name for f in functions if routines & set(names_in(f))}
    limited = {
        f.name
        for f in functions
        if "on_one_blas_thread" in {getattr(d, "id", None) for d in f.decorator_list}
    }
    assert limited >= set(LEAVES) - CHOOSING
    assert calling - limited == OF_ONE_COLUMN
    tables = {n for n, v in vars(lapack).items() if "d" in _keys(v)}
    assert tables == set(ROUTINES)


def _keys(value):
    return value if isinstance(value, dict) else {}


def test_nobody_else_calls_scipys_blas():
    """Large products are torch's; `lapack` has all that OpenBLAS is asked for."""
    callers = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            if any(name.startswith("scipy.linalg") for name in names):
                callers.append(path.relative_to(PACKAGE).as_posix())
    assert callers == ["_linalg/lapack.py"]


def train():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (420, 2))
    return X, np.sin(3 * X[:, 0]) + 0.1 * rng.standard_normal(len(X))


def fitted(**options):
    X, y = train()
    kernel = 1.0 * RBF(0.5) + WhiteKernel(0.01)
    return TorchGPRegressor(kernel, **options).fit(X, y)


def labels():
    X, y = train()
    return X, y > 0


def again(model):
    X, y = train()
    return model.partial_fit(X[:20] + 0.01, y[:20])


# What is called, on a fitted model.
PUBLIC = {
    "fit": lambda model: fitted(),
    "fit without optimiser": lambda model: fitted(optimizer=None),
    "predict": lambda model: model.predict(train()[0], return_std=True),
    "loo_predict": lambda model: model.loo_predict(),
    "partial_fit": again,
    "log_marginal_likelihood": lambda model: model.log_marginal_likelihood(
        model.kernel_.theta, eval_gradient=True
    ),
    "classifier": lambda model: TorchGPClassifier(RBF(0.5), optimizer=None).fit(
        *labels()
    ),
}


@pytest.mark.parametrize("small", [0, 600])
@pytest.mark.parametrize("name", PUBLIC)
def test_public_calls_give_the_limit_back_as_found(name, small, monkeypatch):
    """And no routine of a whole matrix or panel runs beyond it meanwhile."""
    monkeypatch.setattr(lapack, "SMALL", small)
    seen = spied(monkeypatch, set(ROUTINES) - {"_SOLVE"})
    model = fitted(optimizer=None)
    seen.clear()
    for limit in (1, 2):
        with threadpoolctl.threadpool_limits(limits=limit, user_api="blas"):
            before = blas_threads()
            PUBLIC[name](model)
            assert blas_threads() == before
    assert all(set(threads) <= {1} for threads in seen)
    # Of a whole matrix on panels LAPACK has the factors of blocks only.
    assert seen or name == "predict" or not small
