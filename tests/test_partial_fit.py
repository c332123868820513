"""New rows at fixed hyperparameters are a refit; warm starts start where fit ended."""

import pickle

import numpy as np
import pytest
import torch
from helpers import KERNEL, fixed
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.exceptions import JitterWarning

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (30, 2))
W = RNG.uniform(0.2, 4, 30)
NOISE = RNG.uniform(0.01, 0.5, 30)
Y = np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.randn(30)
Y2 = np.c_[Y, 3 * np.cos(X[:, 0]) + 0.1 * RNG.randn(30)]
Z = RNG.uniform(-2, 2, (7, 2))
CUTS = [slice(0, 12), slice(12, 13), slice(13, 30)]


def assert_same(gp, refit, rtol=1e-9):
    for got, want in (
        (gp.predict(Z, return_std=True), refit.predict(Z, return_std=True)),
        (gp.predict(Z, return_cov=True), refit.predict(Z, return_cov=True)),
        (gp.loo_predict(return_std=True), refit.loo_predict(return_std=True)),
    ):
        for a, b in zip(got, want, strict=True):
            assert_allclose(a, b, rtol=rtol, atol=rtol)
    assert_allclose(gp.L_, refit.L_, rtol=rtol, atol=rtol)
    assert_allclose(gp.alpha_, refit.alpha_, rtol=10 * rtol, atol=rtol)
    assert_allclose(
        gp.log_marginal_likelihood_value_,
        refit.log_marginal_likelihood_value_,
        rtol=rtol,
    )


def test_new_rows_after_a_journey():
    gp = fixed().fit(X[:20], Y[:20])
    there = pickle.loads(pickle.dumps(gp)).partial_fit(X[20:], Y[20:])
    assert_same(there, gp.partial_fit(X[20:], Y[20:]), rtol=1e-12)


def part(value, cut):
    return None if value is None else value[cut]


@pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
@pytest.mark.parametrize("weight", [None, W], ids=["", "weights"])
@pytest.mark.parametrize("noise", [None, NOISE, "targets"])
def test_is_a_refit(y, weight, noise):
    if isinstance(noise, str):
        noise = np.c_[NOISE, 3 * NOISE][:, : y.ndim]
    gp = fixed(alpha=0.01)
    for cut in CUTS:
        gp.partial_fit(
            X[cut],
            y[cut],
            sample_weight=part(weight, cut),
            noise_variance=part(noise, cut),
        )
    refit = fixed(alpha=0.01).fit(X, y, sample_weight=weight, noise_variance=noise)
    assert_same(gp, refit)


def test_hyperparameters_stay():
    gp = TorchGPRegressor(KERNEL).fit(X[:20], Y[:20])
    theta = gp.kernel_.theta
    gp.partial_fit(X[20:], Y[20:])
    assert_allclose(gp.kernel_.theta, theta)
    refit = TorchGPRegressor(gp.kernel_, optimizer=None).fit(X, Y)
    assert_same(gp, refit)
    value = gp.log_marginal_likelihood(theta)
    assert_allclose(gp.log_marginal_likelihood_value_, value)


@pytest.mark.parametrize("y", [Y, Y2], ids=["one", "two"])
def test_the_first_scale_is_kept(y):
    y = 100 * y + 7
    gp = fixed(normalize_y=True)
    gp.fit(X[:20], y[:20], noise_variance=NOISE[:20] * 1e4)
    gp.partial_fit(X[20:], y[20:], noise_variance=NOISE[20:] * 1e4)
    mean, std = y[:20].mean(axis=0), y[:20].std(axis=0)
    for j in range(y.ndim):
        m, s = np.ravel(mean)[j], np.ravel(std)[j]
        unit = (y.reshape(30, -1)[:, j] - m) / s
        refit = fixed().fit(X, unit, noise_variance=NOISE * 1e4 / s**2)
        got, got_std = gp.predict(Z, return_std=True)
        want, want_std = refit.predict(Z, return_std=True)
        assert_allclose(got.reshape(7, -1)[:, j], want * s + m, rtol=1e-9)
        assert_allclose(got_std.reshape(7, -1)[:, j], want_std * s, rtol=1e-9)


