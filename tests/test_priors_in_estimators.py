"""`priors` of both estimators: the MAP, in every way that a fit can go."""

import pickle

import numpy as np
import pytest
import scipy.stats
from helpers import surface
from kernel_zoo import network
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._inference import Exact
from sklearn_torchgp._model import together
from sklearn_torchgp.kernels import DeepKernel
from sklearn_torchgp.priors import Gamma, HalfNormal, LogNormal

KERNEL = 1.0 * RBF([1.0, 1.0], (1e-2, 1e2)) + WhiteKernel(0.1, (1e-4, 1e1))
SCALE = "k1__k2__length_scale"
PIN = {SCALE: LogNormal(np.log(0.37), 1e-3)}
X, Y = surface(50)
LABELS = np.array(["a", "b", "c"])[np.digitize(Y, np.quantile(Y, [0.3, 0.7]))]


def flat(kernel=KERNEL):
    """Gamma(1, b) has the slope -b."""
    free = [h.name for h in kernel.hyperparameters if not h.fixed]
    return dict.fromkeys(free, Gamma(1.0, 1e-12))


class OwnLikelihood(TorchGPRegressor):
    """Dependents override it."""

    def log_marginal_likelihood(self, *args, **kwargs):
        return super().log_marginal_likelihood(*args, **kwargs)


def plain_objective(estimator, theta, eval_gradient):
    return estimator.log_marginal_likelihood(theta, eval_gradient=eval_gradient)


def other_optimizer(obj_func, initial_theta, bounds):
    found = scipy.optimize.minimize(obj_func, initial_theta, jac=True, bounds=bounds)
    return found.x, found.fun


# Name -> class and parameters, number of rows.
WAYS = {
    "plain": (TorchGPRegressor, {}, 50),
    "loo": (TorchGPRegressor, {"objective": "loo"}, 50),
    "callable": (TorchGPRegressor, {"objective": plain_objective}, 50),
    "overridden": (OwnLikelihood, {}, 50),
    "coarse-to-fine": (TorchGPRegressor, {"optimizer": "coarse-to-fine"}, 620),
    "other optimizer": (TorchGPRegressor, {"optimizer": other_optimizer}, 50),
    "restarts": (TorchGPRegressor, {"n_restarts_optimizer": 2, "random_state": 0}, 50),
    "side by side": (
        TorchGPRegressor,
        {"n_restarts_optimizer": 2, "random_state": 0, "n_jobs": 2},
        50,
    ),
    "mixed": (TorchGPRegressor, {"dtype": "mixed"}, 50),
    "vecchia": (TorchGPRegressor, {"method": "vecchia", "n_neighbors": 8}, 120),
    "drawn terms": (
        TorchGPRegressor,
        {"method": "vecchia", "n_neighbors": 8, "optimizer_rows": 40},
        120,
    ),
    "left out, vecchia": (
        TorchGPRegressor,
        {"method": "vecchia", "n_neighbors": 8, "objective": "loo"},
        120,
    ),
    "targets": (TorchGPRegressor, {"normalize_y": True, "mean": "linear"}, 50),
}


def fitted(way, priors):
    kind, params, n = WAYS[way]
    rows, y = surface(n)
    y = np.c_[y, -y] if way == "targets" else y
    return kind(KERNEL, priors=priors, **params).fit(rows, y)


@pytest.mark.parametrize("way", WAYS)
def test_a_narrow_prior_pins_and_the_evidence_stays_itself(way):
    model = fitted(way, PIN)
    scale = model.kernel_.k1.k2.length_scale
    np.testing.assert_allclose(scale, 0.37, rtol=2e-3)
    lml = model.log_marginal_likelihood_value_
    tolerance = 1e-4 if way == "mixed" else 1e-8
    assert lml == pytest.approx(
        model.log_marginal_likelihood(model.kernel_.theta), rel=tolerance
    )
    prior = scipy.stats.lognorm(1e-3, scale=0.37).logpdf(scale).sum()
    assert model.log_posterior_ == pytest.approx(lml + prior, rel=1e-9)
    if WAYS[way][1].get("objective") == "loo":
        loo = model.loo_log_predictive_density(model.kernel_.theta)
        assert model.objective_value_ == pytest.approx(loo, rel=1e-6)


@pytest.mark.parametrize(
    "way", ["plain", "loo", "callable", "coarse-to-fine", "targets"]
)
def test_a_flat_prior_is_none(way):
    one, none = fitted(way, flat()), fitted(way, None)
    np.testing.assert_allclose(one.kernel_.theta, none.kernel_.theta, atol=1e-3)
    assert one.log_marginal_likelihood_value_ == pytest.approx(
        none.log_marginal_likelihood_value_, abs=1e-6
    )
    assert none.log_posterior_ == none.log_marginal_likelihood_value_


