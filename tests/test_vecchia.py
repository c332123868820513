"""method="vecchia" of the regressor: its limit is exact, its formulas are NumPy's."""

import pickle

import numpy as np
import pytest
import torch
from contract_tables import log_normal
from helpers import numeric_gradient, surface
from kernel_zoo import OWN, ZOO, Numpy, rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    DotProduct,
    ExpSineSquared,
    Matern,
    WhiteKernel,
)
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import PowerTransformer
from sklearn.utils.estimator_checks import check_estimator

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._inference.vecchia.factor import factor_with_help
from sklearn_torchgp._linalg import memory
from sklearn_torchgp.exceptions import JitterWarning, NotPositiveDefiniteError

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_torchgp.exceptions.KernelFallbackWarning"
)

N = 24
X, Z = rows(N), rows(7, seed=5)
RNG = np.random.RandomState(3)
Y = np.sin(4 * X.sum(1)) + 0.1 * RNG.randn(N)
Y2 = np.column_stack([Y, 10 * np.cos(3 * X[:, 0]) + RNG.randn(N)])
ALL = {"n_neighbors": N - 1, "n_neighbors_predict": N, "optimizer_rows": None}
FEW = {"n_neighbors": 4, "n_neighbors_predict": 6}
KERNEL = 1.3 * Matern([0.7, 1.1, 0.9], nu=1.5) + WhiteKernel(0.05)

# All but one that is no covariance: exact inference finds negative variances, too.
EVERY = {**ZOO, **OWN}
del EVERY["pairwise-additive-chi2"]
every_kernel = pytest.mark.parametrize("kernel", EVERY.values(), ids=EVERY)


def vecchia(kernel=KERNEL, **params):
    """An estimator that keeps its kernel."""
    options = {"optimizer": None, "random_state": 0, "alpha": 0.1, **FEW, **params}
    return TorchGPRegressor(kernel, method="vecchia", **options)


def pair(kernel=KERNEL, **params):
    """Exact inference, and Vecchia's approximation where it is exact."""
    approximate = vecchia(kernel, **{**ALL, **params})
    exact = clone(approximate).set_params(method="exact")
    return exact, approximate


def said(model, X, y, Z=Z, **fit):
    """What a regressor says of everything, by name."""
    model.fit(X, y, **fit)
    theta = model.kernel_.theta
    lml, gradient = model.log_marginal_likelihood(theta + 0.1, eval_gradient=True)
    mean, std = model.predict(Z, return_std=True)
    loo_mean, loo_std = model.loo_predict(return_std=True)
    found = {
        "fitted lml": model.log_marginal_likelihood_value_,
        "lml": lml,
        "gradient": gradient,
        "mean": mean,
        "std": std,
        "cov": model.predict(Z, return_cov=True)[1],
        "cov of f": model.predict(Z, return_cov=True, include_noise=False)[1],
        "loo mean": loo_mean,
        "loo std": loo_std,
        "interval": model.predict_interval(Z),
        "density": model.log_predictive_density(Z, mean + 0.1),
        "gradient of mean": model.predict_gradient(Z),
    }
    for name in ("trend_coef_", "trend_intercept_"):
        if hasattr(model, name):
            found[name] = getattr(model, name)
    return found


def same(found, expected, tol=1e-8):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_allclose(found[name], value, rtol=tol, atol=tol, err_msg=name)


# --- the limit ----------------------------------------------------------------------


@every_kernel
def test_with_all_rows_near_it_is_exact(kernel):
    exact, approximate = pair(kernel)
    same(said(approximate, X, Y), said(exact, X, Y))


