"""The bound through inducing points: formulas, gradients, nasty cases."""

import mpmath
import numpy as np
import pytest
import torch
from contract_tables import (
    KERNEL,
    LIKELIHOODS,
    QUIET,
    TERMS,
    N,
    X,
    covariance,
    observed,
    tensor,
    trend,
)
from helpers import numeric_gradient
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern, WhiteKernel

from sklearn_torchgp._covariance.at import CovarianceAt
from sklearn_torchgp._inference import Exact, Inducing, InducingSites
from sklearn_torchgp._inference.inducing import visits
from sklearn_torchgp._inference.inducing.points import chosen
from sklearn_torchgp._inference.inducing.statistics import Whitening, jitter_of
from sklearn_torchgp._likelihoods.gaussian import Observations
from sklearn_torchgp._linalg import memory
from sklearn_torchgp._model.model import Model
from sklearn_torchgp.exceptions import NotPositiveDefiniteError

RNG = np.random.RandomState(7)
FEW = RNG.uniform(-2, 2, (5, 2))


def bound(kernel, X, y, noise, Z):
    """Titsias (2009), equation 9, by dense formulas; `kernel` without noise."""
    n, K, k = len(X), kernel(Z), kernel(Z, X)
    Q = k.T @ np.linalg.solve(K, k)
    C = Q + np.diag(noise)
    logs = np.linalg.slogdet(C)[1] + n * np.log(2 * np.pi)
    fit = y @ np.linalg.solve(C, y)
    return -0.5 * (fit + logs + ((kernel.diag(X) - np.diag(Q)) / noise).sum())


def model(method, kernel=KERNEL, likelihood=None, rows=X):
    return Model(covariance(kernel, rows), likelihood or observed(), method)


def gaussian(y, noise=0.1):
    return Observations(tensor(y)[:, None], noise)


def test_the_bound_in_closed_form():
    found = model(Inducing(FEW)).infer().value
    y, noise = observed().y[:, 0].numpy(), observed().noise.numpy() + 0.15
    assert found == pytest.approx(bound(QUIET, X, y, noise, FEW), rel=1e-9)
    assert found < model(Exact()).infer().value


def test_many_rows_in_closed_form():
    X = RNG.uniform(-2, 2, (3000, 2))
    y = np.sin(3 * X[:, 0]) + 0.1 * RNG.randn(3000)
    kernel = 1.5 * Matern([0.7, 1.2], nu=2.5)
    found = model(Inducing(X[:80]), kernel, gaussian(y), X).infer().value
    wanted = bound(kernel, X, y, np.full(3000, 0.1), X[:80])
    assert found == pytest.approx(wanted, rel=1e-9)