def test_the_map_is_that_of_a_search_over_a_grid():
    """Of the length scale itself: the density has no Jacobian of the logarithm."""
    kernel = ConstantKernel(1.3, "fixed") * RBF(1.0) + WhiteKernel(0.05, "fixed")
    few, y = X[:12], Y[:12]
    model = TorchGPRegressor(kernel, priors={SCALE: Gamma(2.0, 5.0)}).fit(few, y)
    grid = np.linspace(np.log(0.05), np.log(5.0), 4001)
    density = scipy.stats.gamma(2.0, scale=1 / 5.0)
    values = [
        model.log_marginal_likelihood([t]) + density.logpdf(np.exp(t)) for t in grid
    ]
    assert model.kernel_.theta[0] == pytest.approx(grid[np.argmax(values)], abs=2e-3)
    assert model.log_posterior_ == pytest.approx(max(values), abs=1e-5)
    likelihood = TorchGPRegressor(kernel).fit(few, y)
    assert abs(likelihood.kernel_.theta[0] - model.kernel_.theta[0]) > 0.05


def test_starts_evaluated_as_one_batch_have_the_prior(monkeypatch):
    settings = {"n_restarts_optimizer": 3, "random_state": 0, "priors": PIN}
    single, sizes = TorchGPRegressor(KERNEL, **settings).fit(X, Y), []
    plain = Exact.infer_all

    def counted(method, covariance, likelihood, thetas):
        sizes.append(len(thetas))
        return plain(method, covariance, likelihood, thetas)

    monkeypatch.setitem(together.BATCH_ROWS, "cpu", 512)
    monkeypatch.setattr(Exact, "infer_all", counted)
    batch = TorchGPRegressor(KERNEL, **settings).fit(X, Y)
    assert sizes[0] == 4
    np.testing.assert_allclose(batch.kernel_.theta, single.kernel_.theta, atol=1e-3)
    values = [[r.value for r in m.optimizer_results_] for m in (batch, single)]
    assert max(values[0]) == pytest.approx(max(values[1]), rel=1e-6)


def test_records_have_the_value_that_was_maximised():
    model = TorchGPRegressor(KERNEL, priors={SCALE: HalfNormal(0.3)}).fit(X, Y)
    (record,) = model.optimizer_results_
    assert record.value == pytest.approx(model.log_posterior_, rel=1e-9)
    assert model.objective_value_ == model.log_marginal_likelihood_value_
    assert model.summary().as_dict()["log_posterior"] == model.log_posterior_
    none = TorchGPRegressor(KERNEL, optimizer=None).fit(X, Y)
    assert "log_posterior" not in none.summary().as_dict()
    assert record.value != pytest.approx(model.objective_value_, abs=0.1)


def test_weights_of_a_network_are_left_alone():
    kernel = ConstantKernel(1.0) * DeepKernel(network(2, 3, 1), RBF(0.5))
    kernel += WhiteKernel(0.1)
    model = TorchGPRegressor(kernel, priors={"k2__noise_level": LogNormal(-1.0, 1e-3)})
    model.fit(X, Y)
    assert model.kernel_.k2.noise_level == pytest.approx(np.exp(-1.0), rel=1e-2)
    assert np.isfinite(model.log_posterior_)


def test_it_is_a_parameter_like_any_other():
    priors = {SCALE: [LogNormal(0.0, 0.5), Gamma(2.0, 1.0)]}
    model = TorchGPRegressor(KERNEL, priors=priors)
    copy = clone(model)
    assert copy.priors == priors
    assert copy.priors is not priors
    fit = model.fit(X, Y)
    back = pickle.loads(pickle.dumps(fit))
    assert back.log_posterior_ == fit.log_posterior_
    assert not hasattr(clone(model), "log_posterior_")
    more = pickle.loads(pickle.dumps(fit)).partial_fit(X[:3] + 0.1, Y[:3])
    expected = more.log_marginal_likelihood_value_ + (
        fit.log_posterior_ - fit.log_marginal_likelihood_value_
    )
    assert more.log_posterior_ == pytest.approx(expected, rel=1e-12)
    search = GridSearchCV(TorchGPRegressor(KERNEL), {"priors": [None, PIN]}, cv=2)
    assert np.isfinite(search.fit(X, Y).cv_results_["mean_test_score"]).all()
    fit.set_params(priors=None).fit(X, Y)
    assert fit.log_posterior_ == fit.log_marginal_likelihood_value_


def test_a_warm_start_goes_on_from_the_map():
    priors = {SCALE: LogNormal(0.0, 0.5)}
    model = TorchGPRegressor(KERNEL, priors=priors, warm_start=True).fit(X, Y)
    first = model.kernel_.theta
    again = model.fit(X, Y).optimizer_results_[0]
    np.testing.assert_array_equal(again.theta_start, first)
    np.testing.assert_allclose(model.kernel_.theta, first, atol=1e-2)


def test_without_optimisation_the_posterior_is_told_all_the_same():
    model = TorchGPRegressor(KERNEL, optimizer=None, priors={SCALE: Gamma(2.0, 1.0)})
    model.fit(X, Y)
    expected = 2 * scipy.stats.gamma(2.0).logpdf(1.0)
    gain = model.log_posterior_ - model.log_marginal_likelihood_value_
    assert gain == pytest.approx(expected, rel=1e-10)


