"""In-place factor and inverse against LAPACK, and their failures."""

import numpy as np
import pytest
import torch

from sklearn_torchgp._linalg import cholesky, lapack
from sklearn_torchgp._linalg.cholesky import (
    cholesky_,
    half_log_det,
    inverse_,
    invert_lower_,
    own_gram_,
    panels,
    solve,
    symmetrize_,
)
from sklearn_torchgp.exceptions import NotPositiveDefiniteError


def spd(n, condition=1e3, seed=0):
    rng = np.random.RandomState(seed)
    Q, _ = np.linalg.qr(rng.randn(n, n))
    return torch.from_numpy((Q * np.geomspace(1 / condition, 1, n)) @ Q.T)


def spoilt_above(A):
    """A with nonsense above the diagonal: nothing may read it."""
    return A.tril() + torch.full_like(A, torch.nan).triu(1)


@pytest.fixture(params=["scipy", "one panel", "panels", "one thread"])
def path(request, monkeypatch):
    """The ways through the module; on one thread the last step is LAPACK's."""
    if request.param == "scipy":
        monkeypatch.setattr(lapack, "SMALL", 600)
        return
    monkeypatch.setattr(lapack, "SMALL", 0)
    monkeypatch.setattr(lapack, "serves_alone", lambda W: request.param == "one thread")
    width = 600 if request.param == "one panel" else 20
    monkeypatch.setitem(cholesky.PANEL, "cpu", (width, width))


SIZES = [1, 2, 19, 20, 21, 97, 300, 520]


@pytest.mark.parametrize("n", SIZES)
def test_factor_and_inverse_equal_lapack(n, path):
    A = spd(n)
    work = spoilt_above(A)
    L = cholesky_(work)
    assert L.data_ptr() == work.data_ptr()
    expected = torch.linalg.cholesky(A)
    np.testing.assert_allclose(L.tril(), expected, atol=1e-12)
    assert half_log_det(L).item() == pytest.approx(
        np.linalg.slogdet(A.numpy())[1] / 2, rel=1e-10
    )
    B = torch.arange(2.0 * n, dtype=torch.float64).reshape(n, 2)
    np.testing.assert_allclose(A @ solve(L, B), B, rtol=1e-9, atol=1e-9)
    inverse = inverse_(L)
    assert inverse.data_ptr() == work.data_ptr()
    np.testing.assert_allclose(
        inverse.tril(), np.tril(np.linalg.inv(A.numpy())), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("n", SIZES)
def test_inverse_of_the_factor_and_its_gram_equal_lapack(n, path):
    L = torch.linalg.cholesky(spd(n))
    W = invert_lower_(spoilt_above(L))
    np.testing.assert_allclose(W, np.linalg.inv(L.numpy()), atol=1e-10)
    gram = own_gram_(W.clone())
    np.testing.assert_allclose(gram.tril(), (W.T @ W).tril(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("noise", [1e-2, 1e-4, 1e-6])
def test_sorted_rows_of_a_smooth_kernel(noise, path):
    """Here L holds extrapolation weights: a recurrence across columns would explode."""
    x = torch.linspace(0, 1, 600, dtype=torch.float64)[:, None]
    K = torch.exp(-0.5 * torch.cdist(x, x).square() / 0.2**2) + noise * torch.eye(600)
    L = cholesky_(K.clone())
    P = inverse_(L.clone()).tril()
    P = P + P.tril(-1).T
    assert (P @ K - torch.eye(600)).abs().max() < 1e-9 / noise
    W = invert_lower_(L.clone())
    assert (W @ L.tril() - torch.eye(600)).abs().max() < 1e-9


@pytest.mark.parametrize("n", [3, 97, 600])
def test_symmetrize(n):
    A = spd(n)
    np.testing.assert_array_equal(symmetrize_(spoilt_above(A)), A.tril() + A.tril(-1).T)


@pytest.mark.parametrize("n", [4, 400])
@pytest.mark.parametrize("where", [0, -1])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_not_positive_definite_is_an_error(n, where, value):
    A = spd(n)
    A[where, where] = value
    with pytest.raises(NotPositiveDefiniteError):
        cholesky_(A)


def test_not_positive_definite_is_a_linalg_error():
    assert issubclass(NotPositiveDefiniteError, np.linalg.LinAlgError)


def test_panels_cover_without_overlap():
    covered = [i for J in panels(200, 96) for i in range(J.start, J.stop)]
    assert covered == list(range(200))
    assert panels(0) == []


@pytest.mark.parametrize("dtype", [torch.float32])
def test_float32(dtype):
    A = spd(300, condition=10).to(dtype)
    L = cholesky_(A.clone())
    np.testing.assert_allclose((L.tril() @ L.tril().T), A, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("m", [1, 2, 60])
@pytest.mark.parametrize("kind", ["own", "read-only", "by columns"])
def test_solve_lower_of_arrays(monkeypatch, threads, m, kind):
    """By LAPACK or by torch: the same, without a warning of either, L as it was."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    L = np.linalg.cholesky(spd(40).numpy())
    B = np.random.RandomState(0).randn(m, 40).T
    expected = np.linalg.solve(L, B)
    L.flags.writeable = kind != "read-only"
    L = np.asfortranarray(L) if kind == "by columns" else L
    before = L.copy(), B.copy()
    np.testing.assert_allclose(lapack.solve_lower(L, B), expected, rtol=1e-11)
    np.testing.assert_array_equal(L, before[0])
    np.testing.assert_array_equal(B, before[1])