OPTIONS = {
    "two targets": ({}, Y2, {}),
    "normalize_y": ({"normalize_y": True}, Y2, {}),
    "alpha of each row": ({"alpha": np.linspace(0.05, 0.2, N)}, Y, {}),
    "noise": ({}, Y, {"noise_variance": np.linspace(0.0, 0.5, N)}),
    "noise of each target": (
        {}, Y2, {"noise_variance": RNG.uniform(0.1, 0.5, (N, 2))},
    ),
    "weights": ({}, Y, {"sample_weight": np.linspace(0.0, 3.0, N)}),
    "weights, two targets, noise of each": (
        {"normalize_y": True}, Y2,
        {
            "sample_weight": np.linspace(0.0, 3.0, N),
            "noise_variance": RNG.uniform(0.1, 0.5, (N, 2)),
        },
    ),
    "constant trend": ({"mean": "constant"}, Y2, {}),
    "linear trend": ({"mean": "linear"}, Y, {}),
    "linear trend, weights": (
        {"mean": "linear"}, Y2, {"sample_weight": np.linspace(0.5, 3.0, N)},
    ),
    "linear trend, noise of each target": (
        {"mean": "linear"}, Y2, {"noise_variance": RNG.uniform(0.1, 0.5, (N, 2))},
    ),
    "regressor as trend": ({"mean": Ridge()}, Y, {}),
    "transform": ({"target_transform": PowerTransformer()}, Y, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS)
def test_the_limit_with_all_that_comes_with_rows(case):
    params, y, fit = case
    exact, approximate = pair(**params)
    if "target_transform" in params:  # intervals are to 1e-6 there
        one, other = (said(m, X, y, **fit) for m in (approximate, exact))
        same(one, other, tol=1e-6)
    else:
        same(said(approximate, X, y, **fit), said(exact, X, y, **fit))


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS)
def test_rows_that_repeat_are_averaged_exactly(case):
    params, y, fit = case
    if np.size(params.get("alpha", 1.0)) > 1:
        params = {"alpha": np.r_[params["alpha"], params["alpha"][:10]]}
    again = np.r_[np.arange(N), np.arange(10)]
    more = {name: value[again] for name, value in fit.items()}
    y_more = y[again] + np.r_[np.zeros(N), np.full(10, 0.3)].reshape(
        -1, *[1] * (y.ndim - 1)
    )
    exact, approximate = pair(**params)
    tol = 1e-6 if "target_transform" in params else 1e-8
    same(said(approximate, X[again], y_more, **more),
         said(exact, X[again], y_more, **more), tol)  # fmt: skip
    n_distinct = (
        N - (more["sample_weight"][:N] == 0).sum() if ("sample_weight" in more) else N
    )
    assert len(approximate.X_train_) == n_distinct
    assert approximate.sample_weight_train_.max() > 1


def test_rows_that_repeat_with_other_noise_are_kept():
    again, noise = np.r_[np.arange(N), 0, 1], np.zeros(N + 2)
    noise[-2:] = 0.3
    exact, approximate = pair()
    fit = {"noise_variance": noise}
    options = {"n_neighbors": N + 1, "n_neighbors_predict": N + 2}
    approximate.set_params(**options)
    same(said(approximate, X[again], Y[again], **fit),
         said(exact, X[again], Y[again], **fit))  # fmt: skip
    assert len(approximate.X_train_) == N + 2


def test_copies_without_noise_are_refused():
    again = np.r_[np.arange(N), 0]
    with pytest.raises(NotPositiveDefiniteError):
        vecchia(1.0 * RBF(0.1), alpha=0.0).fit(X[again], Y[again])


def test_float32_in_the_limit():
    exact, approximate = pair(dtype="float32")
    one, other = (said(m, X, Y) for m in (approximate, exact))
    same(one, other, tol=3e-4)
    assert approximate.jitter_ == pytest.approx(exact.jitter_, rel=1e-5)
    assert approximate.predict(Z.astype(np.float32)).dtype == np.float32


def test_one_and_two_rows():
    for n in (1, 2):
        exact, approximate = pair()
        mean = exact.fit(X[:n], Y[:n]).predict(Z)
        assert_allclose(approximate.fit(X[:n], Y[:n]).predict(Z), mean)
        assert_allclose(approximate.loo_predict(), exact.loo_predict(), atol=1e-14)
    one = vecchia(mean="constant").fit(X[:1], Y[:1])
    mean, std = one.loo_predict(return_std=True)
    assert np.isnan(mean).all() and np.isinf(std).all()  # noqa: PT018