def test_noise_and_weights_may_come_late():
    gp = fixed().fit(X[:20], Y2[:20])
    gp.partial_fit(X[20:], Y2[20:], sample_weight=W[20:], noise_variance=NOISE[20:])
    refit = fixed().fit(
        X,
        Y2,
        sample_weight=np.r_[np.ones(20), W[20:]],
        noise_variance=np.r_[np.zeros(20), NOISE[20:]],
    )
    assert_same(gp, refit)
    columns = np.c_[NOISE, 2 * NOISE]
    gp = fixed().fit(X[:20], Y2[:20], noise_variance=NOISE[:20])
    gp.partial_fit(X[20:], Y2[20:], noise_variance=columns[20:])
    noise = np.r_[np.c_[NOISE, NOISE][:20], columns[20:]]
    assert_same(gp, fixed().fit(X, Y2, noise_variance=noise))


def test_zero_weights_leave_rows_out():
    w = np.where(W > 1, W, 0)
    gp = fixed().fit(X[:20], Y[:20], sample_weight=w[:20])
    gp.partial_fit(X[20:], Y[20:], sample_weight=w[20:])
    assert_same(gp, fixed().fit(X, Y, sample_weight=w))


def test_many_single_rows():
    gp = fixed().fit(X[:1], Y[:1])
    for i in range(1, 30):
        gp.partial_fit(X[i : i + 1], Y[i : i + 1])
    assert_same(gp, fixed().fit(X, Y))


def test_a_row_that_is_there_already():
    smooth = RBF(1.0)
    gp = TorchGPRegressor(smooth, optimizer=None, alpha=0.0).fit(X, Y)
    before = dict(vars(gp))
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        gp.partial_fit(X[:1], Y[:1])
    assert all(vars(gp)[name] is value for name, value in before.items())
    gp.set_params(alpha=1e-17).fit(X[:1], Y[:1])
    with pytest.warns(JitterWarning):
        gp.partial_fit(X[:1], Y[:1])
    assert gp.jitter_ > 0


class Work(TorchDispatchMode):
    """Counts the flop of torch's matrix operations, to leading order."""

    def __init__(self):
        super().__init__()
        self.flop = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = function.name().removeprefix("aten::").partition(".")[0]
        tensors = [a for a in args if isinstance(a, torch.Tensor) and a.ndim >= 2]
        if "cholesky" in name:
            self.flop += tensors[0].shape[-1] ** 3 / 3
        elif "triangular" in name:
            self.flop += tensors[0].numel() * tensors[1].shape[-1]
        elif "mm" in name:
            self.flop += 2 * tensors[-2].numel() * tensors[-1].shape[-1]
        elif tensors:
            self.flop += tensors[0].numel()
        return out


def test_cost_is_quadratic():
    """Twice the rows: a fit takes eight times the operations, a new row four."""

    def work(n):
        rng = np.random.RandomState(0)
        x, y = rng.uniform(size=(n + 1, 3)), rng.randn(n + 1)
        gp = TorchGPRegressor(Matern() + WhiteKernel(), optimizer=None)
        with Work() as whole:
            gp.fit(x[:n], y[:n])
        with Work() as step:
            gp.partial_fit(x[n:], y[n:])
        return np.array([whole.flop, step.flop])

    small, large = work(600), work(1200)
    fit, step = large / small
    assert fit > 6
    assert 0 < step < 4.5
    assert large[1] < large[0] / 20


