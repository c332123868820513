"""Every fast path equals the slow one: values 1e-10, gradients 1e-8, float32 1e-3."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Matern,
    WhiteKernel,
)

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._covariance import Covariance, few
from sklearn_torchgp._inference import few as few_moments
from sklearn_torchgp._inference.exact import mixed
from sklearn_torchgp._inference.exact.evidence import evidence
from sklearn_torchgp._likelihoods.gaussian import Observations
from sklearn_torchgp._linalg import lapack
from sklearn_torchgp._linalg.cholesky import cholesky_, symmetrize_
from sklearn_torchgp.exceptions import NotPositiveDefiniteError

CPU = torch.device("cpu")


@st.composite
def kernels(draw, n_features, depth=2):
    """Sums and products of what `few` multiplies out."""
    if depth and draw(st.booleans()):
        parts = [draw(kernels(n_features, depth - 1)) for _ in range(2)]
        return parts[0] + parts[1] if draw(st.booleans()) else parts[0] * parts[1]
    positive = st.floats(0.3, 3.0)
    scale = draw(positive)
    if draw(st.booleans()):
        scale = [draw(positive) for _ in range(n_features)]
    fixed = {"length_scale_bounds": "fixed"} if draw(st.booleans()) else {}
    leaves = [
        ConstantKernel(draw(positive)),
        WhiteKernel(draw(positive)),
        RBF(scale, **fixed),
        *(Matern(scale, nu=nu, **fixed) for nu in (0.5, 1.5, 2.5, np.inf)),
    ]
    return draw(st.sampled_from(leaves))


@st.composite
def problems(draw):
    d = draw(st.integers(1, 4))
    n = draw(st.integers(1, 30))
    X = np.random.RandomState(draw(st.integers(0, 99))).randn(n, d)
    if draw(st.booleans()):
        X[-1] = X[0]  # a duplicate
    return draw(kernels(d)), X


def both(kernel, X, theta, G):
    """Gram matrix and pullback on the path for few rows (or none) and on torch."""
    found = []
    for most in (few.MOST, 0):
        cov = Covariance(kernel, X, dtype=torch.float64, device=CPU)
        before, few.MOST = few.MOST, most
        try:
            K, pullback = cov.gram(theta)
            found.append((np.tril(K), pullback(torch.from_numpy(G))))
        finally:
            few.MOST = before
    return found


@given(problems())
@settings(max_examples=150, deadline=None)
def test_few_rows_equal_torch(problem):
    kernel, X = problem
    G = np.random.RandomState(1).randn(len(X), len(X))
    G = G + G.T
    spoilt = G + np.triu(np.full_like(G, np.nan), 1)
    (K, gradient), (K_torch, gradient_torch) = both(
        kernel, X, kernel.theta + 0.1, spoilt
    )
    np.testing.assert_allclose(K, K_torch, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(gradient, gradient_torch, rtol=1e-8, atol=1e-8)


def test_few_rows_are_taken_and_left_where_documented():
    X = np.random.RandomState(0).randn(20, 3)

    def path(kernel, X=X, dtype=torch.float64):
        return Covariance(kernel, X, dtype=dtype, device=CPU).few

    def gram(X):
        return path(RBF(), X).gram(RBF().theta, torch.empty(len(X), len(X)))

    assert path(1.0 * RBF([1.0, 2.0, 3.0]) + WhiteKernel()) is not None
    assert path(Matern(nu=1.5)) is not None
    for kernel in (Matern(nu=2.1), DotProduct(), RBF() ** 2, WhiteKernel()):
        assert path(kernel) is None
    assert path(RBF(), dtype=torch.float32) is None
    assert path(RBF(), X=["a", "b"]) is None
    assert gram(X) is not None
    assert gram(np.zeros((1000, 3))) is None
    assert gram(1e100 * X) is None
    assert gram(1e-100 * X) is None


@given(problems())
@settings(max_examples=100, deadline=None)
def test_few_new_rows_equal_torch(problem):
    kernel, X = problem
    Z = np.vstack([X[:2], np.random.RandomState(1).randn(3, X.shape[1])])
    cov = Covariance(kernel, X, dtype=torch.float64, device=CPU)
    assume(cov.few is not None)
    np.testing.assert_allclose(cov.few_cross(Z), cov.cross(Z), rtol=1e-10, atol=1e-12)
    for noise in (True, False):
        want = cov.diag(Z, noise=noise).numpy()
        np.testing.assert_allclose(np.full(len(Z), cov.few.diag(Z, noise=noise)), want)
    K, pullback = cov.gram()
    np.testing.assert_allclose(np.tril(K), np.tril(cov.at().gram(K.clone())[0]))
    G = torch.ones(len(X), len(X), dtype=torch.float64)
    np.testing.assert_allclose(pullback(G), cov.gram(kernel.theta)[1](G), rtol=1e-9)


def test_many_or_infinite_pairs_are_left_to_torch():
    X = np.random.RandomState(0).randn(400, 2)
    cov = Covariance(RBF(), X, dtype=torch.float64, device=CPU)
    assert cov.few_cross(X[:80]) is not None
    assert cov.few_cross(X[:90]) is None
    cov = Covariance(Matern(nu=1.5), X, dtype=torch.float64, device=CPU)
    with np.errstate(over="ignore", invalid="ignore"):
        assert cov.few_cross(np.full((1, 2), 1e308)) is None


@pytest.mark.parametrize("estimator", ["one target", "two targets", "classifier"])
@pytest.mark.parametrize("spread", [None, "var"])
def test_many_new_rows_of_few_go_by_blocks(estimator, spread, monkeypatch):
    rng = np.random.RandomState(0)
    X, Z = rng.randn(60, 2), rng.randn(1200, 2)
    y = np.c_[np.sin(X[:, 0]), X[:, 1]]
    kernel = 2.0 * Matern([0.7, 1.3], nu=2.5) + WhiteKernel(0.1)
    if estimator == "classifier":
        model = TorchGPClassifier(kernel.k1, optimizer=None).fit(X, y[:, 0] > 0)
        posterior = model.base_estimator_._posterior()
    else:
        model = TorchGPRegressor(kernel, optimizer=None)
        posterior = model.fit(X, y if "two" in estimator else y[:, 0])._posterior()
    found = posterior.few_moments(Z, spread)
    monkeypatch.setattr(few_moments, "MOST_IN_BLOCKS", 0)
    assert posterior.few_moments(Z, spread) is None
    expected = posterior.moments(Z, spread)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10, atol=1e-10)
    if spread is None:
        assert found[1] is None
    else:
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-10, atol=1e-10)


def test_blocks_are_for_few_training_rows():
    rng = np.random.RandomState(0)
    X, Z = rng.randn(80, 2), rng.randn(1200, 2)
    model = TorchGPRegressor(RBF(), alpha=0.1, optimizer=None)
    small = model.fit(X[: few_moments.FEW], X[: few_moments.FEW, 0])._posterior()
    assert small.few_moments(Z, "var") is not None
    assert small.few_moments(Z, "cov") is None
    assert small.few_moments(np.repeat(Z, 8, axis=0), "var") is None
    assert model.fit(X, X[:, 0])._posterior().few_moments(Z, "var") is None


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e-3, 1e3, 1e150])
def test_any_scale_of_the_data_is_served(scale):
    X = np.random.RandomState(0).randn(8, 2)
    near, _ = Covariance(RBF(), X, dtype=torch.float64, device=CPU).gram()
    cov = Covariance(RBF(scale), scale * X, dtype=torch.float64, device=CPU)
    far, _ = cov.gram()
    np.testing.assert_allclose(np.tril(far), np.tril(near), rtol=1e-9)


def parts_of_evidence(K, y, noise, jitter=0.0):
    observed = Observations(y, noise, jitter)
    lml, derivative, solution = evidence(K.clone(), observed)
    alpha, L = solution.alpha.clone(), solution.L.tril()
    return lml, alpha, L, derivative()[0].tril()


@pytest.mark.parametrize("n", [1, 7, 130])
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_small_inference_equals_torch(n, targets, dtype, monkeypatch):
    rng = np.random.RandomState(0)
    A = rng.randn(n, n + 2)
    K = torch.from_numpy(A @ A.T / n + np.eye(n)).to(dtype)
    y = torch.from_numpy(rng.randn(n, targets)).to(dtype)
    tolerance = 1e-8 if dtype == torch.float64 else 1e-3
    for noise in (0.1, torch.from_numpy(rng.rand(n)).to(dtype)):
        for jitter in (0.0, 1e-3):
            monkeypatch.setattr(lapack, "SMALL", 400)
            small = parts_of_evidence(K, y, noise, jitter)
            monkeypatch.setattr(lapack, "SMALL", 0)
            large = parts_of_evidence(K, y, noise, jitter)
            for a, b in zip(small, large, strict=True):
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_small_inference_refuses_what_has_no_factor(value):
    K = torch.eye(5, dtype=torch.float64)
    K[3, 3] = value
    with pytest.raises(NotPositiveDefiniteError):
        evidence(K, Observations(torch.ones(5, 1, dtype=torch.float64), 0.0))


def smooth(n, noise, seed=0):
    X = np.random.RandomState(seed).uniform(-1, 1, (n, 3))
    kernel = 1.0 * RBF([1.0, 1.5, 2.0]) + WhiteKernel(noise)
    cov = Covariance(kernel, X, dtype=torch.float64, device=CPU)
    y = np.sin(3 * X).sum(1) + noise**0.5 * np.random.RandomState(1).randn(n)
    return cov, torch.from_numpy(y[:, None]), X, kernel


@pytest.mark.parametrize("n", [40, 700])
@pytest.mark.parametrize("noise", [1e-1, 1e-3])
def test_mixed_precision_equals_float64(n, noise):
    cov, y, *_ = smooth(n, noise)
    results = []
    for criterion in (evidence, mixed.evidence):
        K, pullback = cov.gram()
        lml, derivative, _ = criterion(K, Observations(y, 1e-10))
        results.append((lml, pullback(derivative()[0])))
    (lml, gradient), (lml_m, gradient_m) = results
    assert lml_m == pytest.approx(lml, rel=1e-4)
    K = symmetrize_(cov.gram()[0])
    alpha = torch.linalg.solve(K, y)
    alpha_m = mixed.refine(K, cholesky_(K.float()), y)
    np.testing.assert_allclose(alpha_m, alpha, rtol=1e-6, atol=1e-7 * alpha.abs().max())
    np.testing.assert_allclose(gradient_m, gradient, atol=1e-3 * abs(gradient).max())


def test_mixed_precision_has_no_value_where_float32_cannot_carry_it():
    cov, y, *_ = smooth(300, 1e-9)
    K, _ = cov.gram()
    with pytest.raises(NotPositiveDefiniteError):
        mixed.evidence(K, Observations(y, 0.0))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.05, 1e-3, 1e-4])
def test_mixed_precision_ends_at_the_optimum_of_float64(seed, noise):
    """Also where float32 carries nothing, or not the optimum."""
    rng = np.random.RandomState(seed)
    X = rng.rand(120, 2) * 5
    y = np.sin(X).sum(1) + noise * rng.randn(120)
    kernel = RBF(1.0) + WhiteKernel(1.0, (1e-9, 1e3))
    found, plain = (
        TorchGPRegressor(kernel, dtype=dtype).fit(X, y)
        for dtype in ("mixed", "float64")
    )
    assert found.log_marginal_likelihood_value_ == pytest.approx(
        plain.log_marginal_likelihood_value_, abs=1e-2
    )
    (record,) = found.optimizer_results_
    assert record.converged
    assert record.n_coarse_evaluations["float32"] > 0
    slope = found.log_marginal_likelihood(found.kernel_.theta, eval_gradient=True)[1]
    assert abs(slope).max() < 1


def test_mixed_precision_counts_what_float32_could_not_carry():
    rng = np.random.RandomState(2)
    X = rng.uniform(0, 5, (200, 2))
    y = np.sin(X[:, 0]) + 0.5 * rng.randn(200)
    kernel = ConstantKernel() * RBF(1.0) + WhiteKernel(0.1)
    found, plain = (
        TorchGPRegressor(
            kernel, dtype=dtype, n_restarts_optimizer=3, random_state=0
        ).fit(X, y)
        for dtype in ("mixed", "float64")
    )
    assert sum(r.n_failed_evaluations for r in found.optimizer_results_) > 0
    assert all(r.n_failed_evaluations == 0 for r in plain.optimizer_results_)
    for one, other in zip(
        found.optimizer_results_, plain.optimizer_results_, strict=True
    ):
        assert one.value == pytest.approx(other.value, abs=1e-2)


def test_mixed_precision_fits_like_float64():
    _, y, X, kernel = smooth(120, 1e-2)
    y = y[:, 0].numpy()
    plain = TorchGPRegressor(kernel).fit(X, y)
    found = TorchGPRegressor(kernel, dtype="mixed").fit(X, y)
    assert found.L_.dtype == np.float64
    np.testing.assert_allclose(found.kernel_.theta, plain.kernel_.theta, atol=5e-2)
    np.testing.assert_allclose(found.predict(X), plain.predict(X), atol=1e-3)


def test_the_symmetric_product_reads_the_lower_triangle():
    K = torch.randn(600, 600, dtype=torch.float64)
    K = K + K.mT
    B = torch.randn(600, 2, dtype=torch.float64)
    spoilt = K.tril() + torch.full_like(K, torch.nan).triu(1)
    np.testing.assert_allclose(mixed.symmetric_product(spoilt, B), K @ B, atol=1e-10)
