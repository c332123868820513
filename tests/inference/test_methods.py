"""What holds for Laplace, EP and VI alike, and how they relate."""

import importlib

import numpy as np
import pytest
import torch
from classification_cases import (
    LINKS,
    REFERENCE,
    REFERENCE_NAMES,
    covariance_of,
    extreme_problems,
    gram_of,
    kernel_of,
    latent,
    settings,
    tensor,
    two_moons,
    unscaled_rows,
)
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from sklearn_torchgp._inference import SITE_ALGORITHMS
from sklearn_torchgp._inference.sites import engine
from sklearn_torchgp._inference.sites.engine import leave_one_out
from sklearn_torchgp._likelihoods import Bernoulli, class_log_probabilities

laplace_module = importlib.import_module("sklearn_torchgp._inference.sites.laplace")

CASES = [pytest.param(p, s, id=label) for label, p, s in settings()]
ALL = pytest.mark.parametrize("inference", SITE_ALGORITHMS)
BOTH = pytest.mark.parametrize("link", LINKS)


@BOTH
@ALL
@pytest.mark.parametrize(("problem", "setting"), CASES)
def test_reference_values(problem, setting, inference, link):
    expected = setting[f"{REFERENCE_NAMES[inference]}_{link}"]
    covariance = covariance_of(kernel_of(setting), problem["X_train"])
    K, pullback = gram_of(kernel_of(setting), problem["X_train"])
    result = SITE_ALGORITHMS[inference](K, Bernoulli(link, tensor(problem["y_train"])))
    lml = expected["elbo"] if inference == "vi" else expected["lml"]
    assert result.converged
    assert result.lml == pytest.approx(lml, rel=1e-8)
    gradient = pullback(result.derivative())
    np.testing.assert_allclose(gradient, expected["gradient"], rtol=1e-6, atol=1e-6)
    k = covariance.cross(np.array(problem["X_test"]))
    mean, explained = latent(result, K, k)
    variance = setting["variance"] - explained
    near = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(mean, expected["test_latent_mean"], **near)
    np.testing.assert_allclose(variance, expected["test_latent_var"], **near)
    p = class_log_probabilities(link, mean, variance)[:, 1].exp()
    np.testing.assert_allclose(p, expected["test_prob"], atol=1e-6)


@pytest.mark.parametrize("case", REFERENCE["closed_form"], ids=lambda c: c["name"])
def test_one_and_two_points(case):
    K, _ = gram_of(kernel_of(case), case["X"])
    for name, lml in case["values"].items():
        inference, link = name.split("_")
        result = SITE_ALGORITHMS[inference](K, Bernoulli(link, tensor(case["y"])))
        assert result.lml == pytest.approx(lml, rel=1e-10)


@pytest.mark.parametrize(("problem", "setting"), CASES)
def test_bound_below_ep_near_the_exact_evidence(problem, setting):
    K, _ = gram_of(kernel_of(setting), problem["X_train"])
    for link in LINKS:
        likelihood = Bernoulli(link, tensor(problem["y_train"]))
        lml = {
            name: method(K, likelihood).lml for name, method in SITE_ALGORITHMS.items()
        }
        exact = setting[f"exact_{link}_importance"]
        assert lml["vi"] < exact["lml"] + 3 * exact["lml_stderr"]
        assert lml["vi"] < lml["ep"]
        assert abs(lml["ep"] - exact["lml"]) < 0.15
        assert abs(lml["ep"] - exact["lml"]) <= abs(lml["laplace"] - exact["lml"])


@BOTH
@ALL
def test_symmetries(inference, link):
    X, y = two_moons(30)
    K, _ = gram_of(ConstantKernel(4.0) * RBF(1.0), X)
    method = SITE_ALGORITHMS[inference]
    result = method(K, Bernoulli(link, tensor(y)))
    flipped = method(K, Bernoulli(link, tensor(-y)))
    assert flipped.lml == pytest.approx(result.lml, rel=1e-10)
    np.testing.assert_allclose(flipped.alpha, -result.alpha, atol=1e-7)
    order = torch.as_tensor(np.random.RandomState(0).permutation(30))
    shuffled = method(K[order][:, order], Bernoulli(link, tensor(y)[order]))
    assert shuffled.lml == pytest.approx(result.lml, rel=1e-10)


@BOTH
@ALL
def test_no_variance_means_fair_coins(inference, link):
    X, y = two_moons(30)
    K, _ = gram_of(ConstantKernel(1e-9) * RBF(1.0), X)
    result = SITE_ALGORITHMS[inference](K, Bernoulli(link, tensor(y)))
    assert result.converged
    assert result.lml == pytest.approx(-30 * np.log(2), abs=1e-7)


