"""float32: what it conditions on is what it says, and what it says is right."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import ndtri
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Matern,
    PairwiseKernel,
    WhiteKernel,
)

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor, register_kernel
from sklearn_torchgp._inference.exact import method
from sklearn_torchgp._linalg.precision import without_faint_
from sklearn_torchgp._regression import observations
from sklearn_torchgp.exceptions import JitterWarning, KernelFallbackWarning

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (300, 2))
Y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.05 * RNG.randn(300)
Z = RNG.uniform(-2.5, 2.5, (40, 2))
SMOOTH = 100.0 * RBF([1.0, 2.0])


class Unknown(RBF):
    """A user's kernel without a torch function."""

    def __call__(self, X, Y=None, eval_gradient=False):
        return super().__call__(X, Y, eval_gradient)


class Ridged(RBF):
    """A user's kernel with one."""


def ridged(params, X, Z):
    return torch.exp(-0.5 * (torch.cdist(X, Z) / params["length_scale"]) ** 2)


register_kernel(Ridged, ridged, stationary=True)


def fixed(kernel, **options):
    return TorchGPRegressor(kernel, optimizer=None, **options)


def in_both(kernel, fit, alpha=1e-4, **options):
    """A float32 model, and the float64 model that has its jitter as noise."""
    single = fixed(kernel, alpha=alpha, dtype="float32", **options).fit(**fit)
    return single, fixed(kernel, alpha=alpha + single.jitter_, **options).fit(**fit)


# --- the jitter is noise -------------------------------------------------------------


# Round-off ends the line search of float32 with some numbers of threads, and is told.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_intervals_hold_as_those_of_float64():
    rng = np.random.RandomState(0)
    x, rows = rng.rand(1000, 1) * 10, rng.rand(2000, 1) * 10
    y, new = (
        10 * np.sin(a[:, 0]) + 0.03 * rng.standard_normal(len(a)) for a in (x, rows)
    )
    held = []
    for dtype in ("float64", "float32"):
        model = TorchGPRegressor(1.0 * RBF() + WhiteKernel(), dtype=dtype).fit(x, y)
        low, high = model.predict_interval(rows).T
        held.append(np.mean((low <= new) & (new <= high)))
    assert held[1] == pytest.approx(held[0], abs=0.02)


def test_the_jitter_counts_as_noise_of_new_rows():
    model = fixed(SMOOTH + WhiteKernel(1e-3), dtype="float32").fit(X, Y)
    assert model.jitter_ > 1e-3
    mean, latent = model.predict(Z, return_std=True, include_noise=False)
    noisy = np.sqrt(latent**2 + 1e-3 + model.jitter_)
    for included in (None, True):
        found = model.predict(Z, return_std=True, include_noise=included)[1]
        assert_allclose(found, noisy, rtol=1e-3)
        cov = model.predict(Z, return_cov=True, include_noise=included)[1]
        assert_allclose(np.sqrt(np.diag(cov)), noisy, rtol=1e-3)
    ends = model.predict_interval(Z)
    assert_allclose(ends[:, 1] - ends[:, 0], 2 * ndtri(0.975) * noisy, rtol=2e-3)
    quantile = model.predict_quantiles(Z, [0.5, 0.9])
    assert_allclose(quantile[:, 1] - quantile[:, 0], ndtri(0.9) * noisy, rtol=2e-3)
    density = model.log_predictive_density(Z, mean)
    assert_allclose(density, -np.log(noisy * np.sqrt(2 * np.pi)), atol=3e-3)


def test_what_the_ladder_added_counts_too_and_is_forgotten(monkeypatch):
    model = fixed(100.0 * RBF(1.0), dtype="float32")
    with monkeypatch.context() as patch:
        patch.setattr(observations, "rounding_jitter", lambda n, dtype: 1e-9)
        with pytest.warns(JitterWarning):
            model.fit(X, Y)
        assert model.jitter_ > 1e-4
        latent = model.predict(Z, return_std=True, include_noise=False)[1]
        std = model.predict(Z, return_std=True)[1]
        assert_allclose(std**2 - latent**2, model.jitter_, rtol=1e-2)
    assert model._jitter > 0.5 * model.jitter_
    model.partial_fit(Z[:3], np.zeros(3))
    assert model.jitter_ == pytest.approx(100 * 2.0**-23 * 353, rel=1e-3)
    latent = model.predict(Z, return_std=True, include_noise=False)[1]
    std = model.predict(Z, return_std=True)[1]
    assert_allclose(std**2 - latent**2, model.jitter_, rtol=1e-2)


