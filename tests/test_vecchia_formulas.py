"""What method="vecchia" says, by NumPy and by differences."""

import numpy as np
import pytest
import torch
from contract_tables import covariance, log_normal
from helpers import numeric_gradient, surface
from kernel_zoo import rows
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import (
    RBF,
    DotProduct,
    WhiteKernel,
)
from vecchia_cases import (
    ALL,
    KERNELS,
    RNG,
    Y2,
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

from sklearn_torchgp._inference import Vecchia
from sklearn_torchgp._inference.vecchia import neighbors
from sklearn_torchgp._inference.vecchia.neighbors import Search
from sklearn_torchgp._linalg import memory

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_torchgp.exceptions.KernelFallbackWarning"
)


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


@pytest.mark.parametrize("k", [1, 3])
def test_the_first_row_with_enough_before_it(k):
    X, order = rows(40), np.random.RandomState(0).permutation(40)
    search = Search(covariance(RBF(0.5), X).at())
    for i, near in enumerate(search.earlier(order, np.arange(k, 40), k), start=k):
        distance = ((X[order[:i]] - X[order[i]]) ** 2).sum(1)
        assert set(near) == set(order[np.argsort(distance)[:k]])


def test_rows_that_vary_against_each_other_tell_as_much():
    """k(x, z) < 0 says of f(x) what -k(x, z) would."""
    kernel, X, Z = RBF(0.1) + DotProduct(0.0), 4 * rows(9) - 2, 4 * rows(12)[9:] - 2
    at = covariance(kernel, X).at()
    K = kernel(Z, X) / np.sqrt(kernel.diag(X))
    found = Search(at).nearest(at.points.others(Z), 3)
    assert (np.take_along_axis(K, found, axis=1) < 0).any()
    for near, told in zip(found, np.abs(K), strict=True):
        assert set(near) == set(np.argsort(-told)[:3])


def test_few_candidates_are_asked_for(monkeypatch):
    """In a tree of all rows the early ones would ask for nearly all."""
    asked, query = [], neighbors._query

    def counted(tree, X, k):
        asked.append(k)
        return query(tree, X, k)

    monkeypatch.setattr(neighbors, "_query", counted)
    search = Search(covariance(RBF(0.5), rows(3000)).at())
    search.earlier(np.random.RandomState(0).permutation(3000), np.arange(6, 3000), 5)
    assert max(asked) < 150


def test_no_term_is_drawn_twice():
    at = covariance(RBF(0.5), rows(100)).at()
    blocks = Vecchia(n_neighbors=4, n_terms=80).blocks(at)
    assert len(blocks.dense) == 5
    assert len({*blocks.dense, *blocks.sparse[:, -1]}) == 5 + 80
    assert blocks.scale == 95 / 80


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