def hard_cases():
    rng = np.random.RandomState(0)
    X, y = two_moons(30)
    line = np.linspace(-3, 3, 20)[:, None]
    yield (
        "duplicates, opposite labels",
        np.repeat(X[:10], 2, axis=0),
        np.tile([-1, 1.0], 10),
    )
    yield "all rows alike", np.zeros((15, 2)), rng.choice([-1.0, 1.0], 15)
    yield "separable", line, np.sign(line[:, 0] + 0.01)
    yield "constant feature", np.c_[X, np.full(30, 7.0)], y
    yield "far from zero", X + 1e6, y
    yield "two rows", X[:2], np.array([-1.0, 1.0])
    yield "one row", X[:1], y[:1]


@pytest.mark.parametrize("variance", [1e-10, 1.0, 1e5])
@pytest.mark.parametrize(("X", "y"), [
    pytest.param(X, y, id=name) for name, X, y in hard_cases()
])  # fmt: skip
def test_hard_cases_are_finite_and_right(X, y, variance):
    kernel = ConstantKernel(variance) * RBF(1.5)
    for link in LINKS:
        likelihood = Bernoulli(link, tensor(y))
        lml = {}
        for inference, method in SITE_ALGORITHMS.items():
            K, pullback = gram_of(kernel, X)
            result = method(K, likelihood, max_iter=500)
            assert result.converged, (inference, link)
            lml[inference] = result.lml
            variances = variance - latent(result, K, K)[1]
            assert torch.all(variances > -1e-9 * variance)
            assert torch.isfinite(result.alpha).all()
            assert np.isfinite(pullback(result.derivative())).all()
        assert all(value <= 1e-9 for value in lml.values())
        assert lml["vi"] <= lml["ep"] + 1e-9


@BOTH
@ALL
def test_duplicates_with_opposite_labels_cancel(inference, link):
    X = np.repeat(np.linspace(-2, 2, 5)[:, None], 2, axis=0)
    y = np.tile([-1.0, 1.0], 5)
    K, _ = gram_of(ConstantKernel(10.0) * RBF(1.0), X)
    result = SITE_ALGORITHMS[inference](K, Bernoulli(link, tensor(y)))
    np.testing.assert_allclose(K @ result.alpha, 0, atol=1e-7)


@BOTH
@ALL
def test_float32_follows_float64(inference, link):
    X, y = two_moons(60)
    kernel = ConstantKernel(25.0) * RBF(1.0)
    lml, gradients = [], []
    for dtype in (torch.float64, torch.float32):
        K, pullback = gram_of(kernel, X, dtype=dtype)
        result = SITE_ALGORITHMS[inference](K, Bernoulli(link, tensor(y).to(dtype)))
        assert result.converged
        lml.append(result.lml)
        gradients.append(pullback(result.derivative()))
    assert lml[1] == pytest.approx(lml[0], abs=1e-2)
    np.testing.assert_allclose(gradients[1], gradients[0], atol=2e-2)


@BOTH
@ALL
def test_weights_are_repeated_rows(inference, link):
    X, y = two_moons(15)
    weight = np.random.RandomState(0).randint(1, 4, 15)
    kernel = ConstantKernel(9.0) * RBF(1.0)
    K, pullback = gram_of(kernel, X)
    weighted = Bernoulli(link, tensor(y), tensor(weight))
    K_copies, pullback_copies = gram_of(kernel, np.repeat(X, weight, axis=0))
    copied = Bernoulli(link, tensor(np.repeat(y, weight)))
    a = SITE_ALGORITHMS[inference](K, weighted)
    b = SITE_ALGORITHMS[inference](K_copies, copied)
    assert a.lml == pytest.approx(b.lml, rel=1e-9)
    loo_a = leave_one_out(K, a.sites, weighted.copies)
    loo_b = leave_one_out(K_copies, b.sites)
    for one, all_copies in zip(loo_a, loo_b, strict=True):
        np.testing.assert_allclose(
            np.repeat(one.numpy(), weight), all_copies, rtol=1e-5
        )
    gradient = pullback(a.derivative())
    np.testing.assert_allclose(gradient, pullback_copies(b.derivative()), rtol=1e-5)


@BOTH
@ALL
def test_inputs_are_left_alone(inference, link):
    X, y = two_moons(20)
    K, _ = gram_of(ConstantKernel(4.0) * RBF(1.0), X)
    before = K.clone()
    SITE_ALGORITHMS[inference](K, Bernoulli(link, tensor(y))).derivative()
    assert torch.equal(K, before)


