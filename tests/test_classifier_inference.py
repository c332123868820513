"""Where the classifier's inference starts, and the edge of its precision."""

import warnings
from itertools import product

import numpy as np
import pytest
from classification_cases import fixed, two_moons
from helpers import numeric_gradient
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from sklearn_torchgp import TorchGPClassifier

X, Y = two_moons(40)
Y3 = np.arange(40) % 3
WIDE = {"constant_value_bounds": (1e-3, 1e15)}
each_method = pytest.mark.parametrize("inference", ["laplace", "ep", "vi"])


def visiting(thetas):
    """An optimiser that evaluates at the thetas in turn and stays at the last."""

    def optimizer(obj_func, theta, bounds):
        for theta in thetas:
            value = obj_func(theta, eval_gradient=False)
        return theta, value

    return optimizer


def warnings_of(model, X, y, **fit):
    """The model, fitted, and what it warned of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        return model.fit(X, y, **fit), [str(w.message) for w in seen]


# --- starts -------------------------------------------------------------------------

STARTS = pytest.mark.parametrize(
    ("y", "options", "most"),
    [
        (Y, {"link": "logit"}, 6),
        (Y, {"link": "probit"}, 6),
        (Y3, {"multi_class": "softmax"}, 5),
    ],
    ids=["logit", "probit", "softmax"],
)
FAR = np.log([1e4, 1.0])
WAY = [t * FAR for t in np.linspace(0, 1, 20)]


@STARTS
def test_an_evaluation_starts_from_the_one_before(y, options, most):
    """On the way to a theta that takes more steps from zero than are allowed."""
    kernel = ConstantKernel(1.0, **WIDE) * RBF(1.0)
    options = {**options, "max_iter_predict": most}
    there = ConstantKernel(1e4, **WIDE) * RBF(1.0)
    _, told = warnings_of(fixed(kernel=there, **options), X, y)
    assert len(told) == 1
    assert f"after {most} iterations" in told[0]
    model = TorchGPClassifier(kernel, optimizer=visiting(WAY), **options)
    _, told = warnings_of(model, X, y)
    assert told == []


@STARTS
@pytest.mark.parametrize("lost", [(23.0, 0.0), (27.0, 0.0), (18.0, 3.0)])
def test_no_evaluation_starts_from_one_that_did_not_converge(y, options, most, lost):
    """A long jump away and back: the last solution found still serves."""
    options = {**options, "max_iter_predict": most}
    variance, length_scale = np.exp(lost)
    there = ConstantKernel(variance, **WIDE) * RBF(length_scale)
    assert warnings_of(fixed(kernel=there, **options), X, y)[1]
    model = TorchGPClassifier(
        ConstantKernel(1.0, **WIDE) * RBF(1.0),
        optimizer=visiting([*WAY, np.array(lost), FAR]),
        **options,
    )
    _, told = warnings_of(model, X, y)
    assert told == []


@each_method
def test_warm_start_starts_from_the_last_solution(inference):
    """Three steps are too few from zero, but not from the solution."""
    warm = fixed(inference=inference, warm_start=True).fit(X, Y)
    p = warm.predict_proba(X)
    warm.set_params(max_iter_predict=3)
    again, told = warnings_of(warm, X, Y)
    assert told == []
    assert_allclose(again.predict_proba(X), p, atol=1e-6)
    _, told = warnings_of(warm.set_params(warm_start=False), X, Y)
    assert ["did not converge" in one for one in told] == [True]
    # Rows of another number have no solution yet.
    warm.set_params(warm_start=True, max_iter_predict=100).fit(X, Y)
    assert warm.fit(X[:30], Y[:30]).predict_proba(X).shape == (40, 2)


# --- the edge of precision ----------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "variance"),
    [*product([1.0, 1e3], [1.0, 1e3, 1e6, 1e9, 1e12]), (1e6, 1e6), (1e6, 1e9)],
)
@pytest.mark.parametrize(
    ("y", "multi_class"), [(Y, "one_vs_rest"), (Y3, "softmax")], ids=["two", "three"]
)
def test_float32_is_right_or_says_so_at_once(y, multi_class, weight, variance):
    """Where no step helps any more, hundreds of steps do not help either."""
    kernel = ConstantKernel(variance) * RBF(1.0)
    fit = {"sample_weight": weight * np.arange(1, 41)}
    options = {"kernel": kernel, "multi_class": multi_class, "max_iter_predict": 200}
    try:
        found, told = warnings_of(fixed(dtype="float32", **options), X, y, **fit)
    except np.linalg.LinAlgError:  # said so, too
        return
    if told:
        assert "after 200 iterations" not in told[0]
        return
    want = fixed(**options).fit(X, y, **fit)
    lml = want.log_marginal_likelihood()
    assert found.log_marginal_likelihood() == pytest.approx(lml, rel=1e-2)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_gradient_where_a_label_is_certain(link):
    """So far out that the curvature of its log p is zero."""
    x = np.r_[np.linspace(-1, 1, 12), 1000.0][:, None]
    kernel = ConstantKernel(100.0) * DotProduct(1.0)
    model = fixed(kernel=kernel, link=link).fit(x, x[:, 0] > -0.1)
    assert model.predict_latent(x)[-1] > 1000
    value, gradient = model.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    assert np.isfinite(value)
    want = numeric_gradient(model.log_marginal_likelihood, kernel.theta)
    assert_allclose(gradient, want, rtol=1e-5)


@pytest.mark.parametrize("multi_class", ["one_vs_rest", "one_vs_one"])
def test_variances_are_never_negative(multi_class):
    """Factors that are too small, as round-off makes them, explain too much."""
    model = fixed(multi_class).fit(X, Y3)
    for problem in model.base_estimator_.estimators_:
        problem.L_ = 0.3 * problem.L_
    _, std = model.predict_latent(X, return_std=True)
    assert (std >= 0).all()
    assert (std == 0).any()
    assert np.isfinite(model.predict_proba(X)).all()


def test_softmax_variances_are_never_negative():
    model = fixed("softmax").fit(X, Y3)
    model.base_estimator_.M_ = 3 * model.base_estimator_.M_
    model.base_estimator_.E_ = 2 * model.base_estimator_.E_
    _, std = model.predict_latent(X, return_std=True)
    assert (std >= 0).all()
    assert (std == 0).any()
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize("variance", [10.0, 100.0, 450.0])
def test_large_variances_are_averaged_exactly(variance):
    """The rule takes another class for the reference when classes are renamed."""
    x, y = np.linspace(-1, 1, 12)[:, None], np.arange(12) % 3
    rows = np.linspace(-2, 2, 41)[:, None]
    model = fixed("softmax", kernel=ConstantKernel(variance) * RBF(0.3))
    p = model.fit(x, y).predict_proba(rows)
    turned = model.fit(x, (y + 1) % 3).predict_proba(rows)
    assert_allclose(turned[:, [1, 2, 0]], p, atol=1e-7)


@pytest.mark.parametrize("variance", [1e-3, 1.0])
@pytest.mark.parametrize("inference", ["ep", "vi"])
def test_float32_of_contradictions_is_right_or_says_so(inference, variance):
    """Thousands of opposite labels at each row: residuals soon no longer differ."""
    rows, labels = np.repeat(X[:10], 2, axis=0), np.tile([-1.0, 1.0], 10)
    options = {"kernel": ConstantKernel(variance) * RBF(1.5), "inference": inference}
    fit = {"sample_weight": np.full(20, 1e3)}
    found, told = warnings_of(fixed(dtype="float32", **options), rows, labels, **fit)
    if told:
        assert np.isfinite(found.predict_proba(rows)).all()
        return
    lml = fixed(**options).fit(rows, labels, **fit).log_marginal_likelihood()
    assert found.log_marginal_likelihood() == pytest.approx(lml, rel=1e-2)
    assert_allclose(found.predict_proba(rows), 0.5, atol=0.05)


@pytest.mark.parametrize(
    ("y", "options"),
    [(Y, {}), (Y, {"inference": "ep"}), (Y, {"inference": "vi"}),
     (Y3, {"multi_class": "softmax"}), (Y3, {"multi_class": "one_vs_rest"})],
)  # fmt: skip
def test_a_theta_that_overflows_has_no_evidence(y, options):
    model = fixed(**options).fit(X, y)
    before = model.predict_proba(X)
    with np.errstate(all="ignore"):
        value, gradient = model.log_marginal_likelihood(
            np.array([800.0, 0.0]), eval_gradient=True
        )
    assert value == -np.inf
    assert_allclose(gradient, 0)
    assert_allclose(model.predict_proba(X), before)


@pytest.mark.parametrize("y", [Y, Y3], ids=["two", "three"])
def test_a_fit_without_a_finite_evidence_leaves_no_trace(y):
    model = fixed("softmax")
    with pytest.raises(np.linalg.LinAlgError, match="does not return a finite"):
        model.fit(X, y, sample_weight=np.full(40, 1.7e308))
    assert vars(model).keys() == vars(fixed()).keys()
    kernel = ConstantKernel(1e308) * RBF(1.0) * 10.0
    with (
        pytest.raises(np.linalg.LinAlgError, match="does not return a finite"),
        np.errstate(all="ignore"),
    ):
        model.set_params(kernel=kernel).fit(X, y)


def test_pairs_that_are_certain_leave_no_class_impossible():
    """Probabilities of 0 and 1 by underflow: the others keep an order of 1e-12."""
    x = np.repeat([[-2.0], [0.0], [2.0]], 4, axis=0)
    model = fixed("one_vs_one").fit(x, np.repeat([0, 1, 2], 4))
    for problem in model.base_estimator_.estimators_:
        problem.alpha_ = 1e9 * problem.alpha_
    log_p = model.decision_function([[-2.0], [2.0]])
    assert_allclose(log_p[[0, 1], [0, 2]], 0, atol=1e-9)
    assert (log_p > -40).all()


# --- small print --------------------------------------------------------------------


def test_one_draw_unless_more_are_asked_for():
    model = fixed().fit(X, Y)
    assert model.sample_latent(X[:5]).shape == (5, 1)
    assert fixed("softmax").fit(X, Y3).sample_latent(X[:5]).shape == (5, 3, 1)


def test_std_or_covariance():
    with pytest.raises(RuntimeError, match="At most one of return_std or return_cov"):
        fixed().fit(X, Y).predict_latent(X, return_std=True, return_cov=True)


@pytest.mark.parametrize("multi_class", ["one_vs_rest", "one_vs_one"])
@pytest.mark.parametrize("theta", [[0.0], np.zeros(3), np.zeros(7), np.zeros((2, 3))])
def test_theta_of_wrong_shape(multi_class, theta):
    model = fixed(multi_class).fit(X, Y3)
    message = r"theta must be either \(2,\).* or \(6,\).* of the 3"
    with pytest.raises(ValueError, match=message):
        model.log_marginal_likelihood(theta)


def test_records_of_every_start_of_every_problem():
    kernel = ConstantKernel(2.0, (0.1, 10)) * RBF(1.5, (0.1, 10))
    options = {"n_restarts_optimizer": 1, "random_state": 0}
    two = TorchGPClassifier(kernel, **options).fit(X, Y)
    assert len(two.optimizer_results_) == 2
    assert max(r.value for r in two.optimizer_results_) == (
        two.log_marginal_likelihood_value_
    )
    three = TorchGPClassifier(kernel, **options).fit(X, Y3)
    assert len(three.optimizer_results_) == 6
    for record, other in zip(*[iter(three.optimizer_results_)] * 2, strict=True):
        assert_allclose(record.theta_start, kernel.theta)
        assert abs(other.theta_start - kernel.theta).max() > 1e-3


def test_unknown_optimizer_where_nothing_is_validated():
    model = TorchGPClassifier(RBF(1.0), optimizer="adam")
    with (
        config_context(skip_parameter_validation=True),
        pytest.raises(ValueError, match=r"Unknown optimizer 'adam'.*'fmin_l_bfgs_b'"),
    ):
        model.fit(X, Y)


def test_not_converged_is_of_the_right_category():
    with pytest.warns(ConvergenceWarning, match="after 1 iterations"):
        fixed(max_iter_predict=1).fit(X, Y)