def test_the_optimum_in_the_limit():
    X, y = surface(40)
    kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    exact, approximate = pair(kernel, optimizer="fmin_l_bfgs_b", alpha=1e-10)
    approximate.set_params(n_neighbors=39, n_neighbors_predict=40)
    exact.fit(X, y)
    approximate.fit(X, y)
    assert_allclose(approximate.kernel_.theta, exact.kernel_.theta, atol=1e-3)
    assert approximate.log_marginal_likelihood_value_ == pytest.approx(
        exact.log_marginal_likelihood_value_, rel=1e-8
    )


# --- the formulas -------------------------------------------------------------------


def by_numpy(model, kernel, X, y, noise):
    """The evidence that `order_` and `neighbors_` say, by dense formulas."""
    K, total = kernel(X) + np.diag(np.broadcast_to(noise, len(X))), 0.0
    for row, near in zip(model.order_, model.neighbors_, strict=True):
        near = near[near >= 0]
        b = np.linalg.solve(K[np.ix_(near, near)], K[near, row])
        mean, variance = b @ y[near], K[row, row] - b @ K[near, row]
        total += log_normal(y[[row]], mean, np.array([[variance]]))
    return total


KERNELS = {
    "radial": KERNEL,
    "two radial parts": 1.3 * RBF(0.3) + Matern(2.0, nu=2.5) + WhiteKernel(0.1),
    "product": RBF(0.5) * DotProduct(0.7) + WhiteKernel(0.1),
    "none": DotProduct(0.7) + ExpSineSquared(1.2, 2.1) + WhiteKernel(0.1),
    "numpy": Numpy(0.8) + WhiteKernel(0.3),
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_the_evidence_by_numpy_and_its_gradient_by_differences(kernel):
    X = rows(60)
    y = np.sin(4 * X.sum(1))
    model = vecchia(kernel).fit(X, y)
    wanted = by_numpy(model, model.kernel_, X, y, 0.1)
    assert model.log_marginal_likelihood_value_ == pytest.approx(wanted, rel=1e-9)
    theta = model.kernel_.theta + 0.1
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    wanted = by_numpy(model, kernel.clone_with_theta(theta), X, y, 0.1)
    assert value == pytest.approx(wanted, rel=1e-9)
    wanted = numeric_gradient(model.log_marginal_likelihood, theta, step=1e-3)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_neighbours_are_the_rows_before_that_tell_most(kernel):
    X = rows(200)
    model = vecchia(kernel).fit(X, X[:, 0])
    assert sorted(model.order_) == list(range(200))
    assert model.neighbors_.shape == (200, 4)
    assert model.neighbors_.dtype == np.int32
    K = np.abs(kernel(X, X))
    told = K / np.sqrt(np.outer(np.diag(K), np.diag(K)))
    for i, (row, near) in enumerate(zip(model.order_, model.neighbors_, strict=True)):
        earlier, near = model.order_[:i], near[near >= 0]
        assert len(near) == min(i, 4)
        assert set(near) <= set(earlier)
        assert len(set(near)) == len(near)
        best = np.sort(told[row, earlier])[::-1][: len(near)]
        # Candidates of a product are those of its radial part.
        tol = 0.02 if kernel is KERNELS["product"] else 1e-9
        assert_allclose(told[row, near].sum(), best.sum(), rtol=tol)


def test_prediction_by_numpy():
    X, y = surface(80)
    kernel = 1.3 * RBF([0.5, 0.9]) + WhiteKernel(0.05)
    model = vecchia(kernel).fit(X, y)
    new = surface(9, seed=2)[0]
    K = kernel(X) + 0.1 * np.eye(80)
    k = kernel(X, new)
    B = np.zeros((80, 9))
    for j, row in enumerate(new / [0.5, 0.9]):
        near = np.argsort(((X / [0.5, 0.9] - row) ** 2).sum(1))[:6]
        B[near, j] = np.linalg.solve(K[np.ix_(near, near)], k[near, j])
    mean, cov = model.predict(new, return_cov=True)
    assert_allclose(mean, B.T @ y, rtol=1e-9)
    wanted = kernel(new) - k.T @ B - B.T @ k + B.T @ K @ B
    assert_allclose(cov, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("mean", ["zero", "linear"])
def test_covariances_are_psd_with_the_variances_on_their_diagonal(mean):
    X, y = surface(300)
    model = vecchia(1.3 * RBF([0.5, 0.9]) + WhiteKernel(0.05), mean=mean).fit(X, y)
    new = surface(50, seed=2)[0]
    new[1::2] = new[::2] + 1e-3
    _, std = model.predict(new, return_std=True)
    _, cov = model.predict(new, return_cov=True)
    assert_allclose(np.diag(cov), std**2, rtol=1e-9)
    assert_allclose(cov, cov.T)
    assert np.linalg.eigvalsh(cov).min() > -1e-12
    backwards = model.predict(new[::-1], return_cov=True)[1]
    assert_allclose(backwards[::-1, ::-1], cov, rtol=1e-9, atol=1e-12)


def test_close_rows_are_told_together():
    """The joint log density of close pairs is near the exact one."""
    X, y = surface(400)
    new = surface(60, seed=2)[0]
    new[1::2] = new[::2] + 0.01
    kernel = 1.0 * RBF([0.7, 1.5]) + WhiteKernel(0.01)
    exact = vecchia(kernel, n_neighbors_predict=32).set_params(method="exact")
    near = vecchia(kernel, n_neighbors_predict=32)
    draw = exact.fit(X, y).sample_y(new, random_state=1)[:, 0]
    joint = [
        log_normal(draw, *m.fit(X, y).predict(new, return_cov=True))
        for m in (exact, near)
    ]
    mean, std = near.predict(new, return_std=True)
    alone = log_normal(draw, mean, np.diag(std**2))
    assert abs(joint[0] - joint[1]) < 0.1 * abs(joint[0] - alone)


def test_leave_one_out_by_numpy():
    X, y = surface(80)
    kernel = 1.3 * RBF([0.5, 0.9]) + WhiteKernel(0.05)
    model = vecchia(kernel).fit(X, y)
    K, S = kernel(X) + 0.1 * np.eye(80), X / [0.5, 0.9]
    mean, std, total = np.empty(80), np.empty(80), 0.0
    for i in range(80):
        near = np.argsort(((S - S[i]) ** 2).sum(1))
        near = near[near != i][:6]
        b = np.linalg.solve(K[np.ix_(near, near)], K[near, i])
        mean[i], std[i] = b @ y[near], np.sqrt(K[i, i] - b @ K[near, i])
        total += log_normal(y[[i]], mean[[i]], np.array([[std[i] ** 2]]))
    found = model.loo_predict(return_std=True)
    assert_allclose(found[0], mean, rtol=1e-9)
    assert_allclose(found[1], std, rtol=1e-9)
    assert model.loo_log_predictive_density() == pytest.approx(total, rel=1e-9)
    theta = model.kernel_.theta + 0.1
    _, gradient = model.loo_log_predictive_density(theta, eval_gradient=True)
    wanted = numeric_gradient(model.loo_log_predictive_density, theta, step=1e-3)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6)


def test_the_density_of_left_out_copies():
    """Averaged rows: each copy counts, left out with all the others of its row."""
    again = np.r_[np.arange(N), np.arange(10)]
    y = Y[again] + np.r_[np.zeros(N), np.full(10, 0.3)]
    model = vecchia(**ALL).fit(X[again], y)
    K = model.kernel_(X)
    noise = 0.1 + 0.05
    C = K + np.diag(noise / model.sample_weight_train_ - 0.05)
    total = 0.0
    for i in range(N):
        rest = np.arange(N) != i
        b = np.linalg.solve(C[np.ix_(rest, rest)], K[rest, i])
        mean = b @ model.y_train_[rest]
        variance = K[i, i] - b @ K[rest, i] + 0.1
        for copy in y[again == i]:
            total += log_normal(np.r_[copy], mean, np.array([[variance]]))
    assert model.loo_log_predictive_density() == pytest.approx(total, rel=1e-9)
    theta = model.kernel_.theta + 0.1
    _, gradient = model.loo_log_predictive_density(theta, eval_gradient=True)
    wanted = numeric_gradient(model.loo_log_predictive_density, theta, step=1e-3)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6)


