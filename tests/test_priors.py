"""Densities of hyperparameters, and the term that they are in an objective."""

import numpy as np
import pytest
import scipy.stats
from contract_tables import MODELS, model_of
from helpers import numeric_gradient
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sklearn_torchgp._model.log_prior import (
    LogPosterior,
    LogPrior,
    batch_with,
    stages_with,
)
from sklearn_torchgp._model.objective import Objective
from sklearn_torchgp.kernels import ChangePoint, Columns, with_bounds
from sklearn_torchgp.priors import Gamma, HalfNormal, LogNormal, Prior

VALUES = np.array([1e-6, 0.03, 0.5, 1.0, 7.0, 200.0])
KERNEL = ConstantKernel(1.3) * RBF([0.8, 1.4]) + WhiteKernel(0.15)
AMPLITUDE, SCALE, NOISE = (
    "k1__k1__constant_value",
    "k1__k2__length_scale",
    "k2__noise_level",
)

# Name -> a prior of ours, and the same distribution in SciPy.
DISTRIBUTIONS = {
    "log-normal": (LogNormal(-0.4, 1.7), scipy.stats.lognorm(1.7, scale=np.exp(-0.4))),
    "narrow": (LogNormal(2.0, 0.01), scipy.stats.lognorm(0.01, scale=np.exp(2.0))),
    "gamma": (Gamma(2.5, 0.7), scipy.stats.gamma(2.5, scale=1 / 0.7)),
    "gamma below 1": (Gamma(0.3, 4.0), scipy.stats.gamma(0.3, scale=1 / 4.0)),
    "half-normal": (HalfNormal(3.0), scipy.stats.halfnorm(scale=3.0)),
}


class Exponential(Prior):
    """A user's own."""

    def log_density(self, value):
        return -np.asarray(value)

    def slope(self, value):
        return -np.asarray(value)


class Power(Prior):
    """Another, whose instances differ."""

    def __init__(self, power):
        self.power = power

    def log_density(self, value):
        return self.power * np.log(value)

    def slope(self, value):
        return np.full(np.shape(value), self.power)


@pytest.mark.parametrize(
    ("ours", "scipys"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys()
)
def test_densities_are_scipys(ours, scipys):
    found, expected = ours.log_density(VALUES), scipys.logpdf(VALUES)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert float(ours.log_density(0.5)) == pytest.approx(scipys.logpdf(0.5), rel=1e-12)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_slopes_are_those_in_the_logarithm(name):
    prior, _ = DISTRIBUTIONS[name]
    step = 1e-5
    up, down = (prior.log_density(VALUES * np.exp(h)) for h in (step, -step))
    slope = (up - down) / (2 * step)
    np.testing.assert_allclose(prior.slope(VALUES), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogNormal(0.0, 0.0), "'scale'.*LogNormal.*positive.*0.0"),
        (lambda: LogNormal(np.inf, 1.0), "'loc'.*a finite.*inf"),
        (lambda: Gamma(-1.0, 1.0), "'concentration'.*Gamma.*-1.0"),
        (lambda: Gamma(1.0, np.nan), "'rate'.*nan"),
        (lambda: HalfNormal("wide"), "'scale'.*'wide'"),
        (lambda: HalfNormal(True), "'scale'.*True"),
    ],
)
def test_parameters_that_are_none_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_priors_are_values():
    assert LogNormal(0, 1) == LogNormal(0.0, 1.0)
    assert repr(Gamma(2.0, 1.0)) == "Gamma(concentration=2.0, rate=1.0)"
    with pytest.raises(AttributeError):
        HalfNormal(1.0).scale = 2.0


# --- the term in theta ----------------------------------------------------------------


TERMS = {
    "one for all": {SCALE: LogNormal(0.3, 0.5)},
    "one for each": {SCALE: [LogNormal(0.3, 0.5), LogNormal(-2.0, 1.5)]},
    "of several classes": {
        NOISE: HalfNormal(0.2),
        SCALE: [Gamma(2.0, 3.0), LogNormal(0.0, 1.0)],
        AMPLITUDE: Gamma(1.5, 1.0),
    },
    "a user's": {SCALE: Exponential(), NOISE: Power(2.0), AMPLITUDE: Power(-1.0)},
}


@pytest.mark.parametrize("priors", TERMS.values(), ids=TERMS.keys())
def test_the_term_is_the_sum_and_its_gradient_exact(priors):
    term, theta = LogPrior(priors, KERNEL), np.array([0.2, -0.4, 0.9, -1.5])
    places = {AMPLITUDE: [0], SCALE: [1, 2], NOISE: [3]}
    expected = 0.0
    for name, prior in priors.items():
        several = prior if isinstance(prior, list) else [prior] * len(places[name])
        for one, i in zip(several, places[name], strict=True):
            expected += float(one.log_density(np.exp(theta[i])))
    value, gradient = term(theta, True)
    assert value == pytest.approx(expected, rel=1e-13)
    assert term(theta) == value
    np.testing.assert_allclose(gradient, numeric_gradient(term, theta), rtol=1e-8)


