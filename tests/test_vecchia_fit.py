"""Fits with method="vecchia": stages, objectives, singular blocks."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from helpers import surface
from joblib import parallel_config
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    WhiteKernel,
)
from vecchia_cases import (
    vecchia,
)

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._inference.vecchia.factor import factor_with_help
from sklearn_torchgp._model.lbfgsb import lbfgsb
from sklearn_torchgp._model.stages import Stage
from sklearn_torchgp._model.starts import run_starts
from sklearn_torchgp.exceptions import JitterWarning, NotPositiveDefiniteError


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


def test_starts_side_by_side():
    X, y = surface(120)
    kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    options = {"optimizer": "fmin_l_bfgs_b", "n_restarts_optimizer": 2}
    one = vecchia(kernel, optimizer_rows=50, **options).fit(X, y)
    with parallel_config(backend="threading"):
        two = vecchia(kernel, optimizer_rows=50, n_jobs=2, **options).fit(X, y)
    assert_allclose(two.kernel_.theta, one.kernel_.theta)
    assert [record.n_evaluations for record in two.optimizer_results_] == [
        record.n_evaluations for record in one.optimizer_results_
    ]


def test_a_verdict_is_that_of_the_long_stage():
    """Neither the short stages nor the last few iterations on all terms say failed."""
    X, y = surface(200)
    kernel = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    options = {"optimizer": "fmin_l_bfgs_b", "optimizer_rows": 60, "alpha": 1e-10}
    (record,) = vecchia(kernel, **options).fit(X, y).optimizer_results_
    assert record.converged is True
    assert "CONVERGENCE" in record.message
    (cut,) = run_starts(
        lambda: [Stage(5, bowl, 1), Stage(9, bowl, 1)],
        partial(lbfgsb, eps=1e-16),
        [np.array([3.0, 2.0])],
        np.array([[-9.0, 9.0]] * 2),
    )
    assert cut.converged is None
    assert "as planned, 1 iterations on 5 rows" in cut.message
    assert set(cut.n_coarse_evaluations) == {5}


def bowl(theta, eval_gradient=True):
    value, slope = np.cosh(theta).sum() + theta[0] * theta[1], np.sinh(theta)
    return (-value, -(slope + theta[::-1])) if eval_gradient else -value


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
    assert model._vecchia_added.item() == model.jitter_
    noisier = vecchia(SMOOTH, alpha=model.jitter_, n_neighbors=40).fit(X, y)
    assert_allclose(model.predict(X), noisier.predict(X), rtol=1e-12)
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
    # Where one target of two needs it, too.
    noise = np.column_stack([np.full(80, 1e-18), np.full(80, 0.1)])
    model.fit(X, np.column_stack([y, y]), noise_variance=noise)
    for said in (model.loo_predict, partial(model.predict, X)):
        with pytest.warns(JitterWarning, match="nearest rows of some rows"):
            said()


def test_only_the_blocks_without_a_factor_are_helped():
    good, bad = torch.eye(3, dtype=torch.float64), torch.ones(3, 3).double()
    L, added = factor_with_help(torch.stack([good, bad]), (1e-16, 1e-8, 1e-3))
    assert torch.equal(L[0], good)
    assert_allclose(L[1] @ L[1].mT, bad + 1e-8 * good, atol=1e-15)
    assert added == pytest.approx(1e-8)
    for lost in (-good, good * np.nan, good * np.inf):
        with pytest.raises(NotPositiveDefiniteError):
            factor_with_help(torch.stack([good, lost]), (1e-8,))


def test_each_block_is_helped_by_a_part_of_its_own_diagonal():
    ones, eye = torch.ones(3, 3).double(), torch.eye(3).double()
    scales = (1.0, 1e4)
    L, added = factor_with_help(torch.stack([s * ones for s in scales]), (1e-8,))
    for factor, s in zip(L, scales, strict=True):
        assert_allclose(factor @ factor.mT, s * (ones + 1e-8 * eye), atol=1e-15 * s)
    assert added == pytest.approx(1e-4)
