"""TorchGPRegressor with method="inducing"."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from helpers import surface
from kernel_zoo import Numpy
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator
from vecchia_cases import KERNEL, OPTIONS, N, X, Y, Z, said, same

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.exceptions import JitterWarning
from sklearn_torchgp.kernels import DeepKernel

NOISY = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)


def inducing(kernel=KERNEL, **params):
    """An estimator that keeps its kernel."""
    options = {"optimizer": None, "random_state": 0, "alpha": 0.1, **params}
    return TorchGPRegressor(kernel, method="inducing", **options)


def pair(kernel=KERNEL, **params):
    """Exact inference, and inducing points where they are exact."""
    through = inducing(kernel, **{"inducing_points": X, **params})
    return clone(through).set_params(method="exact"), through


BAD = {
    "none": (0, "'inducing_points'.*positive integer.*0"),
    "a word": ("all", "'inducing_points'.*'all'"),
    "half a point": (1.5, "'inducing_points'.*1.5"),
    "true": (True, "'inducing_points'.*True"),
    "None": (None, "'inducing_points'.*None"),
    "words": ([["a", "b", "c"]], "'inducing_points'.*list of shape"),
    "NaN": (np.full((4, 3), np.nan), "'inducing_points'.*finite.*ndarray of shape"),
    "a column": (np.ones(3), r"'inducing_points'.*ndarray of shape \(3,\)"),
    "no rows": (np.ones((0, 3)), "'inducing_points'.*shape"),
    "features": (np.ones((4, 2)), "'inducing_points'.*2 features.*X have 3"),
}


@pytest.mark.parametrize("fitted", [False, True], ids=["fresh", "fitted"])
@pytest.mark.parametrize(("points", "message"), BAD.values(), ids=BAD)
def test_bad_points(points, message, fitted):
    model = inducing()
    if fitted:
        model.fit(X, Y)
    model.set_params(inducing_points=points)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert vars(model) == before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"objective": "loo"}, "'objective'.*'loo'.*inducing.*loo_predict"),
        ({"dtype": "mixed"}, "'dtype' parameter is 'mixed'.*inducing.*float64"),
        ({"kernel": RBF(1.0), "alpha": 0.0}, "inducing.*noise.*WhiteKernel"),
    ],
)
def test_what_does_not_go_together(params, message):
    model = inducing().set_params(**params)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert vars(model) == before


def test_little_noise_is_told():
    model = inducing(1.0 * RBF(1.0), alpha=1e-10)
    with pytest.warns(JitterWarning, match=r"'inducing'.*1e-10.*1e-08.*WhiteKernel"):
        model.fit(X, Y)
    white = inducing(1.0 * RBF(1.0) + WhiteKernel(2e-10, "fixed"), alpha=1e-10)
    with pytest.warns(JitterWarning, match=r"the least of it is 3e-10"):
        white.fit(X, Y)


def test_too_many_points_for_memory_name_the_cure():
    rows = np.arange(400_000.0)[:, None]
    model = inducing(RBF(1.0), inducing_points=rows, device="cpu", copy_X_train=False)
    with pytest.raises(MemoryError, match=r"400000 rows.*GiB.*fewer inducing_points"):
        model.fit(rows, rows[:, 0])


def test_rows_that_are_no_table():
    from sklearn.gaussian_process.tests._mini_sequence_kernel import MiniSeqKernel

    with pytest.raises(ValueError, match="'method' parameter is 'inducing'.*'exact'"):
        inducing(MiniSeqKernel()).fit(["A", "AB", "B"], [1.0, 2.0, 3.0])


def test_more_points_than_rows():
    model = inducing().fit(X, Y)
    assert model.inducing_points_.shape == X.shape
    exact = pair()[0].fit(X, Y)
    assert_allclose(model.predict(Z), exact.predict(Z), atol=1e-6)


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS)
def test_points_at_the_rows_are_exact(case):
    params, y, fit = case
    exact, through = pair(**params)
    one, other = (said(model, X, y, **fit) for model in (through, exact))
    same(one, other, tol=1e-6)


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS)
def test_rows_that_repeat_are_averaged_exactly(case):
    params, y, fit = case
    if np.size(params.get("alpha", 1.0)) > 1:
        params = {"alpha": np.r_[params["alpha"], params["alpha"][:10]]}
    again = np.r_[np.arange(N), np.arange(10)]
    more = {name: value[again] for name, value in fit.items()}
    shift = np.r_[np.zeros(N), np.full(10, 0.3)]
    y = y[again] + shift.reshape(-1, *[1] * (y.ndim - 1))
    exact, through = pair(**params)
    one, other = (said(model, X[again], y, **more) for model in (through, exact))
    same(one, other, tol=1e-6)
    assert len(through.X_train_) <= N


@pytest.mark.parametrize(
    "kernel",
    [
        1.3 * Matern(0.7, nu=2.5) + WhiteKernel(0.1),
        RBF(0.5) * DotProduct(0.7) + WhiteKernel(0.1),
    ],
)
def test_kernels_at_the_rows(kernel):
    exact, through = pair(kernel)
    same(said(through, X, Y), said(exact, X, Y), tol=1e-6)


@pytest.mark.parametrize("noise", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("kernel", [RBF(2.0), RBF(0.5), Matern(2.0, nu=2.5)])
def test_little_noise_at_the_rows(kernel, noise):
    """At 1e-8 the gradient of the smoothest is 4e-6 off, at 1e-10 2e-3.

    Round-off moves eigenvalues by eps n k_ii: so much noise is none to exact inference.
    """
    exact, through = pair(kernel, alpha=noise)
    same(said(through, X, Y), said(exact, X, Y), tol=1e-6)


# What a second fit would scale, map or fit anew is that of the first in partial_fit.
GROW = {
    name: case
    for name, case in OPTIONS.items()
    if not {"normalize_y", "target_transform"} & set(case[0])
    and name not in ("alpha of each row", "regressor as trend")
}


@pytest.mark.parametrize("case", GROW.values(), ids=GROW)
@pytest.mark.parametrize("points", [X[:7], 6])
def test_partial_fit_adds(case, points):
    params, y, fit = case
    parts = slice(0, 15), slice(15, N)
    given = [{k: v[some] for k, v in fit.items()} for some in parts]
    grown = inducing(inducing_points=points, **params)
    grown.fit(X[parts[0]], y[parts[0]], **given[0])
    grown.partial_fit(X[parts[1]], y[parts[1]], **given[1])
    again = clone(grown).set_params(inducing_points=grown.inducing_points_)
    again.fit(X, y, **fit)
    moments = (model.predict(Z, return_std=True) for model in (grown, again))
    for one, other in zip(*moments, strict=True):
        assert_allclose(one, other, rtol=1e-8, atol=1e-10)
    assert grown.log_marginal_likelihood_value_ == pytest.approx(
        again.log_marginal_likelihood_value_, rel=1e-9
    )


def test_a_fit_moves_the_points():
    X, y = surface(300)
    options = {"optimizer": "fmin_l_bfgs_b", "alpha": 1e-10, "inducing_points": 15}
    model = inducing(NOISY, **options).fit(X, y)
    assert model.inducing_points_.shape == (15, 2)
    at_rows = (model.inducing_points_[:, None] == X).all(-1).any()
    assert not at_rows
    (record,) = model.optimizer_results_
    assert "inducing_points" not in record
    assert len(record.theta) == len(record.theta_start) == 4
    given = {"kernel": model.kernel_, "optimizer": None, "inducing_points": X[:15]}
    fixed = clone(model).set_params(**given).fit(X, y)
    assert_allclose(fixed.inducing_points_, X[:15])
    best = model.log_marginal_likelihood_value_
    assert best > fixed.log_marginal_likelihood_value_
    exact = clone(model).set_params(method="exact").fit(X, y)
    assert best < exact.log_marginal_likelihood_value_
    theta = model.kernel_.theta
    assert model.log_marginal_likelihood(theta) == pytest.approx(best, rel=1e-9)
    assert exact.log_marginal_likelihood(theta) > best
    again = clone(model).fit(X, y)
    assert_allclose(again.inducing_points_, model.inducing_points_)


def test_networks_are_trained_with_the_points():
    X, y = surface(120)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh())
    kernel = 1.0 * DeepKernel(net, RBF(1.0)) + WhiteKernel(0.1)
    options = {"optimizer": "fmin_l_bfgs_b", "inducing_points": 10, "alpha": 1e-10}
    model = inducing(kernel, **options).fit(X, y)
    before, after = (one.k1.k2.own_weights() for one in (kernel, model.kernel_))
    assert np.abs(before - after).max() > 1e-3
    assert len(model.optimizer_results_[0].theta) == 3
    assert model.score(X, y) > 0.8


@pytest.mark.filterwarnings("ignore::sklearn_torchgp.exceptions.KernelFallbackWarning")
def test_points_of_numpy_kernels_stay_where_rows_are():
    X, y = surface(60)
    kernel = Numpy(0.8) + WhiteKernel(0.3)
    options = {"optimizer": "fmin_l_bfgs_b", "inducing_points": 10, "alpha": 1e-10}
    model = inducing(kernel, **options).fit(X, y)
    assert (model.inducing_points_[:, None] == X).all(-1).any(1).all()


def test_few_rows_first_then_all():
    X, y = surface(300)
    options = {"optimizer": "fmin_l_bfgs_b", "alpha": 1e-10, "inducing_points": 15}
    model = inducing(NOISY, optimizer_rows=60, **options).fit(X, y)
    (record,) = model.optimizer_results_
    assert list(record.n_coarse_evaluations) == [120]
    assert 0 < record.n_evaluations < 30
    every = inducing(NOISY, optimizer_rows=None, **options).fit(X, y)
    assert model.score(X, y) > every.score(X, y) - 0.02


def test_several_starts_and_an_optimizer_from_outside():
    X, y = surface(80)
    options = {"alpha": 1e-10, "inducing_points": 10}
    model = inducing(
        NOISY, optimizer="fmin_l_bfgs_b", n_restarts_optimizer=2, **options
    ).fit(X, y)
    assert len(model.optimizer_results_) == 3

    def optimizer(obj_func, theta, bounds):
        return theta, obj_func(theta, eval_gradient=False)

    stays = inducing(NOISY, optimizer=optimizer, **options).fit(X, y)
    assert_allclose(stays.kernel_.theta, NOISY.theta)
    assert stays.inducing_points_.shape == (10, 2)


def test_an_objective_from_outside():
    X, y = surface(80)

    def objective(estimator, theta, eval_gradient):
        return estimator.log_marginal_likelihood(theta, eval_gradient)

    model = inducing(
        NOISY, optimizer="fmin_l_bfgs_b", inducing_points=10, objective=objective
    ).fit(X, y)
    assert model.objective_value_ == pytest.approx(
        model.log_marginal_likelihood_value_, rel=1e-6
    )


def test_paths_have_the_moments_of_predictions():
    X, y = surface(60)
    for points in (12, X):
        model = inducing(NOISY, inducing_points=points).fit(X, y)
        Z = np.random.RandomState(1).uniform(X.min(0), X.max(0), (6, 2))
        paths = model.sample_paths(4000, random_state=0, n_features=512)(Z)
        mean, cov = model.predict(Z, return_cov=True, include_noise=False)
        std = np.sqrt(np.diag(cov))
        assert_allclose(paths.mean(1), mean, atol=0.1 * std.max() + 0.02)
        assert_allclose(np.cov(paths), cov, atol=0.1 * cov.max())


def test_draws_have_the_moments_of_predictions():
    model = inducing(inducing_points=8).fit(X, Y)
    draws = model.sample_y(Z, 5000)
    mean, cov = model.predict(Z, return_cov=True)
    assert_allclose(draws.mean(1), mean, atol=0.05)
    assert_allclose(np.cov(draws), cov, atol=0.05)


def test_leaving_a_row_out_is_fitting_without_it():
    model = inducing(inducing_points=X[:6]).fit(X, Y)
    mean, std = model.loo_predict(return_std=True)
    for i in (0, 11):
        rest = np.arange(N) != i
        other = clone(model).fit(X[rest], Y[rest])
        one = other.predict(X[[i]], return_std=True, include_noise=True)
        assert_allclose([mean[i], std[i]], np.ravel(one), rtol=1e-9)


def test_there_is_no_factor():
    model = inducing().fit(X, Y)
    for name in ("L_", "alpha_"):
        with pytest.raises(AttributeError, match=f"'{name}'.*inducing_points_.*exact"):
            getattr(model, name)
    model.set_params(method="exact").fit(X, Y)
    assert not hasattr(model, "inducing_points_")
    assert not [name for name in vars(model) if name.startswith("_inducing")]


def test_pickles_hold_numpy():
    model = inducing(inducing_points=8).fit(X, Y)
    data = pickle.dumps(model)
    assert b"torch._utils" not in data
    again = pickle.loads(data)
    for one, other in zip(
        again.predict(Z, return_cov=True),
        model.predict(Z, return_cov=True),
        strict=True,
    ):
        assert_allclose(one, other, rtol=1e-12)
    assert isinstance(again.inducing_points_, np.ndarray)
    again.partial_fit(Z, np.zeros(len(Z)))


def test_tensors_in_tensors_out():
    points = torch.from_numpy(X[:7])
    model = inducing(inducing_points=points)
    model.fit(torch.from_numpy(X), torch.from_numpy(Y))
    mean, std = model.predict(torch.from_numpy(Z), return_std=True)
    assert isinstance(model.inducing_points_, torch.Tensor)
    assert isinstance(std, torch.Tensor)
    expected = inducing(inducing_points=X[:7]).fit(X, Y).predict(Z)
    assert_allclose(mean.numpy(), expected)


# It may say that round-off ended its line search: it answers as well all the same.
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_float32():
    exact, through = pair(dtype="float32")
    same(said(through, X, Y), said(exact, X, Y), tol=3e-3)
    model = inducing(NOISY, dtype="float32", optimizer="fmin_l_bfgs_b", alpha=1e-6)
    X_, y = surface(200)
    model.set_params(inducing_points=20).fit(X_, y)
    assert model.score(X_, y) > 0.9


def test_a_search_over_points():
    X, y = surface(60)
    model = TorchGPRegressor(NOISY, method="inducing", optimizer=None)
    search = GridSearchCV(model, {"inducing_points": [2, 5, 20]}, cv=2).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[2] > scores[0]


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks():
    few = {"inducing_points": 9, "optimizer_rows": 10}
    kernel = 1.0 * RBF(1.0)  # the default is fixed before scikit-learn 1.9
    check_estimator(TorchGPRegressor(kernel, method="inducing", alpha=1e-3, **few))


@pytest.mark.parametrize(("dtype", "warned"), [("float32", True), ("float64", False)])
def test_noise_below_the_points_jitter_is_told(dtype, warned):
    """float32 points need 1e-5 of the diagonal: noise of 1e-6 is lost among it."""
    X_, y = surface(60)
    model = TorchGPRegressor(RBF(1.0), method="inducing", optimizer=None, alpha=1e-6)
    model.set_params(inducing_points=20, dtype=dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X_, y)
    assert any(issubclass(w.category, JitterWarning) for w in caught) is warned
