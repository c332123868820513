"""The contract that every kernel on torch meets: values of scikit-learn's kernel
object, derivatives of those values, whatever the block size.
"""

import numpy as np
import pytest
import torch
from kernel_zoo import COMPOSITES, EVERY_OF_OURS, EXACT_LEAVES, OWN, ZOO, rows
from sklearn.gaussian_process.kernels import RBF

from sklearn_torchgp._covariance import Covariance, at, few, registry
from sklearn_torchgp._covariance.fallback import Fallback


@pytest.fixture(autouse=True, params=["few", "torch"])
def path(request, monkeypatch):
    """Every test runs on the path for few rows and on the general one."""
    if request.param == "torch":
        monkeypatch.setattr(few, "MOST", 0)


pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_torchgp.exceptions.KernelFallbackWarning"
)
EVERY = {**ZOO, **OWN, **EVERY_OF_OURS}
# Kernels of ours are compared with formulas in tests/kernels; here with themselves.
KNOWN = {**ZOO, **EVERY_OF_OURS}
zoo = pytest.mark.parametrize("kernel", ZOO.values(), ids=ZOO)
known = pytest.mark.parametrize("kernel", KNOWN.values(), ids=KNOWN)


def bind(kernel, X, dtype=torch.float64):
    return Covariance(kernel, X, dtype=dtype, device=torch.device("cpu"))


def lower(K):
    return np.tril(np.asarray(K))


def moved(kernel):
    """A theta that is not the kernel object's own."""
    return kernel.theta + 0.1 * np.arange(1, kernel.n_dims + 1)


def symmetric_weights(n, seed=1):
    G = np.random.RandomState(seed).randn(n, n)
    return G + G.T


def test_the_zoo_holds_every_registered_kernel():
    leaves = {type(k) for k in ZOO.values()}
    registered = registry.registered()
    assert {cls for cls in registered if cls.__module__ == RBF.__module__} <= leaves


@zoo
def test_no_built_in_kernel_takes_the_fallback(kernel):
    cov = bind(kernel, rows(5))
    assert not any(isinstance(leaf, Fallback) for leaf in cov._leaves)


@known
def test_values_equal_scikit_learns(kernel):
    X, Z = rows(12), rows(7, seed=2)
    cov = bind(kernel, X)
    for theta in (None, moved(kernel)):
        reference = kernel if theta is None else kernel.clone_with_theta(theta)
        K, _ = cov.gram(theta)
        np.testing.assert_allclose(
            lower(K), lower(reference(X)), rtol=1e-12, atol=1e-14
        )
        np.testing.assert_allclose(cov.full(theta=theta), reference(X), atol=1e-13)
        np.testing.assert_allclose(cov.cross(Z, theta), reference(Z, X), atol=1e-13)
        np.testing.assert_allclose(
            cov.diag(Z, theta), np.diag(reference(Z)), atol=1e-13
        )


@known
def test_the_diagonal_is_exactly_diag(kernel):
    X = rows(12)
    cov = bind(kernel, X)
    K, _ = cov.gram()
    np.testing.assert_array_equal(K.diagonal(), cov.diag(X))