def test_without_alpha_there_is_no_jitter():
    model = fixed(RBF(0.1), alpha=0.0, dtype="float32").fit(X[:50], Y[:50])
    assert model.jitter_ == 0
    both = [
        model.predict(Z, return_std=True, include_noise=noise)[1]
        for noise in (True, False)
    ]
    assert_allclose(*both)


def test_paths_have_the_jitter_as_noise():
    single, double = in_both(SMOOTH, {"X": X, "y": Y})
    paths = single.sample_paths(1500, random_state=0, n_features=256)(Z)
    mean, std = double.predict(Z, return_std=True)
    assert_allclose((paths.mean(axis=1) - mean) / std, 0, atol=0.2)
    assert_allclose(paths.std(axis=1) / std, 1, atol=0.15)


# --- and the numbers are right -------------------------------------------------------

NOISE = RNG.uniform(0.001, 0.01, 300)
FITS = {
    "plain": {"X": X, "y": Y},
    "few": {"X": X[:60], "y": Y[:60]},
    "two": {"X": X, "y": np.c_[Y, -2 * Y]},
    "known": {"X": X, "y": Y, "noise_variance": NOISE},
    "factors": {"X": X, "y": np.c_[Y, -Y], "noise_variance": np.c_[NOISE, 2 * NOISE]},
}


@pytest.mark.parametrize("mean", ["zero", "constant", "linear"])
@pytest.mark.parametrize("fit", list(FITS))
def test_float32_is_float64_with_its_jitter(fit, mean):
    single, double = in_both(SMOOTH, FITS[fit], mean=mean)
    found = single.predict(Z, return_std=True)
    mean, std = double.predict(Z, return_std=True, include_noise=True)
    assert_allclose((found[0] - mean) / std, 0, atol=0.04)
    noisy = np.sqrt(found[1] ** 2 + 1e-4)
    assert_allclose(noisy / std, 1, atol=0.01)
    assert single.alpha_.dtype == np.float32


@pytest.mark.parametrize("n", [20, 300])
def test_latent_deviations_at_tiny_noise_are_those_of_the_noisier_model(n):
    """To a few percent: rounding moves them by less than the jitter that covers it."""
    fit = {"X": X[:n], "y": Y[:n]}
    single, double = in_both(SMOOTH, fit, alpha=1e-8)
    assert single.jitter_ > 1e4 * 1e-8
    latent = single.predict(Z, return_std=True, include_noise=False)[1]
    theirs = double.predict(Z, return_std=True)[1]
    assert np.median(np.abs(latent / theirs - 1)) < 0.04
    assert_allclose(latent / theirs, 1, atol=0.2)
    sharp = fixed(SMOOTH, alpha=1e-8).fit(**fit).predict(Z, return_std=True)[1]
    assert np.median(latent / sharp) > 1.02