def test_gradients_of_predictions_by_differences():
    X, y = surface(80)
    kernel = 1.3 * RBF([0.5, 0.9]) + WhiteKernel(0.05)
    new = surface(9, seed=2)[0]
    for mean in ("zero", "linear"):
        model = vecchia(kernel, mean=mean).fit(X, y)
        slope, of_std = model.predict_gradient(new, return_std=True)
        for i, found in enumerate((slope, of_std)):
            wanted = numeric_gradient(
                lambda Z, m=model, i=i: m.predict(Z, return_std=True)[i], new, 1e-5
            )
            assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_draws_have_the_moments_of_the_prediction():
    X, y = surface(60)
    model = vecchia(1.3 * RBF([0.5, 0.9]) + WhiteKernel(0.05)).fit(X, y)
    new = surface(5, seed=2)[0]
    mean, cov = model.predict(new, return_cov=True)
    draws = model.sample_y(new, 4000)
    assert_allclose(draws.mean(1), mean, atol=5 * np.sqrt(cov.max() / 4000))
    assert_allclose(np.cov(draws), cov, atol=0.1 * cov.max())
    latent = model.predict(new, return_cov=True, include_noise=False)[1]
    paths = model.sample_paths(2000, random_state=0, n_features=64)(new)
    assert_allclose(paths.mean(1), mean, atol=5 * np.sqrt(latent.max() / 2000))
    assert_allclose(np.cov(paths), latent, atol=0.1 * latent.max())