@known
def test_pullback_is_the_derivative(kernel):
    X = rows(9)
    cov = bind(kernel, X)
    theta, G = moved(kernel), symmetric_weights(9)
    _, pullback = cov.gram(theta)
    gradient = pullback(torch.from_numpy(np.tril(G)))  # only the lower triangle counts

    def weighted_sum(theta):
        return (G * cov.full(theta=theta).numpy()).sum()

    step = 1e-5
    for i in range(len(theta)):
        e = step * np.eye(len(theta))[i]
        slope = (weighted_sum(theta + e) - weighted_sum(theta - e)) / (2 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(
    "kernel",
    [*EXACT_LEAVES.values(), *COMPOSITES.values()],
    ids=[*EXACT_LEAVES, *COMPOSITES],
)
def test_pullback_equals_scikit_learns_gradient(kernel):
    X, G = rows(11), symmetric_weights(11)
    theta = moved(kernel)
    _, gradient = kernel.clone_with_theta(theta)(X, eval_gradient=True)
    expected = np.einsum("ij,ijp->p", G, gradient)
    _, pullback = bind(kernel, X).gram(theta)
    np.testing.assert_allclose(
        pullback(torch.from_numpy(G)), expected, rtol=1e-10, atol=1e-10
    )


@known
@pytest.mark.parametrize("kept", [10, 200], ids=["evaluated again", "kept"])
def test_blocks_of_rows_change_nothing(kernel, kept, monkeypatch):
    X, G = rows(150), torch.from_numpy(symmetric_weights(150))
    K, pullback = bind(kernel, X).gram()
    monkeypatch.setattr(at, "KEPT", kept)
    monkeypatch.setattr(
        at,
        "row_blocks",
        lambda n, *_, **__: [slice(i, min(i + 64, n)) for i in range(0, n, 64)],
    )
    blocked, blocked_pullback = bind(kernel, X).gram()
    np.testing.assert_allclose(lower(blocked), lower(K), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(blocked_pullback(G), pullback(G), rtol=1e-9, atol=1e-8)


@known
def test_the_caller_keeps_its_weights(kernel):
    G = torch.from_numpy(symmetric_weights(6))
    before = G.clone()
    _, pullback = bind(kernel, rows(6)).gram()
    pullback(G)
    assert torch.equal(G, before)


@zoo
def test_float32(kernel):
    X = rows(12)
    K, _ = bind(kernel, X, torch.float32).gram()
    assert K.dtype == torch.float32
    np.testing.assert_allclose(lower(K), lower(kernel(X)), rtol=2e-5, atol=1e-5)


@zoo
def test_no_variance_between_no_rows_is_negative(kernel):
    assert (bind(kernel, rows(4)).diag(rows(50, seed=3)) >= -1e-12).all() or (
        getattr(kernel, "metric", "") in ("additive_chi2",)
    )


@pytest.mark.parametrize("name", ["rbf-ard", "matern12", "matern32", "matern08"])
def test_duplicated_rows_have_finite_gradients(name):
    X = np.repeat(rows(4), 3, axis=0)
    K, pullback = bind(ZOO[name], X).gram()
    assert torch.isfinite(K.tril()).all()
    assert np.isfinite(pullback(torch.ones(12, 12, dtype=torch.float64))).all()
    np.testing.assert_allclose(K[2, 0], 1.0, atol=1e-15)


@pytest.mark.parametrize("name", ["rbf-ard", "matern32", "rational-quadratic"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_data_far_from_zero_lose_no_digits(name, dtype):
    X = rows(10)
    shifted = np.round(X * 2**20) / 2**20 + 2.0**20  # exactly representable sums
    near, _ = bind(ZOO[name], shifted - 2.0**20, dtype).gram()
    far, _ = bind(ZOO[name], shifted, dtype).gram()
    tolerance = 1e-13 if dtype == torch.float64 else 1e-6
    np.testing.assert_allclose(lower(far), lower(near), atol=tolerance)


def test_length_scales_far_below_the_spread_keep_their_gradient():
    """The expanded sum of squares would lose all digits here."""
    X = np.array([[0.0, 0.0], [1e-6, 2e-6], [1.0, 1.0], [1.0, 1.0 + 1e-6]])
    kernel = RBF([1e-6, 1e-6])
    _, gradient = kernel(X, eval_gradient=True)
    G = symmetric_weights(4)
    _, pullback = bind(kernel, X).gram()
    np.testing.assert_allclose(
        pullback(torch.from_numpy(G)), np.einsum("ij,ijp->p", G, gradient), rtol=1e-7
    )


@pytest.mark.parametrize("kernel", EVERY.values(), ids=EVERY)
def test_slopes_are_differences(kernel):
    cov = bind(kernel, rows(7))
    X, G = rows(4, seed=2), torch.from_numpy(np.random.RandomState(1).randn(4, 7))
    Z = cov.points.others(X)
    value, pull = cov.cross_slope(Z)
    np.testing.assert_allclose(value, cov.cross(Z), atol=1e-14)
    found, of_diag = pull(G), cov.diag_slope(Z)
    for k, e in enumerate(1e-5 * np.eye(X.shape[1])):
        up, down = (cov.points.others(X + s) for s in (e, -e))
        change = (G * (cov.cross(up) - cov.cross(down))).sum(1) / 2e-5
        np.testing.assert_allclose(found[:, k], change, rtol=1e-6, atol=1e-7)
        change = (cov.diag(up) - cov.diag(down)) / 2e-5
        np.testing.assert_allclose(of_diag[:, k], change, rtol=1e-6, atol=1e-7)


@known
def test_slopes_at_training_rows_are_finite(kernel):
    cov = bind(kernel, rows(5))
    G = torch.ones(5, 5, dtype=torch.float64)
    assert torch.isfinite(cov.cross_slope(cov.points.others(rows(5)))[1](G)).all()
