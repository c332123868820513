"""Scorers against closed forms, numerical integrals, and inside scikit-learn."""

import pickle

import numpy as np
import pytest
import torch
from helpers import fixed, surface
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import lognorm, norm
from sklearn import config_context
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.metrics import crps, interval_coverage, neg_log_predictive_density

SCORERS = {
    "nlpd": neg_log_predictive_density,
    "coverage": interval_coverage,
    "crps": crps,
}
X, Y = surface(40)
X_NEW, Y_NEW = surface(12, seed=1)
KNOWN = np.linspace(0.01, 0.3, 12)
LOG = FunctionTransformer(np.log, np.exp)


def gaussian(noise=0.0):
    """A fitted regressor, and mean and deviation of new noisy observations."""
    model = fixed(alpha=0.02).fit(X, Y)
    mean, std = model.predict(X_NEW, return_std=True, include_noise=True)
    return model, mean, np.sqrt(std**2 + noise)


def crps_by_integration(y, cdf, low, high):
    """The integral of (F(x) - 1[x >= y])^2."""
    below = quad(lambda x: cdf(x) ** 2, low, y, epsabs=1e-11, limit=200)[0]
    above = quad(lambda x: (1 - cdf(x)) ** 2, y, high, epsabs=1e-11, limit=200)[0]
    return below + above


@pytest.mark.parametrize("noise", [0.0, KNOWN])
def test_gaussian_scores_are_their_closed_forms(noise):
    model, mean, std = gaussian(noise)
    given = None if np.ndim(noise) == 0 else noise
    nlpd = -norm.logpdf(Y_NEW, mean, std).mean()
    assert_allclose(neg_log_predictive_density(model, X_NEW, Y_NEW, given), -nlpd)
    assert_allclose(neg_log_predictive_density.value(model, X_NEW, Y_NEW, given), nlpd)
    inside = np.abs(Y_NEW - mean) <= norm.ppf(0.75) * std
    assert 0 < inside.mean() < 1
    half = interval_coverage.with_options(coverage=0.5)
    assert half(model, X_NEW, Y_NEW, given) == inside.mean()
    assert "coverage=0.5" in repr(half)
    assert "coverage=0.95" in repr(interval_coverage)
    want = [
        crps_by_integration(y, norm(m, s).cdf, m - 12 * s, m + 12 * s)
        for y, m, s in zip(Y_NEW, mean, std, strict=True)
    ]
    assert_allclose(crps.value(model, X_NEW, Y_NEW, given), np.mean(want), rtol=1e-9)


def test_crps_of_a_lognormal():
    """Closed form of Baran and Lerch (2015): no quantile enters it."""
    model = fixed(alpha=0.02, target_transform=LOG).fit(X, np.exp(Y))
    logs = fixed(alpha=0.02).fit(X, Y)
    mu, sigma = logs.predict(X_NEW, return_std=True, include_noise=True)
    y = np.exp(Y_NEW)
    z = (Y_NEW - mu) / sigma
    scale = 2 * np.exp(mu + sigma**2 / 2)
    tail = norm.cdf(z - sigma) + norm.cdf(sigma / np.sqrt(2)) - 1
    want = y * (2 * norm.cdf(z) - 1) - scale * tail
    cdf = lognorm(sigma[0], scale=np.exp(mu[0])).cdf
    ends = np.exp(mu[0] + 12 * sigma[0] * np.array([-1, 1]))
    numeric = crps_by_integration(y[0], cdf, *ends)
    assert_allclose(want[0], numeric, rtol=1e-7)
    assert_allclose(crps.value(model, X_NEW, y), want.mean(), rtol=1e-5)


def test_quantiles_give_the_gaussian_crps():
    """The slow way and the closed form, known noise and all."""
    identity = FunctionTransformer()
    slow = fixed(alpha=0.02, target_transform=identity).fit(X, Y)
    fast, _, _ = gaussian()
    for known in (None, KNOWN):
        got, want = (crps(m, X_NEW, Y_NEW, known) for m in (slow, fast))
        assert_allclose(got, want, rtol=1e-5)


def test_crps_far_outside_and_without_spread():
    model, mean, std = gaussian()
    far = mean + 40 * std
    want = np.mean(40 * std - std / np.sqrt(np.pi))
    assert_allclose(crps.value(model, X_NEW, far), want, rtol=1e-12)
    exact = TorchGPRegressor(RBF(1.0), optimizer=None, alpha=0.0).fit([[0.0]], [2.0])
    assert_allclose(crps.value(exact, [[0.0]], [5.0]), 3.0)


def test_targets_and_weights():
    """Mean over targets; a weight of two counts a row twice."""
    both = np.c_[Y, 3 - 2 * Y]
    model = fixed(alpha=0.02, normalize_y=True).fit(X, both)
    alone = [fixed(alpha=0.02, normalize_y=True).fit(X, y) for y in both.T]
    new = np.c_[Y_NEW, 3 - 2 * Y_NEW]
    weight = np.arange(12) % 3
    rows = np.repeat(np.arange(12), weight)
    for scorer in SCORERS.values():
        want = [scorer(m, X_NEW, y) for m, y in zip(alone, new.T, strict=True)]
        assert_allclose(scorer(model, X_NEW, new), np.mean(want))
        twice = scorer(model, X_NEW[rows], new[rows])
        assert_allclose(scorer(model, X_NEW, new, sample_weight=weight), twice)
    skewed = fixed(alpha=0.02, target_transform=PowerTransformer()).fit(X, both)
    alone = [
        fixed(alpha=0.02, target_transform=PowerTransformer()).fit(X, y) for y in both.T
    ]
    want = [crps(m, X_NEW, y) for m, y in zip(alone, new.T, strict=True)]
    assert_allclose(crps(skewed, X_NEW, new), np.mean(want))