def test_names_lead_into_nested_and_partly_fixed_kernels():
    inner = with_bounds(
        RBF([1.0, 2.0, 3.0]), length_scale_bounds=[(0.1, 9), "fixed", (0.1, 9)]
    )
    kernel = 2.0 * Columns(inner, [0, 1, 2])
    name = "k2__kernel__length_scale"
    term = LogPrior({name: [LogNormal(0, 1), HalfNormal(1.0)]}, kernel)
    value = LogNormal(0, 1).log_density(1.0) + HalfNormal(1.0).log_density(3.0)
    assert term(kernel.theta) == pytest.approx(float(value), rel=1e-13)
    with pytest.raises(ValueError, match="list of 2, its number of free.*list of 3"):
        LogPrior({name: [LogNormal(0, 1)] * 3}, kernel)


def test_beyond_what_floats_can_be_there_is_no_density():
    term = LogPrior({SCALE: LogNormal(0, 1), NOISE: Gamma(2.0, 1.0)}, KERNEL)
    for far in (800.0, -800.0):
        value, gradient = term(np.full(4, far), True)
        assert value == -np.inf
        np.testing.assert_array_equal(gradient, np.zeros(4))


@pytest.mark.parametrize("name", MODELS)
def test_every_method_takes_it(name):
    """Whatever the method, value and gradient are its own and the prior's."""
    model, kernel = model_of(name), MODELS[name][1]
    (scale,) = {"k1__k2__length_scale", "k2__length_scale"} & kernel.get_params().keys()
    term, plain = LogPrior({scale: Gamma(3.0, 2.0)}, kernel), Objective(model)
    theta = model.parameters.join({"kernel": kernel.theta})
    value, gradient = plain(theta, True)
    found = LogPosterior(Objective(model), term)(theta, True)
    expected, slope = term(kernel.theta, True)
    p = len(slope)
    assert found[0] == pytest.approx(value + expected, rel=1e-12)
    np.testing.assert_allclose(found[1][:p], gradient[:p] + slope, rtol=1e-9)
    np.testing.assert_allclose(found[1][p:], gradient[p:], rtol=1e-9)
    plain = LogPosterior(Objective(model), term)
    assert plain(theta, False) == pytest.approx(found[0], rel=1e-10)


def test_each_stage_and_each_start_of_a_batch_has_the_whole_prior():
    def objective(theta, eval_gradient):
        return (-theta @ theta, -2 * theta) if eval_gradient else -theta @ theta

    term, theta = LogPrior({NOISE: Gamma(2.0, 1.0)}, KERNEL), np.arange(4.0) / 4
    expected = objective(theta, True)[0] + term(theta)
    stages = stages_with(term, lambda: [(10, objective), (20, objective, 5, 20.0)])
    assert [(n, *rest) for n, _, *rest in stages] == [(10,), (20, 5, 20.0)]
    assert all(one[1](theta, False) == pytest.approx(expected) for one in stages)
    n_rows, together = batch_with(
        term, 7, lambda all: [objective(t, True) for t in all]
    )
    assert n_rows == 7
    for value, gradient in together([theta, theta]):
        assert value == pytest.approx(expected)
        np.testing.assert_allclose(gradient, -2 * theta + term(theta, True)[1])


BAD = {
    "no dict": ([LogNormal(0, 1)], "'priors'.*None or a dict.*LogNormal"),
    "unknown name": (
        {"length": LogNormal(0, 1)},
        "'length'.*no hyperparameter.*k1__k2",
    ),
    "bounds": ({f"{SCALE}_bounds": LogNormal(0, 1)}, "no hyperparameter"),
    "a number": ({SCALE: 1.0}, f"'priors'.*{SCALE}.*HalfNormal.*1.0"),
    "the class": ({SCALE: LogNormal}, f"'priors'.*{SCALE}.*HalfNormal"),
    "a number in the list": ({SCALE: [LogNormal(0, 1), 2]}, "2.*instead"),
    "an empty list": ({SCALE: []}, r"\[\].*instead"),
    "short list": ({SCALE: [LogNormal(0, 1)]}, "a list of 2, .*Got a list of 1"),
}


@pytest.mark.parametrize(("priors", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_no_prior_is_refused(priors, message):
    with pytest.raises(ValueError, match=message):
        LogPrior(priors, KERNEL)


def test_fixed_and_signed_hyperparameters_take_none():
    fixed = 1.0 * RBF(1.0, "fixed")
    with pytest.raises(ValueError, match="'k2__length_scale'.*is fixed.*'k1__constant"):
        LogPrior({"k2__length_scale": LogNormal(0, 1)}, fixed)
    change = ChangePoint(RBF(), RBF(2.0), location=0.3, steepness=1.0)
    with pytest.raises(ValueError, match="'location'.*may be negative"):
        LogPrior({"location": LogNormal(0, 1)}, change)
    assert np.isfinite(LogPrior({"steepness": LogNormal(0, 1)}, change)(change.theta))