@pytest.mark.parametrize("params", [{}, {"mean": "linear"}])
def test_paths_of_several_targets_with_noise_of_each(params):
    exact, approximate = pair(1.3 * RBF(0.5), **params)
    fit = {"noise_variance": RNG.uniform(0.1, 0.5, (N, 2))}
    one, other = (
        model.fit(X, Y2, **fit).sample_paths(3, random_state=0)(Z)
        for model in (exact, approximate)
    )
    assert_allclose(other, one, rtol=1e-8, atol=1e-8)


# --- what does not matter ------------------------------------------------------------


def test_block_sizes_and_threads_do_not_change_answers(monkeypatch):
    X, y = surface(300)
    settings = {"mean": "linear", "kernel": 1.0 * RBF([0.5, 0.9]) + WhiteKernel(0.1)}
    new = surface(40, seed=2)[0]
    whole = said(vecchia(**settings), X, y, new)
    before = torch.get_num_threads()
    try:
        for size, threads in ((1, 1), (2**14, 1), (2**14, 3)):
            blocks = dict.fromkeys(memory.BLOCK_BYTES, size)
            monkeypatch.setattr(memory, "BLOCK_BYTES", blocks)
            torch.set_num_threads(threads)
            same(said(vecchia(**settings), X, y, new), whole, tol=1e-9)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_the_same_random_state_gives_the_same_numbers():
    X, y = surface(300)
    kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    options = {"optimizer": "fmin_l_bfgs_b", "optimizer_rows": 50}
    one, same_one, other = (
        vecchia(kernel, random_state=seed, **options).fit(X, y) for seed in (0, 0, 1)
    )
    assert (one.order_ == same_one.order_).all()
    assert (one.kernel_.theta == same_one.kernel_.theta).all()
    assert (one.predict(X) == same_one.predict(X)).all()
    assert (one.order_ != other.order_).any()
    assert one.log_marginal_likelihood_value_ != other.log_marginal_likelihood_value_


# --- the fit ------------------------------------------------------------------------


def test_stages_of_a_fit():
    X, y = surface(300)
    kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    options = {"optimizer": "fmin_l_bfgs_b", "n_restarts_optimizer": 2, "alpha": 1e-10}
    model = vecchia(kernel, optimizer_rows=100, **options, n_neighbors=40).fit(X, y)
    winner, *others = sorted(
        model.optimizer_results_, key=lambda record: -record.n_evaluations
    )
    assert set(winner.n_coarse_evaluations) == {100}
    assert 1 <= winner.n_evaluations <= 20
    for record in others:  # only the best goes past stage one
        assert record.n_evaluations == 0
        assert record.n_coarse_evaluations[100] <= 20
    exact = TorchGPRegressor(kernel).fit(X, y)
    gap = exact.log_marginal_likelihood_value_ - exact.log_marginal_likelihood(
        model.kernel_.theta
    )
    assert 0 <= gap < 2