@pytest.mark.parametrize(
    "kernel",
    [
        100.0 * Unknown(2.0),
        10.0 * Unknown(2.0) + WhiteKernel(1e-3),
        100.0 * Ridged(2.0),
        PairwiseKernel(metric="rbf", gamma=0.5) * RBF(3.0),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn_torchgp.exceptions.KernelFallbackWarning")
def test_kernels_from_outside_are_refined_too(kernel):
    single, double = in_both(kernel, FITS["plain"])
    found = single.predict(Z)
    mean, std = double.predict(Z, return_std=True, include_noise=True)
    assert_allclose((found - mean) / std, 0, atol=0.04)


def test_weighted_rows_are_refined_too():
    rows = np.r_[X, X[:20]], np.r_[Y, Y[:20]]
    weight = np.r_[np.full(300, 2.0), np.ones(20)]
    single = fixed(SMOOTH, alpha=1e-4, dtype="float32").fit(*rows, weight)
    assert len(single.X_train_) == 300
    double = fixed(SMOOTH, alpha=1e-4 + single.jitter_).fit(*rows, weight)
    mean, std = double.predict(Z, return_std=True, include_noise=True)
    assert_allclose((single.predict(Z) - mean) / std, 0, atol=0.04)


def test_weights_are_nearer_the_solution_than_the_factor_alone():
    """The residual of K alpha = y, in float64, falls to what rounding alpha leaves."""
    model = fixed(1e4 * RBF(1.0), alpha=1e-6, dtype="float32").fit(X, Y)
    K = model.kernel_(X) + (1e-6 + model.jitter_) * np.eye(300)
    L = torch.from_numpy(model.L_)
    y = torch.from_numpy(Y[:, None]).float()
    plain = torch.cholesky_solve(y, L)[:, 0].double().numpy()
    best = np.linalg.solve(K, Y)
    # In the norm of K, which is that of the mean at the training rows.
    error, before = (np.linalg.norm(K @ (a - best)) for a in (model.alpha_, plain))
    assert error < 0.3 * before


def test_refinement_that_does_not_contract_is_left():
    """A kernel so nearly singular that float32 knows nothing of its inverse."""
    x = np.linspace(0, 1, 40)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitterWarning)
        model = fixed(1e6 * RBF(100.0), alpha=1e-10, dtype="float32").fit(
            x, np.sin(x[:, 0])
        )
    assert_allclose(model.predict(x), np.sin(x)[:, 0], atol=0.5)


@pytest.mark.parametrize("mean", ["constant", "linear"])
@pytest.mark.parametrize("columns", [1, 2])
def test_y_far_from_zero_is_centred_before_it_is_rounded(mean, columns):
    rng = np.random.RandomState(0)
    x = rng.rand(200, 1) * 6
    y = 1e7 + np.sin(x) + 0.01 * rng.standard_normal(x.shape)
    y = y[:, 0] if columns == 1 else np.c_[y, -3 * y]
    rows = np.linspace(0.2, 5.8, 50)[:, None]
    kernel = 1.0 * RBF(1.5) + WhiteKernel(1e-4)
    single, double = in_both(kernel, {"X": x, "y": y}, alpha=1e-10, mean=mean)
    assert_allclose(single.predict(rows), double.predict(rows), atol=1e-3)
    error = single.predict(rows).reshape(50, -1)[:, 0] - 1e7 - np.sin(rows[:, 0])
    assert_allclose(error, 0, atol=0.02)
    assert_allclose(
        single.log_marginal_likelihood(kernel.theta),
        double.log_marginal_likelihood(kernel.theta),
        rtol=2e-3,
    )
    both = [m.partial_fit([[7.0]], y[:1]).predict(rows) for m in (single, double)]
    assert_allclose(*both, atol=1e-3)


@pytest.mark.parametrize(
    "kernel",
    [
        PairwiseKernel(metric="rbf", gamma=0.7) + ConstantKernel(0.3),
        PairwiseKernel(metric="laplacian", gamma=0.5),
        PairwiseKernel(metric="rbf", gamma=0.7) * (RBF() + WhiteKernel(0.1)),
        Unknown(0.9) * ConstantKernel(2.0),
        Ridged(0.9),
        (ConstantKernel(0.5) + WhiteKernel(0.2)) * DotProduct(1.0) + RBF(1.0),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn_torchgp.exceptions.KernelFallbackWarning")
def test_differences_are_taken_in_float64(kernel):
    rows, y = X[:20], Y[:20]
    single, double = (
        fixed(kernel, alpha=0.1, dtype=dtype).fit(rows, y)
        for dtype in ("float32", "float64")
    )
    for found, want in zip(
        single.predict_gradient(Z, return_std=True),
        double.predict_gradient(Z, return_std=True),
        strict=True,
    ):
        assert_allclose(found, want, atol=2e-4)


def test_a_kernel_of_numpy_is_told_once():
    with warnings.catch_warnings():
        warnings.simplefilter("error", KernelFallbackWarning)
        fixed(RBF(), dtype="float32").fit(X, Y)


# --- entries that are nothing --------------------------------------------------------


def test_faint_entries_are_dropped_and_change_nothing():
    K = torch.tensor([[4.0, 0.0], [1e-11, 2.0]])
    assert without_faint_(K.clone()).equal(K)
    K[1, 0] = -1e-13
    assert without_faint_(K.clone())[1, 0] == 0
    assert without_faint_(K.double()).equal(K.double())
    K[0, 0] = 0
    assert without_faint_(K.clone()).equal(K)  # no scale, no answer


def test_evidence_of_rows_far_apart():
    """Where a block of rows is nothing to another, at more rows than a panel has."""
    x = np.r_[X, X + 14.0]
    y = np.r_[Y, -Y]
    kernel = 1.0 * Matern([1.0, 1.0], nu=2.5) * RBF(1.0) + WhiteKernel(0.01)
    single, double = (
        model.log_marginal_likelihood(kernel.theta, True)
        for model in in_both(kernel, {"X": x, "y": y})
    )
    assert_allclose(single[0], double[0], atol=0.01)
    # (The first, of the variance, has the jitter's growth in it.)
    assert_allclose(single[1][1:], double[1][1:], rtol=1e-2, atol=0.1)


def test_evaluations_meet_no_faint_entries(monkeypatch):
    met = []

    def criterion(K, likelihood, nugget):
        met.append(K.tril().abs())
        return method.evidence(K, likelihood, nugget)

    with monkeypatch.context() as patch:
        patch.setattr(method.Exact, "criterion", staticmethod(criterion))
        exact = method.Exact(criterion)
        model = fixed(RBF(0.3) + WhiteKernel(0.1), dtype="float32").fit(X, Y)
        exact.infer(model._model().covariance, model._model().likelihood)
    assert ((met[-1] == 0) | (met[-1] > 1e-12)).all()
    assert (met[-1] == 0).sum() > 300 * 301 / 2


# --- classification: converged means it ----------------------------------------------


def classes(kind):
    rng = np.random.RandomState(1)
    if kind == "clean":
        rows = rng.rand(120, 2) * 4
        return rows, (np.sin(2 * rows[:, 0]) + 0.3 * rng.randn(120) > 0).astype(int)
    rows = np.repeat(rng.rand(40, 2) * 4, 2, axis=0)  # copies, some of which disagree
    labels = np.tile([0, 1], 40)
    labels[:60] = np.repeat(rng.randint(0, 2, 30), 2)
    return rows, labels


def outcome(kernel, rows, labels, **options):
    """The evidence, and whether something was said of it."""
    model = TorchGPClassifier(kernel, optimizer=None, **options)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            value = model.fit(rows, labels).log_marginal_likelihood()
        except np.linalg.LinAlgError:
            return np.nan, True
    return value, any("did not converge" in str(one.message) for one in told)


@pytest.mark.parametrize("kind", ["clean", "conflict"])
@pytest.mark.parametrize("length_scale", [0.3, 1.0, 30.0, 1e5])
@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("inference", ["laplace", "ep", "vi"])
def test_what_converged_in_float32_is_right(kind, length_scale, link, inference):
    data = classes(kind)
    options = {"inference": inference, "link": link}
    for variance in (1e2, 1e5, 1e6):
        kernel = ConstantKernel(variance) * RBF(length_scale)
        value, told = outcome(kernel, *data, dtype="float32", **options)
        if not told:
            want, _ = outcome(kernel, *data, **options)
            assert value == pytest.approx(want, rel=1e-3, abs=0.02)
        else:
            assert variance > 1e2


def test_laplaces_mode_is_found_to_round_off():
    """psi ceases to rise 0.035 nat before log det B does."""
    rng = np.random.RandomState(1)
    rows = rng.rand(40, 2) * 4
    data = rows, (np.sin(2 * rows[:, 0]) + 0.3 * rng.randn(40) > 0).astype(int)
    kernel = ConstantKernel(1e6) * RBF(0.3)
    found, want = (
        outcome(kernel, *data, dtype=dtype, link="probit")
        for dtype in ("float32", "float64")
    )
    assert found == (pytest.approx(want[0], abs=2e-3), False)


def test_an_evidence_that_round_off_moves_has_not_converged():
    """Laplace's mode is found, but log det B is off by half a nat."""
    kernel, data = ConstantKernel(1e6) * RBF(1.0), classes("conflict")
    with pytest.warns(UserWarning, match="did not converge.*dtype='float64'"):
        TorchGPClassifier(kernel, optimizer=None, dtype="float32").fit(*data)


@pytest.mark.parametrize("inference", ["laplace", "ep"])
@pytest.mark.parametrize("variance", [10.0, 1e3, 1e5])
def test_what_converged_in_float32_is_right_for_several_classes(inference, variance):
    rows, _ = classes("clean")
    labels = np.digitize(rows[:, 0], [1.3, 2.6])
    options = {"inference": inference, "multi_class": "softmax"}
    for length_scale in (0.3, 1.0, 1e4):
        kernel = ConstantKernel(variance) * RBF(length_scale)
        value, told = outcome(kernel, rows, labels, dtype="float32", **options)
        if not told:
            want, _ = outcome(kernel, rows, labels, **options)
            assert value == pytest.approx(want, rel=1e-3, abs=0.02)