def test_lines_of_verbose_do_not_call_it_likelihood(capsys):
    TorchGPRegressor(KERNEL, priors=PIN, verbose=1).fit(X, Y)
    lines = capsys.readouterr().out
    assert "log posterior" in lines
    assert "LML" not in lines


# Warnings: fits of random data end at bounds, and array libraries are missing.
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        TorchGPRegressor(KERNEL.k1.k1 * RBF() + KERNEL.k2, priors=PIN),
        # Optimised, weights and copies are equal to 1e-7 only, with or without priors.
        TorchGPClassifier(
            1.0 * RBF(), priors={"k2__length_scale": PIN[SCALE]}, optimizer=None
        ),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


BAD = {
    "unknown name": ({"length_scale": Gamma(1.0, 1.0)}, "'length_scale'.*no hyperpar"),
    "fixed": ({"k2__length_scale": Gamma(1.0, 1.0)}, "is fixed.*'k1__constant_value'"),
    "no prior": ({"k1__constant_value": 1.0}, "'priors'.*HalfNormal.*Got 1.0"),
    "no dict": (Gamma(1.0, 1.0), "'priors'.*None or a dict.*Gamma"),
    "wrong length": ({"k1__constant_value": [Gamma(1.0, 1.0)] * 2}, "list of 1.*of 2"),
}


@pytest.mark.parametrize(("priors", "message"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("estimator", [TorchGPRegressor, TorchGPClassifier])
def test_bad_priors_are_refused_before_any_work(estimator, priors, message):
    y = Y if estimator is TorchGPRegressor else LABELS
    model = estimator(1.0 * RBF(1.0, "fixed")).fit(X, y)
    model.set_params(priors=priors, optimizer=lambda *_, **__: pytest.fail("work"))
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    after = vars(model)
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


# --- classification -------------------------------------------------------------------


@pytest.mark.parametrize("inference", ["laplace", "ep", "vi"])
def test_two_classes(inference):
    kernel = 1.0 * RBF([1.0, 1.0])
    priors = {"k2__length_scale": LogNormal(np.log(0.37), 1e-3)}
    model = TorchGPClassifier(kernel, inference=inference, priors=priors)
    model.fit(X, LABELS == "b")
    scale = model.kernel_.k2.length_scale
    np.testing.assert_allclose(scale, 0.37, rtol=2e-3)
    lml = model.log_marginal_likelihood_value_
    theta = model.kernel_.theta
    assert lml == pytest.approx(model.log_marginal_likelihood(theta), rel=1e-6)
    prior = scipy.stats.lognorm(1e-3, scale=0.37).logpdf(scale).sum()
    assert model.log_posterior_ == pytest.approx(lml + prior, rel=1e-6)
    none = TorchGPClassifier(kernel, inference=inference).fit(X, LABELS == "b")
    one = clone(model).set_params(priors=flat(kernel)).fit(X, LABELS == "b")
    np.testing.assert_allclose(one.kernel_.theta, none.kernel_.theta, atol=1e-4)
    assert none.log_posterior_ == none.log_marginal_likelihood_value_


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("multi_class", ["one_vs_rest", "one_vs_one", "softmax"])
def test_several_classes(multi_class, n_jobs):
    """Each problem has the prior; the evidence and the posterior are their means."""
    priors = {"k2__length_scale": LogNormal(np.log(0.37), 1e-3)}
    model = TorchGPClassifier(
        1.0 * RBF(1.0), multi_class=multi_class, priors=priors, n_jobs=n_jobs
    ).fit(X, LABELS)
    kernels = getattr(model.kernel_, "kernels", [model.kernel_])
    scales = [kernel.k2.length_scale for kernel in kernels]
    np.testing.assert_allclose(scales, 0.37, rtol=2e-3)
    lml = model.log_marginal_likelihood_value_
    prior = scipy.stats.lognorm(1e-3, scale=0.37).logpdf(scales).mean()
    assert model.log_posterior_ == pytest.approx(lml + prior, rel=1e-6)


def test_a_prior_decides_what_few_separable_rows_leave_open():
    """By the evidence alone the variance of joint EP goes to its bound."""
    rows, labels = load_iris(return_X_y=True)
    X, Z, y, z = train_test_split(
        scale(rows), labels, test_size=0.5, random_state=0, stratify=labels
    )
    kernel = ConstantKernel(4.0, (1e-3, 1e5)) * RBF(4.0, (1e-2, 1e3))
    joint = TorchGPClassifier(kernel, multi_class="softmax", inference="ep")
    prior = {"k1__constant_value": LogNormal(np.log(25.0), 2.0)}
    with pytest.warns(ConvergenceWarning, match="upper bound"):
        free = clone(joint).fit(X, y)
    kept = joint.set_params(priors=prior).fit(X, y)
    assert free.kernel_.theta[0] == pytest.approx(np.log(1e5))
    assert 3 < kept.kernel_.theta[0] < 6
    losses = [log_loss(z, model.predict_proba(Z)) for model in (free, kept)]
    assert losses[1] < losses[0] - 0.05