def test_a_factor_with_jitter_is_made_anew():
    """Its rows carry jitter that new ones would lack: extended it would be neither."""
    rows, y = np.r_[X[:10], X[:5]], np.r_[Y[:10], Y[:5]]
    gp = TorchGPRegressor(RBF(1.0), optimizer=None, alpha=1e-20)
    with pytest.warns(JitterWarning):
        gp.fit(rows, y)
    with pytest.warns(JitterWarning):
        gp.partial_fit(1e3 + X[10:12], Y[10:12])
    with pytest.warns(JitterWarning):
        refit = gp.__class__(RBF(1.0), optimizer=None, alpha=1e-20).fit(
            np.r_[rows, 1e3 + X[10:12]], np.r_[y, Y[10:12]]
        )
    assert gp.jitter_ == refit.jitter_ > 0
    assert_allclose(gp.L_, refit.L_)
    assert_allclose(gp.L_[-2, -2] ** 2, 1 + gp.jitter_, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tensors(dtype):
    t = torch.as_tensor
    gp = fixed(dtype=dtype, alpha=0.01).fit(t(X[:20]), t(Y[:20]))
    gp.partial_fit(t(X[20:]), t(Y[20:]), noise_variance=t(NOISE[20:]))
    assert isinstance(gp.L_, torch.Tensor)
    assert gp.L_.shape == (30, 30)
    noise = np.r_[np.zeros(20), NOISE[20:]]
    refit = fixed(dtype=dtype, alpha=0.01).fit(t(X), t(Y), noise_variance=t(noise))
    assert_same(gp, refit, rtol=1e-9 if dtype == "float64" else 1e-3)


def test_rows_may_be_objects():
    class Overlap(RBF):
        requires_vector_input = False

        def __call__(self, X, Y=None, eval_gradient=False):
            Y = X if Y is None else Y
            return np.array([[len(set(a) & set(b)) for b in Y] for a in X], dtype=float)

        def diag(self, X):
            return np.array([len(set(a)) for a in X], dtype=float)

    words, y = ["abc", "bcd", "xyz", "ax"], np.arange(4.0)
    gp = TorchGPRegressor(Overlap(), optimizer=None, alpha=0.1)
    gp.fit(words[:3], y[:3]).partial_fit(words[3:], y[3:])
    refit = TorchGPRegressor(Overlap(), optimizer=None, alpha=0.1).fit(words, y)
    assert_allclose(gp.predict(["ab"]), refit.predict(["ab"]))


class TestRefused:
    def test_array_alpha(self):
        gp = fixed(alpha=NOISE)
        with pytest.raises(ValueError, match="'alpha' parameter .*noise_variance"):
            gp.partial_fit(X, Y)
        assert not hasattr(gp, "n_features_in_")

    @pytest.mark.parametrize(
        ("args", "options", "message"),
        [
            ((X[:3, :1], Y[:3]), {}, "features"),
            ((X[:3], Y[:2]), {}, "inconsistent numbers"),
            ((X[:3], Y2[:3]), {}, r"y has shape \(3, 2\)"),
            ((X[:3], Y[:3]), {"noise_variance": NOISE}, "'noise_variance'"),
            ((X[:3], Y[:3]), {"sample_weight": np.zeros(3)}, "'sample_weight'"),
            ((np.full((3, 2), np.nan), Y[:3]), {}, "NaN"),
        ],
    )
    def test_leaves_the_model_as_it_was(self, args, options, message):
        gp = fixed().fit(X, Y)
        before = dict(vars(gp))
        with pytest.raises(ValueError, match=message):
            gp.partial_fit(*args, **options)
        assert all(vars(gp)[name] is value for name, value in before.items())
        assert vars(gp).keys() == before.keys()


class TestWarmStart:
    def test_starts_from_the_last(self):
        gp = TorchGPRegressor(KERNEL, warm_start=True).fit(X, Y)
        theta = gp.kernel_.theta
        gp.fit(X, Y)
        assert_allclose(gp.optimizer_results_[0].theta_start, theta)
        assert_allclose(gp.kernel_.theta, theta, atol=0.05)
        assert_allclose(gp.kernel.theta, KERNEL.theta)

    def test_off_by_default(self):
        gp = TorchGPRegressor(KERNEL).fit(X, Y).fit(X, Y)
        assert_allclose(gp.optimizer_results_[0].theta_start, KERNEL.theta)

    def test_without_optimizer_keeps_the_last(self):
        gp = TorchGPRegressor(KERNEL, warm_start=True).fit(X[:20], Y[:20])
        theta = gp.kernel_.theta
        gp.set_params(optimizer=None).fit(X, Y)
        assert_allclose(gp.kernel_.theta, theta)

    def test_another_kernel_starts_afresh(self):
        gp = TorchGPRegressor(KERNEL, warm_start=True).fit(X, Y)
        gp.set_params(kernel=Matern(2.0) + WhiteKernel(0.3)).fit(X, Y)
        start = gp.optimizer_results_[0].theta_start
        assert_allclose(np.exp(start), [2.0, 0.3])

    def test_new_bounds_hold(self):
        """The same values, so the last optimum is the start, but within the bounds."""
        gp = TorchGPRegressor(RBF(8.0) + WhiteKernel(0.1), warm_start=True).fit(X, Y)
        assert gp.kernel_.k1.length_scale < 6
        noise = gp.kernel_.k2.noise_level
        gp.set_params(kernel=RBF(8.0, (7.0, 9.0)) + WhiteKernel(0.1)).fit(X, Y)
        start = np.exp(gp.optimizer_results_[0].theta_start)
        assert_allclose(start, [7.0, noise], rtol=1e-9)

    def test_before_fit_there_is_nothing_to_start_from(self):
        gp = TorchGPRegressor(KERNEL, warm_start=True)
        with pytest.raises(NotFittedError):
            gp.loo_predict()
        assert gp.fit(X, Y).kernel_ is not gp.kernel

    @pytest.mark.parametrize("value", ["yes", 2])
    def test_bad_value(self, value):
        with pytest.raises(ValueError, match="'warm_start'"):
            fixed(warm_start=value).fit(X, Y)


@pytest.mark.parametrize(
    "change",
    [
        lambda gp: gp.set_params(alpha=1.0),
        lambda gp: setattr(gp, "kernel_", 2.0 * RBF([1.0, 2.0]) + WhiteKernel(0.3)),
        lambda gp: gp.log_marginal_likelihood(0 * KERNEL.theta, clone_kernel=False),
        lambda gp: gp.set_params(normalize_y=False),
    ],
    ids=["alpha", "kernel_", "theta", "normalize_y"],
)
def test_what_changed_since_the_fit_counts(change):
    gp = fixed(normalize_y=True, alpha=0.1).fit(X[:20], Y[:20])
    change(gp)
    gp.partial_fit(X[20:], Y[20:])
    K = gp.kernel_(X) + gp.alpha * np.eye(len(X))
    assert_allclose(gp.L_ @ gp.L_.T, K, atol=1e-12)
    y = (Y - Y[:20].mean()) / Y[:20].std()
    assert_allclose(gp.y_train_, y)
    assert_allclose(gp.alpha_, np.linalg.solve(K, y), rtol=1e-8, atol=1e-10)


def test_alpha_of_each_row_may_become_a_number():
    gp = fixed(alpha=np.full(20, 0.1)).fit(X[:20], Y[:20])
    gp.set_params(alpha=0.2).partial_fit(X[20:], Y[20:])
    assert_same(gp, fixed(alpha=0.2).fit(X, Y))


def test_data_set_by_hand_may_grow():
    theirs = GaussianProcessRegressor(KERNEL, optimizer=None).fit(X[:20], Y[:20])
    gp = fixed()
    for name, value in vars(theirs).items():
        if name not in theirs.get_params():
            setattr(gp, name, value)
    gp.partial_fit(X[20:], Y[20:])
    assert_allclose(gp.predict(X), fixed().fit(X, Y).predict(X), rtol=1e-8)


def test_new_values_of_the_kernel_are_the_start():
    gp = TorchGPRegressor(RBF(1.0), optimizer=None, alpha=0.1, warm_start=True)
    gp.fit(X, Y)
    assert gp.set_params(kernel__length_scale=3.0).fit(X, Y).kernel_ == RBF(3.0)
    assert gp.set_params(kernel=RBF(5.0)).fit(X, Y).kernel_ == RBF(5.0)