def test_tensors_are_scored_like_arrays():
    model, _, _ = gaussian()
    tensors = fixed(alpha=0.02).fit(torch.tensor(X), torch.tensor(Y))
    for scorer in SCORERS.values():
        got = scorer(tensors, torch.tensor(X_NEW), torch.tensor(Y_NEW))
        assert_allclose(got, scorer(model, X_NEW, Y_NEW))


def test_pipelines_and_searches_are_scored_by_their_process():
    scaled = StandardScaler().fit(X)
    model = fixed().fit(scaled.transform(X), Y)
    pipe = make_pipeline(StandardScaler(), fixed()).fit(X, Y)
    search = GridSearchCV(clone(pipe), {"torchgpregressor__alpha": [1e-10]}, cv=2)
    search.fit(X, Y)
    for scorer in SCORERS.values():
        want = scorer(model, scaled.transform(X_NEW), Y_NEW)
        assert_allclose(scorer(pipe, X_NEW, Y_NEW), want)
        assert_allclose(scorer(search, X_NEW, Y_NEW), want)
        assert_allclose(scorer(make_pipeline(fixed()).fit(X, Y), X, Y),
                        scorer(fixed().fit(X, Y), X, Y))  # fmt: skip


def test_what_has_no_distribution_is_refused():
    with pytest.raises(TypeError, match="GaussianProcessRegressor has no predictive"):
        crps(GaussianProcessRegressor().fit(X, Y), X, Y)


@pytest.mark.parametrize("name", SCORERS)
def test_a_search_finds_the_better_model(name):
    """Greater is better, in a search, too; coverage is reported beside."""
    grid = {"kernel": [RBF(1.0) + WhiteKernel(v) for v in (0.01, 25.0)]}
    search = GridSearchCV(fixed(), grid, scoring=SCORERS, refit=name, cv=3).fit(X, Y)
    mean = search.cv_results_[f"mean_test_{name}"]
    if name == "coverage":
        assert ((mean > 0.5) & (mean <= 1)).all()
    else:
        assert mean[0] > mean[1]
        assert search.best_params_["kernel"].k2.noise_level == 0.01


def test_cross_validation_cuts_known_noise_with_the_rows():
    noise = np.linspace(0.01, 0.5, len(Y))
    cv = KFold(4)
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(
            StandardScaler(), fixed().set_fit_request(noise_variance=True)
        )
        given = {"noise_variance": noise}
        got = cross_validate(pipe, X, Y, scoring=SCORERS, cv=cv, params=given)
        single = cross_validate(pipe, X, Y, scoring=crps, cv=cv, params=given)
        silent = {
            k: s.set_score_request(noise_variance=False) for k, s in SCORERS.items()
        }
        without = cross_validate(pipe, X, Y, scoring=silent, cv=cv, params=given)
    for fold, (train, test) in enumerate(cv.split(X)):
        scaler = StandardScaler().fit(X[train])
        model = fixed().fit(
            scaler.transform(X[train]), Y[train], noise_variance=noise[train]
        )
        rows = scaler.transform(X[test]), Y[test]
        for name, scorer in SCORERS.items():
            want = scorer(model, *rows, noise_variance=noise[test])
            assert_allclose(got[f"test_{name}"][fold], want)
            assert_allclose(without[f"test_{name}"][fold], scorer(model, *rows))
        assert_allclose(single["test_score"][fold], got["test_crps"][fold])
    assert not np.allclose(got["test_crps"], without["test_crps"])


def test_a_search_routes_known_noise():
    noise = np.linspace(0.01, 0.5, len(Y))
    with config_context(enable_metadata_routing=True):
        model = fixed().set_fit_request(noise_variance=True)
        search = GridSearchCV(model, {"alpha": [1e-10]}, scoring=crps, cv=KFold(3))
        search.fit(X, Y, noise_variance=noise)
        want = cross_validate(
            model, X, Y, scoring=crps, cv=KFold(3), params={"noise_variance": noise}
        )
    assert_allclose(search.best_score_, want["test_score"].mean())


def test_weights_are_routed_on_request_only():
    weight = np.linspace(0, 2, len(Y))
    weighted = neg_log_predictive_density.set_score_request(sample_weight=True)
    cv, given = KFold(3), {"sample_weight": weight}
    with config_context(enable_metadata_routing=True):
        model = fixed().set_fit_request(sample_weight=False)
        got = cross_validate(model, X, Y, scoring=weighted, cv=cv, params=given)
        with pytest.raises(ValueError, match="sample_weight"):
            cross_validate(
                model, X, Y, scoring=neg_log_predictive_density, cv=cv, params=given
            )
    for fold, (train, test) in enumerate(cv.split(X)):
        model = fixed().fit(X[train], Y[train])
        want = weighted(model, X[test], Y[test], sample_weight=weight[test])
        assert_allclose(got["test_score"][fold], want)
    with pytest.raises(TypeError, match="'groups'"):
        crps.set_score_request(groups=True)


def test_a_scorer_can_be_copied_and_pickled():
    model, _, _ = gaussian()
    half = interval_coverage.with_options(coverage=0.5)
    for scorer in (*SCORERS.values(), half):
        for other in (clone(scorer, safe=False), pickle.loads(pickle.dumps(scorer))):
            assert other(model, X_NEW, Y_NEW) == scorer(model, X_NEW, Y_NEW)
            assert repr(other) == repr(scorer)