CASES = {
    "plain": (KERNEL, observed()),
    "matern": (1.3 * Matern([0.8, 1.4], nu=1.5) + WhiteKernel(0.15), observed(2)),
    "products": (RBF(1.1) * DotProduct(0.7) + WhiteKernel(0.2), observed()),
    "trend": (KERNEL, observed(2, basis=trend("linear"))),
    "weights": (KERNEL, observed(weight=tensor(RNG.uniform(0.3, 3.0, N)))),
    "noise of each target": (KERNEL, observed(2, RNG.uniform(0.05, 0.2, (N, 2)))),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("points", [FEW, 5, np.r_[FEW[:3], FEW[:1]]])
def test_gradient_in_theta_and_points(case, points):
    kernel, likelihood = case
    one = model(Inducing(points, moves=True), kernel, likelihood)
    start = one.infer().start
    m, d = start.Z.shape
    vector = np.r_[kernel.theta, 0.1 * np.random.RandomState(0).randn(m * d)]

    def value(vector):
        return one.infer(one.parameters.split(vector), start=start)

    assert one.parameters.size == len(vector)
    gradient = one.parameters.join(value(vector).gradient())
    wanted = numeric_gradient(lambda v: value(v).value, vector, step=1e-4)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


def test_points_that_are_nearly_one_lose_no_digits():
    """K_uu of rank 6, to float64: its factor is that of the jitter."""
    X = np.sort(RNG.uniform(0, 1, (200, 1)), axis=0)
    y = np.sin(4 * X[:, 0]) + 0.1 * RNG.randn(200)
    kernel = 1.0 * RBF(2.0) + WhiteKernel(0.01)
    one = model(Inducing(X[::4]), kernel, gaussian(y, 1e-4), X)
    split = one.parameters.split
    gradient = one.parameters.join(one.infer(split(kernel.theta)).gradient())
    wanted = numeric_gradient(lambda t: one.infer(split(t)).value, kernel.theta, 1e-3)
    assert_allclose(gradient, wanted, rtol=1e-4)
    exact = model(Exact(), kernel, gaussian(y, 1e-4), X).infer()
    assert one.infer().value == pytest.approx(exact.value, rel=1e-5)


def bound_of_many_digits(X, y, variance, length_scale, noise, Z):
    """The bound of an RBF on one feature with 50 digits."""
    with mpmath.workdps(50):
        mp, n = mpmath.matrix, len(X)

        def k(A, B):
            r = [[(a - b) / mpmath.mpf(length_scale) for b in B] for a in A]
            return mp([[variance * mpmath.exp(-s * s / 2) for s in row] for row in r])

        X, Z, y, noise = mp(X), mp(Z), mp(y), mpmath.mpf(noise)
        cross = k(Z, X)
        Q = cross.T * mpmath.inverse(k(Z, Z)) * cross
        C = Q + noise * mpmath.eye(n)
        fit = (y.T * mpmath.lu_solve(C, y))[0]
        logs = mpmath.log(mpmath.det(C)) + n * mpmath.log(2 * mpmath.pi)
        missed = sum(variance - Q[i, i] for i in range(n)) / noise
        return float(-(fit + logs + missed) / 2)


@pytest.mark.parametrize(("noise", "lost"), [(1e-2, 1e-10), (1e-4, 1e-8), (1e-6, 1e-6)])
def test_the_jitter_is_no_more_than_round_off(noise, lost):
    """Points whose covariance is singular to float64: 1e-8 loses 5000 times as much."""
    X = np.linspace(0, 1, 40)
    y = np.sin(6 * X) + 0.1 * np.cos(40 * X)
    kernel = 1.5 * RBF(0.4) + WhiteKernel(noise)
    one = model(Inducing(X[::2, None]), kernel, gaussian(y, 0.0), X[:, None])
    wanted = bound_of_many_digits(X, y, 1.5, 0.4, noise, X[::2])
    assert one.infer().value == pytest.approx(wanted, rel=lost)


class Coarse(RBF):
    """A user's kernel with nine digits: of near rows it is no covariance."""

    def __call__(self, X, Y=None, eval_gradient=False):
        if eval_gradient:
            K, slope = super().__call__(X, eval_gradient=True)
            return np.round(K, 9), slope
        return np.round(super().__call__(X, Y), 9)


@pytest.mark.filterwarnings("ignore::sklearn_torchgp.exceptions.KernelFallbackWarning")
def test_a_jitter_that_was_needed_is_kept():
    """Were it to fall again, the bound would have a step on the way to its optimum."""
    rows = np.linspace(0, 1, 60)[:, None]
    y = np.sin(4 * rows[:, 0]) + 0.1 * RNG.randn(60)
    one = model(Inducing(rows[::2]), Coarse(1.0), gaussian(y, 0.01), rows)
    least = jitter_of(30, torch.float64)
    narrow = {"kernel": np.log([0.01])}
    assert one.infer(narrow).start.jitter == least
    wide = one.infer()
    assert least < wide.start.jitter <= 1e-8
    exact = model(Exact(), RBF(1.0), gaussian(y, 0.01), rows).infer()
    assert wide.value == pytest.approx(exact.value, rel=1e-5)
    assert one.infer(narrow, start=wide.start).start.jitter == wide.start.jitter


def test_blocks_of_rows_change_nothing(monkeypatch):
    X = RNG.uniform(-2, 2, (700, 2))
    y = np.sin(3 * X[:, 0])
    found = []
    for n_bytes in (1, 2**30):
        monkeypatch.setattr(memory, "BLOCK_BYTES", dict.fromkeys(("cpu", "x"), n_bytes))
        one = model(Inducing(X[:9], moves=True), KERNEL, gaussian(y), X)
        theta = {"kernel": KERNEL.theta, "inducing": np.zeros(18)}
        one = one.infer(theta)
        found.append(np.r_[one.value, np.concatenate([*one.gradient().values()])])
    assert_allclose(found[0], found[1], rtol=1e-9)


def test_rows_far_from_zero_and_large_targets():
    """Scale 1e8 in x and in y: the same, in other units."""
    far, y = 1e8 + X * 1e2, observed().y[:, 0].numpy()
    near = model(Inducing(FEW), 1.0 * RBF(1.0), gaussian(y))
    wide = model(
        Inducing(1e8 + FEW * 1e2),
        1e16 * RBF(1e2),
        gaussian(1e8 * y, 1e15),
        far,
    )
    change = N * np.log(1e8)
    assert wide.infer().value + change == pytest.approx(near.infer().value, rel=1e-5)
    there, here = (one.infer().posterior() for one in (wide, near))
    moments = zip(there.moments(far, "var"), here.moments(X, "var"), strict=True)
    for (one, other), scale in zip(moments, (1e8, 1e16), strict=True):
        assert_allclose(one / scale, other, rtol=1e-4, atol=1e-6)


def test_one_row():
    one = model(Inducing(512), KERNEL, gaussian([0.7]), X[:1])
    exact = model(Exact(), KERNEL, gaussian([0.7]), X[:1])
    assert one.infer().value == pytest.approx(exact.infer().value, rel=1e-7)
    found, wanted = (m.infer().posterior().leave_one_out() for m in (one, exact))
    for a, b in zip(found, wanted, strict=True):
        assert_allclose(a, b, atol=1e-6)


def test_a_constant_target():
    one = model(Inducing(FEW), KERNEL, gaussian(np.full(N, 3.0)))
    mean, variance = one.infer().posterior().moments(X, "var")
    assert torch.isfinite(mean).all()
    assert (variance > 0).all()


def test_rows_that_repeat():
    """More points than distinct rows: the bound is exact, the choice ends."""
    again, y = np.tile(X[:4], (5, 1)), np.arange(20.0)
    one = model(Inducing(10), KERNEL, gaussian(y), again)
    exact = model(Exact(), KERNEL, gaussian(y), again)
    assert one.infer().value == pytest.approx(exact.infer().value, rel=1e-6)
    Z = one.infer().start.Z
    assert_allclose(np.unique(Z, axis=0), np.unique(X[:4], axis=0))
    assert Z.shape == (4, 2)


def test_points_are_chosen_where_rows_are():
    """In length scales: a feature that tells nothing is no distance."""
    X = np.c_[np.repeat(np.arange(20.0), 30), 10 * RNG.randn(600)]
    at = covariance(RBF([0.3, 1e5]), X).at()
    places = chosen(at, 20, np.random.RandomState(0))
    assert len(np.unique(places.Z[:, 0])) >= 17
    assert places.unit[0] == pytest.approx(4 * 0.3)
    assert places.unit[1] == pytest.approx(4 * X[:, 1].std())


@pytest.mark.parametrize("noise", [0.0, tensor(np.r_[np.ones(N - 1), 0.0])])
def test_rows_without_noise(noise):
    likelihood = Observations(observed().y, noise)
    with pytest.raises(ValueError, match=r"method='inducing'.*alpha.*WhiteKernel"):
        model(Inducing(FEW), QUIET, likelihood).infer()
    assert np.isfinite(model(Inducing(FEW), KERNEL, likelihood).infer().value)


def test_float32():
    dtype = {"dtype": torch.float32, "device": torch.device("cpu")}
    cov = type(covariance(KERNEL))(KERNEL, X, **dtype)
    likelihood = Observations(observed().y.float(), observed().noise.float(), 1e-5)
    found = Model(cov, likelihood, Inducing(X, moves=True))
    theta = {"kernel": KERNEL.theta, "inducing": np.zeros(2 * N)}
    exact = model(Exact()).infer({"kernel": KERNEL.theta})
    inferred = found.infer(theta)
    assert inferred.value == pytest.approx(exact.value, rel=1e-3)
    gradient = inferred.gradient()
    assert_allclose(gradient["kernel"], exact.gradient()["kernel"], rtol=1e-2)
    mean, variance = found.infer(theta).posterior().moments(X, "var")
    mean_, variance_ = model(Exact()).infer().posterior().moments(X, "var")
    assert_allclose(mean, mean_, atol=1e-3)
    assert_allclose(variance, variance_, atol=1e-3)


def test_what_rows_see_of_a_function():
    posterior = model(Inducing(FEW)).infer().posterior()
    seen = posterior.as_seen(lambda Z: tensor(np.sin(Z[:, :1])))
    wanted = QUIET(X, FEW) @ np.linalg.solve(QUIET(FEW), np.sin(FEW[:, :1]))
    assert_allclose(seen, wanted, rtol=1e-7, atol=1e-9)


def test_passes_at_one_theta_share_what_the_points_tell(monkeypatch):
    """Where it is little; and where it is not, they say the same."""
    one = model(InducingSites(FEW), QUIET, LIKELIHOODS["logit"])
    times, cross = [], CovarianceAt.cross

    def counted(at, *points):
        times.append(points)
        return cross(at, *points)

    monkeypatch.setattr(CovarianceAt, "cross", counted)
    kept = one.infer()
    assert kept.n_iterations > 1
    assert len(times) == 2  # the points with themselves, and with the rows
    monkeypatch.setattr(visits, "KEPT", 0)
    anew = one.infer()
    assert len(times) == 2 + 2 + kept.n_iterations
    assert anew.value == kept.value
    assert_allclose(anew.gradient()["kernel"], kept.gradient()["kernel"], rtol=1e-12)


def test_leaving_a_site_out_is_inferring_without_it():
    """Under a Gaussian likelihood sites do not move."""
    posterior = model(InducingSites(FEW), QUIET, TERMS).infer().posterior()
    mean, variance = posterior.leave_one_out()
    rows = model(Inducing(FEW), QUIET)
    for i in (0, 7):
        rest = rows.rows(np.flatnonzero(np.arange(N) != i))
        moments = rest.infer().posterior().moments(X[[i]], "var")
        assert_allclose(mean[i], moments[0][0], rtol=1e-8)
        assert_allclose(variance[i], moments[1][0], rtol=1e-8)


def test_what_sites_lack_is_measured_in_units_of_the_last():
    """k of them before and after a step: precision, shift, and the units of both."""
    before, after = RNG.randn(2, 3, 4, 7)
    missing = ((after - before)[:, :2] * after[-1, 2:]).reshape(3, -1)
    (found,) = visits.gaps(None, None, *tensor(before), *tensor(after))
    assert_allclose(found, missing @ missing.T, rtol=1e-12)


def test_points_whose_covariance_is_none():
    class Negative:
        def cross(self, Z, _):
            return -torch.eye(Z.n, dtype=torch.float64), None

    Z = covariance(KERNEL, FEW).points
    with pytest.raises(NotPositiveDefiniteError):
        Whitening.at(Negative(), Z)