def test_other_optimisers():
    X, y = surface(120)
    kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    seen = []

    def best_of_two(objective, theta, bounds):
        seen.append(objective(theta))
        values = [objective(t, eval_gradient=False) for t in (theta, theta + 0.1)]
        return theta + 0.1 * np.argmin(values), min(values)

    model = vecchia(kernel, optimizer=best_of_two, optimizer_rows=50).fit(X, y)
    assert len(seen) == 2
    assert np.isfinite(model.predict(X)).all()
    coarse = vecchia(kernel, optimizer="coarse-to-fine", optimizer_rows=50).fit(X, y)
    plain = vecchia(kernel, optimizer="fmin_l_bfgs_b", optimizer_rows=50).fit(X, y)
    assert_allclose(coarse.kernel_.theta, plain.kernel_.theta)


def test_objectives():
    X, y = surface(120)
    kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    options = {"optimizer": "fmin_l_bfgs_b", "optimizer_rows": 60, "alpha": 1e-10}
    model = vecchia(kernel, objective="loo", **options).fit(X, y)
    evidence = vecchia(kernel, **options).fit(X, y)
    assert model.objective_value_ > evidence.loo_log_predictive_density() - 1.0
    assert model.log_marginal_likelihood_value_ == pytest.approx(
        model.log_marginal_likelihood(model.kernel_.theta)
    )

    def penalised(estimator, theta, eval_gradient):
        found = estimator.log_marginal_likelihood(theta, eval_gradient)
        if not eval_gradient:
            return found - theta @ theta
        return found[0] - theta @ theta, found[1] - 2 * theta

    own = vecchia(kernel, objective=penalised, **options).fit(X, y)
    plain = vecchia(kernel, **options).fit(X, y)
    assert np.linalg.norm(own.kernel_.theta) < np.linalg.norm(plain.kernel_.theta)


def test_auto(monkeypatch):
    from sklearn_torchgp._model import methods

    X, y = surface(30)
    few = vecchia().set_params(method="auto", kernel=RBF(1.0)).fit(X, y)
    assert few.method_ == "exact"
    assert "30 rows are not more than 5000" in few.method_reason_
    assert few.L_.shape == (30, 30)
    monkeypatch.setattr(methods, "EXACT_ROWS", 20)
    many = clone(few).fit(X, y)
    assert many.method_ == "vecchia"
    assert "30 rows are more than 20" in many.method_reason_
    mixed = clone(few).set_params(dtype="mixed").fit(X, y)
    assert mixed.method_ == "exact"
    asked = vecchia(RBF(1.0)).fit(X, y)
    assert asked.method_reason_ == "method='vecchia' was asked for."


def test_the_other_method_after_a_fit():
    """Nothing of a method stays when the other one is fitted; until then it does."""
    X, y = surface(30)
    model = vecchia(RBF(1.0)).fit(X, y)
    mean = model.predict(X)
    model.set_params(method="exact")
    assert_allclose(model.predict(X), mean)
    model.fit(X, y)
    assert not hasattr(model, "order_")
    assert model.L_.shape == (30, 30)
    model.set_params(method="vecchia").fit(X, y)
    assert_allclose(model.predict(X), mean)


# --- more rows ----------------------------------------------------------------------


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS)
def test_partial_fit_in_the_limit(case):
    params, y, fit = case
    if np.size(params.get("alpha", 1.0)) > 1:
        pytest.skip("partial_fit takes one alpha only")
    first, second = slice(0, 15), slice(15, N)
    exact, approximate = pair(**params)
    found = []
    for model in (approximate, exact):
        parts = [{k: v[some] for k, v in fit.items()} for some in (first, second)]
        model.fit(X[first], y[first], **parts[0])
        model.partial_fit(X[second], y[second], **parts[1])
        found.append((model.log_marginal_likelihood_value_,
                      *model.predict(Z, return_std=True),
                      *model.loo_predict(return_std=True)))  # fmt: skip
    for one, other in zip(*found, strict=True):
        tol = 1e-6 if "target_transform" in params else 1e-8
        assert_allclose(one, other, rtol=tol, atol=tol)


