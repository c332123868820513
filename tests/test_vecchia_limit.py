"""method="vecchia" with all rows near every other is exact inference."""

import numpy as np
import pytest
from helpers import surface
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import (
    RBF,
    WhiteKernel,
)
from vecchia_cases import (
    EVERY,
    OPTIONS,
    N,
    X,
    Y,
    Z,
    by_numpy,
    pair,
    said,
    same,
    vecchia,
)

from sklearn_torchgp.exceptions import NotPositiveDefiniteError

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_torchgp.exceptions.KernelFallbackWarning"
)

every_kernel = pytest.mark.parametrize("kernel", EVERY.values(), ids=EVERY)


@every_kernel
def test_with_all_rows_near_it_is_exact(kernel):
    exact, approximate = pair(kernel)
    same(said(approximate, X, Y), said(exact, X, Y))


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