@pytest.mark.parametrize("n", [150, 450])  # LAPACK, and factors by halves
@ALL
def test_a_work_buffer_changes_nothing(inference, n):
    X, y = two_moons(n)
    K, _ = gram_of(ConstantKernel(4.0) * RBF(1.0), X)
    likelihood = Bernoulli("logit", tensor(y))
    plain = SITE_ALGORITHMS[inference](K, likelihood)
    work = torch.full_like(K, torch.nan)
    buffered = SITE_ALGORITHMS[inference](K, likelihood, work=work)
    assert buffered.lml == pytest.approx(plain.lml, rel=1e-13)
    G, G_buffered = plain.derivative(), buffered.derivative()
    np.testing.assert_allclose(G.tril(), G_buffered.tril(), atol=1e-12)
    assert G_buffered.data_ptr() == work.data_ptr()


@ALL
@pytest.mark.parametrize(("X", "y", "weight"), [
    pytest.param(X, y, weight, id=name) for name, X, y, weight in extreme_problems()
])  # fmt: skip
def test_extreme_problems_converge_with_margin(X, y, weight, inference):
    rng = np.random.RandomState(0)
    most = 60 if inference == "ep" else 50  # EP counts Laplace's steps, too
    for variance in (1e-8, 1.0, 1e2, 1e4, 1e6):
        K, _ = gram_of(ConstantKernel(variance) * RBF(1.0), X)
        noise = torch.as_tensor(rng.randn(*K.shape))
        for link in LINKS:
            weights = None if weight is None else tensor(weight)
            likelihood = Bernoulli(link, tensor(y), weights)
            for matrix in (K, K * (1 + 1e-12 * (noise + noise.mT))):
                result = SITE_ALGORITHMS[inference](matrix, likelihood)
                assert result.converged, (variance, link)
                assert result.n_iterations <= most, (variance, link)


@ALL
@pytest.mark.parametrize("link", LINKS)
def test_unscaled_rows_and_a_quartic_kernel(inference, link):
    """K reaches 1e13 and its round-off 1e-3: there VI and probit may stall, but say so.

    (With K changed in its last digits it stalled in one of 16 runs.)
    """
    X, y = unscaled_rows()
    for kernel in (DotProduct(), DotProduct() ** 2):
        K, _ = gram_of(kernel, X)
        result = SITE_ALGORITHMS[inference](K, Bernoulli(link, tensor(y)))
        if (inference, link) == ("vi", "probit") and not result.converged:
            assert kernel == DotProduct() ** 2
            assert result.residual > 1
            assert result.n_iterations <= 60
            continue
        assert result.converged
        assert -70 < result.lml < -30


@ALL
def test_iterations_are_bounded_in_all(inference, monkeypatch):
    """No restart behind the scenes multiplies the factorisations."""
    X, y = two_moons(40)
    K, _ = gram_of(ConstantKernel(1e6) * RBF(0.5), X)
    likelihood = Bernoulli("logit", tensor(y), tensor(np.geomspace(0.1, 1e4, 40)))
    counts, factor = [], engine.factor

    def counted(*args):
        counts.append(args)
        return factor(*args)

    monkeypatch.setattr(engine, "factor", counted)
    monkeypatch.setattr(laplace_module, "factor", counted)
    for max_iter in (1, 2, 7, 30):
        for start in (None, SITE_ALGORITHMS[inference](2.0 * K, likelihood).start):
            counts.clear()
            result = SITE_ALGORITHMS[inference](K, likelihood, start, max_iter=max_iter)
            assert result.n_iterations <= max_iter
            # One more to come back from a step, or to expand at a start.
            assert len(counts) <= max_iter + 3


@pytest.mark.parametrize("inference", ["ep", "vi"])
@BOTH
def test_converged_in_float32_means_it(inference, link):
    """A mean lost to round-off is no fixed point, however well its sites match."""
    X, y = two_moons(60)
    X, y = np.r_[X, X[:20]], np.r_[y, -y[:20]]
    for kernel in (1e5 * RBF(1e5), 1e5 * RBF(1.0), 1e3 * RBF(1e5), 10.0 * RBF(1.0)):
        K, _ = gram_of(kernel, X)
        exact = SITE_ALGORITHMS[inference](K, Bernoulli(link, tensor(y)))
        K, _ = gram_of(kernel, X, dtype=torch.float32)
        single = SITE_ALGORITHMS[inference](K, Bernoulli(link, tensor(y).float()))
        assert exact.converged
        if single.converged:
            assert single.lml == pytest.approx(exact.lml, abs=0.05)
    assert single.converged  # the last one is easy