def test_new_rows_join_the_end_of_the_order_and_old_terms_stay():
    X, y = surface(120)
    kernel = 1.3 * RBF([0.5, 0.9]) + WhiteKernel(0.05)
    model = vecchia(kernel).fit(X[:100], y[:100])
    order, near = model.order_, model.neighbors_
    model.partial_fit(X[100:], y[100:])
    assert (model.order_[:100] == order).all()
    assert (model.order_[100:] == np.arange(100, 120)).all()
    assert (model.neighbors_[:100] == near).all()
    wanted = by_numpy(model, kernel, X, y, 0.1)
    assert model.log_marginal_likelihood_value_ == pytest.approx(wanted, rel=1e-9)
    model.kernel_.theta = model.kernel_.theta + 0.1
    changed = model.log_marginal_likelihood(model.kernel_.theta)
    assert changed == pytest.approx(by_numpy(model, model.kernel_, X, y, 0.1))


def test_partial_fit_of_rows_that_repeat():
    again = np.r_[np.arange(15), np.arange(5)]
    y = np.r_[Y[:15], Y[:5] + 0.3]
    exact, approximate = pair()
    for model in (exact, approximate):
        model.fit(X[again], y).partial_fit(X[15:], Y[15:])
    assert_allclose(approximate.predict(Z), exact.predict(Z), rtol=1e-8)
    one, other = (m.loo_predict(return_std=True) for m in (approximate, exact))
    assert_allclose(one, other, rtol=1e-8)
    assert approximate.log_marginal_likelihood_value_ == pytest.approx(
        exact.log_marginal_likelihood_value_, rel=1e-9
    )


# --- nearly singular ----------------------------------------------------------------

SMOOTH = RBF(30.0)


def test_a_fit_that_needs_help_says_so():
    X, y = surface(80)
    model = vecchia(SMOOTH, alpha=1e-18, n_neighbors=40)
    with pytest.warns(JitterWarning, match="was added to its diagonal"):
        model.fit(X, y)
    assert model.jitter_ > 0
    assert np.isfinite(model.predict(X, return_cov=True)[1]).all()
    again = pickle.loads(pickle.dumps(model))
    assert_allclose(again.predict(X), model.predict(X))
    with pytest.raises(NotPositiveDefiniteError, match="alpha"):
        vecchia(SMOOTH, alpha=0.0, n_neighbors=40).fit(X, y)


def test_a_prediction_that_needs_help_says_so():
    X, y = surface(80)
    model = vecchia(SMOOTH, alpha=1e-18, n_neighbors=1, n_neighbors_predict=70)
    model.fit(X, y)
    assert model.jitter_ == 0.0
    with pytest.warns(JitterWarning, match="nearest rows of some rows"):
        mean, std = model.predict(X[:9] + 0.01, return_std=True)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    with pytest.warns(JitterWarning, match="nearest rows of some rows"):
        left_out = model.loo_predict()
    assert np.isfinite(left_out).all()


def test_only_the_blocks_without_a_factor_are_helped():
    good, bad = torch.eye(3, dtype=torch.float64), torch.ones(3, 3).double()
    L, added = factor_with_help(torch.stack([good, bad]), (1e-16, 1e-8, 1e-3))
    assert torch.equal(L[0], good)
    assert_allclose(L[1] @ L[1].mT, bad + 1e-8 * good, atol=1e-15)
    assert added == pytest.approx(1e-8)
    for lost in (-good, good * np.nan, good * np.inf):
        with pytest.raises(NotPositiveDefiniteError):
            factor_with_help(torch.stack([good, lost]), (1e-8,))


# --- the estimator ------------------------------------------------------------------

