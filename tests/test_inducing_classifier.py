"""TorchGPClassifier with method="inducing"."""

import pickle

import numpy as np
import pytest
from classification_cases import two_moons
from helpers import numeric_gradient
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from sklearn_torchgp import TorchGPClassifier
from sklearn_torchgp._model import methods

X, Y = two_moons(40)
Z = np.random.RandomState(1).uniform(-2, 2, (9, 2))
WEIGHT = np.random.RandomState(2).uniform(0.2, 3.0, 40)
KERNEL = ConstantKernel(4.0) * RBF([0.9, 1.2])
LINKS = ("logit", "probit")


def through(points=X, kernel=KERNEL, **params):
    options = {"inference": "vi", "optimizer": None, "random_state": 0, **params}
    return TorchGPClassifier(
        kernel, method="inducing", inducing_points=points, **options
    )


def same(one, other, tol=1e-6):
    """What both say of everything."""
    for method in ("predict_proba", "decision_function"):
        found, wanted = (getattr(model, method)(Z) for model in (one, other))
        assert_allclose(found, wanted, rtol=tol, atol=tol)
    assert_allclose(one.loo_predict_proba(), other.loo_predict_proba(), atol=10 * tol)
    theta = other.kernel_.theta
    assert one.log_marginal_likelihood() == pytest.approx(
        other.log_marginal_likelihood(), rel=tol
    )
    (value, gradient), (value_, gradient_) = (
        model.log_marginal_likelihood(theta, eval_gradient=True)
        for model in (one, other)
    )
    assert value == pytest.approx(value_, rel=tol)
    assert_allclose(gradient, gradient_, atol=1e-3)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(
    "options",
    [{}, {"class_weight": {-1.0: 1.0, 1.0: 3.0}}, {"class_weight": "balanced"}],
)
def test_points_at_the_rows_are_dense_vi(link, options):
    model = through(link=link, **options)
    exact = clone(model).set_params(method="exact")
    same(model.fit(X, Y), exact.fit(X, Y))


def test_weights_at_the_rows():
    model = through()
    exact = clone(model).set_params(method="exact")
    same(model.fit(X, Y, WEIGHT), exact.fit(X, Y, WEIGHT))


def test_a_weight_is_a_row_that_repeats():
    again = np.r_[np.arange(40), np.arange(10)]
    weight = np.r_[np.full(10, 2.0), np.ones(30)]
    one = through(X[:9]).fit(X, Y, weight)
    other = through(X[:9]).fit(X[again], Y[again])
    assert_allclose(one.predict_proba(Z), other.predict_proba(Z), atol=1e-6)


@pytest.mark.parametrize("link", LINKS)
def test_gradient_by_differences(link):
    model = through(X[:8], link=link).fit(X, Y)
    theta = KERNEL.theta + 0.2
    _, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    wanted = numeric_gradient(model.log_marginal_likelihood, theta, step=1e-3)
    assert_allclose(gradient, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("multi_class", ["one_vs_rest", "one_vs_one"])
def test_several_classes(multi_class):
    iris, labels = load_iris(return_X_y=True)
    kernel = 1.0 * RBF(1.0)
    options = {"multi_class": multi_class, "optimizer": "fmin_l_bfgs_b"}
    model = through(12, kernel, **options).fit(iris, labels)
    assert model.score(iris, labels) > 0.96
    points = model.inducing_points_
    assert [one.shape for one in points] == [(12, 4)] * 3
    exact = clone(model).set_params(method="exact").fit(iris, labels)
    assert np.abs(model.predict_proba(iris) - exact.predict_proba(iris)).mean() < 0.02


def test_a_fit_moves_the_points():
    options = {"optimizer": "fmin_l_bfgs_b"}
    model = through(8, **options).fit(X, Y)
    assert model.inducing_points_.shape == (8, 2)
    kept = through(model.inducing_points_ + 0.2, **options).fit(X, Y)
    exact = clone(model).set_params(method="exact").fit(X, Y)
    value = model.log_marginal_likelihood_value_
    assert kept.log_marginal_likelihood_value_ < value
    assert value < exact.log_marginal_likelihood_value_
    assert_allclose(model.predict_proba(Z), exact.predict_proba(Z), atol=0.05)
    again = clone(model).fit(X, Y)
    assert_allclose(again.inducing_points_, model.inducing_points_)
    few = clone(model).set_params(optimizer_rows=10).fit(X, Y)
    assert set(few.optimizer_results_[0].n_coarse_evaluations) == {20}


def test_only_the_best_start_sees_all_rows():
    options = {"optimizer": "fmin_l_bfgs_b", "optimizer_rows": 10}
    model = through(8, n_restarts_optimizer=2, **options).fit(X, Y)
    counts = [record.n_evaluations for record in model.optimizer_results_]
    assert np.count_nonzero(counts) == 1
    assert all(record.n_coarse_evaluations[20] for record in model.optimizer_results_)


def test_pickles():
    model = through(8).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    assert_allclose(again.predict_proba(Z), model.predict_proba(Z), rtol=1e-12)
    assert isinstance(again.inducing_points_, np.ndarray)


def test_float32():
    model = through(dtype="float32").fit(X, Y)
    exact = through().fit(X, Y)
    assert_allclose(model.predict_proba(Z), exact.predict_proba(Z), atol=5e-3)


@pytest.mark.parametrize("inference", ["laplace", "ep"])
def test_other_inference_is_an_error(inference):
    model = through(inference=inference)
    with pytest.raises(ValueError, match=f"'inducing'.*'vi'.*'{inference}'"):
        model.fit(X, Y)
    auto = model.set_params(method="auto").fit(X, Y)
    assert auto.method_ == "exact"
    assert "'vi'" in auto.method_reason_


def test_softmax_is_an_error():
    iris, labels = load_iris(return_X_y=True)
    model = through(inference="vi", multi_class="softmax")
    with pytest.raises(ValueError, match="'softmax'"):
        model.fit(iris, labels)


BAD = {
    "none": (0, "'inducing_points'.*positive integer.*0"),
    "a word": ("all", "'inducing_points'.*'all'"),
    "NaN": (np.full((4, 2), np.nan), "'inducing_points'.*finite"),
    "features": (np.ones((4, 3)), "'inducing_points'.*3 features.*X have 2"),
}


@pytest.mark.parametrize(("points", "message"), BAD.values(), ids=BAD)
def test_bad_points(points, message):
    model = through(points)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert vars(model) == before


@pytest.mark.parametrize("link", LINKS)
def test_too_many_points_for_memory_name_the_cure(link):
    """Terabytes, and torch would say so in words of its own."""
    rows = np.arange(400_000.0)[:, None]
    model = through(rows, RBF(1.0), link=link, device="cpu")
    before = dict(vars(model))
    words = r"400000 rows needs at least .* GiB.*inducing_points"
    with pytest.raises(MemoryError, match=words):
        model.fit(rows, rows[:, 0] > 1e5)
    assert vars(model) == before


def test_auto(monkeypatch):
    model = through(8, optimizer=None).set_params(method="auto")
    assert model.fit(X, Y).method_ == "exact"
    assert "40 rows are not more than 3000" in model.method_reason_
    monkeypatch.setattr(methods, "EXACT_LABELS", 30)
    assert model.fit(X, Y).method_ == "inducing"
    assert "40 rows are more than 30" in model.method_reason_


def test_a_search_over_points():
    search = GridSearchCV(through(), {"inducing_points": [1, 3, 12]}, cv=2).fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[2] > scores[0]


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks():
    check_estimator(through(9, None, optimizer_rows=10))