BAD = {
    "unknown method": ({"method": "nearest"}, "'method'.*'exact', 'vecchia'.*nearest"),
    "no neighbours": ({"n_neighbors": 0}, "'n_neighbors'.*positive integer.*0"),
    "half a neighbour": ({"n_neighbors": 1.5}, "'n_neighbors'.*1.5"),
    "neighbours as text": ({"n_neighbors_predict": "8"}, "'n_neighbors_predict'.*'8'"),
    "true": ({"n_neighbors": True}, "'n_neighbors'.*True"),
    "none": ({"n_neighbors": None}, "'n_neighbors'.*None"),
    "no rows": ({"optimizer_rows": -1}, "'optimizer_rows'.*None for all.*-1"),
    "mixed": ({"dtype": "mixed"}, "'dtype' parameter is 'mixed'.*vecchia.*float64"),
    "left-out rows of a trend": (
        {"objective": "loo", "mean": "linear"}, "'objective'.*'loo'.*'linear'.*exact",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fitted", [False, True], ids=["fresh", "fitted"])
@pytest.mark.parametrize(("params", "message"), BAD.values(), ids=BAD)
def test_bad_parameters(params, message, fitted):
    model = vecchia()
    if fitted:
        model.fit(X, Y)
    model.set_params(**params)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert vars(model) == before


def test_rows_that_are_no_table():
    from sklearn.gaussian_process.tests._mini_sequence_kernel import MiniSeqKernel

    model = vecchia(MiniSeqKernel())
    before = dict(vars(model))
    with pytest.raises(ValueError, match="'method' parameter is 'vecchia'.*'exact'"):
        model.fit(["A", "AB", "B"], [1.0, 2.0, 3.0])
    assert vars(model) == before
    auto = model.set_params(method="auto").fit(["A", "AB", "B"], [1.0, 2.0, 3.0])
    assert auto.method_ == "exact"
    assert "no table of numbers" in auto.method_reason_


@pytest.mark.parametrize("method", ["vecchia", "auto"])
def test_classifiers_have_no_such_method(method):
    with pytest.raises(ValueError, match=rf"'method'.*\['exact'\].*'{method}'"):
        TorchGPClassifier(method=method).fit(X, Y > 0)


def test_memory_that_is_not_there_names_the_cure():
    n = 3_000_000
    X = np.zeros((n, 1))
    model = TorchGPRegressor(RBF(), optimizer=None, copy_X_train=False)
    with pytest.raises(MemoryError, match=r"GiB.*method='vecchia' or 'auto'"):
        model.fit(X, X[:, 0])


def test_there_is_no_factor():
    model = vecchia().fit(X, Y)
    for name in ("L_", "alpha_"):
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=f"'{name}'.*method='vecchia'.*exact"):
            getattr(model, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing_'"):
        model.nothing_  # noqa: B018
    assert not hasattr(vecchia(), "L_")


def test_pickles_hold_numpy_and_no_tree():
    model = vecchia().fit(X, Y)
    expected = model.predict(Z, return_cov=True)[1]
    data = pickle.dumps(model)
    assert b"KDTree" not in data
    assert b"torch._utils" not in data
    again = pickle.loads(data)
    assert_allclose(again.predict(Z, return_cov=True)[1], expected, rtol=1e-12)
    for name in ("order_", "neighbors_"):
        assert isinstance(getattr(again, name), np.ndarray)


def test_what_is_assigned_takes_effect():
    model = vecchia().fit(X, Y)
    other = vecchia().fit(X, 2 * Y)
    model.y_train_ = 2 * model.y_train_
    assert_allclose(model.predict(Z), other.predict(Z))
    model.kernel_ = clone(KERNEL).clone_with_theta(KERNEL.theta + 0.3)
    other = vecchia(model.kernel_).fit(X, 2 * Y)
    assert_allclose(model.predict(Z), other.predict(Z))
    model.set_params(n_neighbors_predict=N)
    assert_allclose(
        model.predict(Z), pair(model.kernel_)[0].fit(X, 2 * Y).predict(Z), rtol=1e-8
    )


def test_tensors_in_tensors_out():
    model = vecchia().fit(torch.from_numpy(X), torch.from_numpy(Y))
    mean, std = model.predict(torch.from_numpy(Z), return_std=True)
    assert isinstance(model.order_, torch.Tensor)
    assert isinstance(std, torch.Tensor)
    assert_allclose(mean.numpy(), vecchia().fit(X, Y).predict(Z))


def test_a_search_over_methods():
    X, y = surface(60)
    grid = {"method": ["exact", "vecchia"], "n_neighbors": [5, 60]}
    model = TorchGPRegressor(RBF(1.0) + WhiteKernel(0.1), optimizer=None)
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks():
    check_estimator(TorchGPRegressor(RBF(1.0), method="vecchia", alpha=1e-3))
