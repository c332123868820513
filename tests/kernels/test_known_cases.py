"""Where a kernel of ours is another kernel, of scikit-learn or of ours."""

from itertools import combinations

import numpy as np
import pytest
import torch
from kernel_zoo import rows
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._covariance import Covariance
from sklearn_torchgp.kernels import (
    Additive,
    Categorical,
    ChangePoint,
    Columns,
    Periodic,
    Polynomial,
    RationalQuadratic,
    SpectralMixture,
    Tanimoto,
    TorchKernel,
)

X, LINE = rows(9), 4 * rows(9)[:, :1]


@pytest.mark.parametrize(
    ("ours", "theirs", "X"),
    [
        (Periodic(1.2, 0.7), kernels.ExpSineSquared(1.2, 0.7), LINE),
        (Periodic([1.2], [3.7]), kernels.ExpSineSquared(1.2, 3.7), LINE),
        (RationalQuadratic(0.8, 1.7), kernels.RationalQuadratic(0.8, 1.7), X),
        (RationalQuadratic([0.8], 0.3), kernels.RationalQuadratic(0.8, 0.3), LINE),
        (Polynomial(1, 0.8), DotProduct(0.8), X),
        (Polynomial(3, 0.8), DotProduct(0.8) ** 3, X),
        (Columns(RBF([0.5, 2.0]), [1, 2]), RBF([0.5, 2.0]), X[:, [1, 2]]),
    ],
    ids=str,
)
def test_scikit_learns_kernel(ours, theirs, X):
    given = np.c_[X[:, :1], X] if isinstance(ours, Columns) else X
    K, gradient = ours(given, eval_gradient=True)
    expected, slopes = theirs(X, eval_gradient=True)
    assert_allclose(K, expected, rtol=1e-11, atol=1e-14)
    order = [h.name.split("__")[-1] for h in ours.hyperparameters]
    theirs_order = [h.name.split("__")[-1] for h in theirs.hyperparameters]
    if len(order) > 1:
        gradient = gradient[..., [order.index(name) for name in theirs_order]]
    assert_allclose(gradient, slopes, rtol=1e-9, atol=1e-12)


def test_exp_sine_squared_is_no_covariance_of_two_features_and_ours_is():
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), -1).reshape(-1, 2)
    theirs = np.linalg.eigvalsh(kernels.ExpSineSquared(1.0, 3.3)(grid))
    assert theirs.min() < -0.1
    assert np.linalg.eigvalsh(Periodic(1.0, 3.3)(grid)).min() > -1e-10


def test_a_periodic_kernel_repeats():
    kernel = Periodic([0.7, 1.1, 0.9], [0.5, 1.3, 2.0])
    shift = [3 * 0.5, -2 * 1.3, 2.0]
    assert_allclose(kernel(X + shift, X), kernel(X), atol=1e-12)
    model = TorchGPRegressor(kernel, optimizer=None, alpha=0.01).fit(X, X.sum(1))
    assert_allclose(model.predict(X + shift), model.predict(X), atol=1e-9)


def test_rational_quadratic_becomes_rbf():
    kernel = RationalQuadratic([0.5, 1.0, 2.0], 1e7)
    assert_allclose(kernel(X), RBF([0.5, 1.0, 2.0])(X), atol=1e-7)


def test_rational_quadratic_has_the_path_of_few_rows():
    kernel = 1.3 * RationalQuadratic([0.5, 1.0, 2.0], 1.2) + kernels.WhiteKernel(0.1)
    cov = Covariance(kernel, X, dtype=torch.float64, device=torch.device("cpu"))
    assert cov.few is not None
    K, pullback = cov.gram(kernel.theta)
    general, same = cov.at(kernel.theta).gram(torch.empty(9, 9, dtype=torch.float64))
    assert_allclose(K.tril(), general.tril(), rtol=1e-13)
    G = torch.ones(9, 9, dtype=torch.float64)
    assert_allclose(pullback(G), same(G), rtol=1e-11)


def test_sets():
    bits = np.random.RandomState(0).randint(0, 2, (12, 9)).astype(float)
    bits[3] = bits[7] = 0
    jaccard = 1 - cdist(bits > 0, bits > 0, "jaccard")
    assert_allclose(Tanimoto()(bits), jaccard, atol=1e-14)


def test_categories_are_exchangeable():
    codes = np.random.RandomState(0).randint(0, 4, (15, 2)).astype(float)
    renamed = np.array([7.0, -1.0, 0.5, 2.0])[codes.astype(int)]
    kernel = Categorical([0.5, 2.0])
    assert_allclose(kernel(codes), kernel(renamed), rtol=1e-14)
    hamming = cdist(codes, codes, "hamming") * 2
    assert_allclose(Categorical(0.8)(codes), np.exp(-hamming / 0.8), rtol=1e-12)


def test_change_far_away_is_no_change():
    before, after = RBF(0.7), 2.0 * RBF(0.3)
    for location, kernel in ((50.0, before), (-50.0, after)):
        change = ChangePoint(before, after, location, 3.0, feature=-1)
        assert_allclose(change(X), kernel(X), rtol=1e-12)
    # Steep: two independent processes.
    change = ChangePoint(before, after, 0.5, 1e6, feature=1)
    side = X[:, 1] < 0.5
    assert_allclose(change(X)[np.ix_(side, side)], before(X[side]), rtol=1e-12)
    assert_allclose(change(X)[np.ix_(side, ~side)], 0, atol=1e-12)


def test_additive_is_a_sum_of_products():
    parts = [Columns(RBF(0.6), i) for i in range(3)]
    one, *others = parts
    sums = {1: one + others[0] + others[1], 3: one * others[0] * others[1]}
    pairs = [a * b for a, b in combinations(parts, 2)]
    sums[2] = pairs[0] + pairs[1] + pairs[2]
    v = [0.7, 0.4, 0.2]
    expected = sum(v[r - 1] * K(X) for r, K in sums.items())
    kernel = Additive(RBF(0.6), 3, v)
    assert_allclose(kernel(X), expected, rtol=1e-12)
    # More orders than features add nothing.
    assert_allclose(Additive(RBF(0.6), 5, [*v, 1, 1])(X), expected, rtol=1e-12)
    assert_allclose(Additive(RBF(0.6), 1)(X), sums[1](X), rtol=1e-12)


def test_additive_of_many_features_and_orders():
    """Newton and Girard's alternating sums would have no digit left here."""
    X = np.random.RandomState(0).uniform(0, 1, (5, 20))
    K, gradient = Additive(RBF(0.6), 20)(X, eval_gradient=True)
    assert_allclose(K.diagonal(), 2.0**20 - 1, rtol=1e-12)  # all sets of features
    z = np.exp(-((X[:, None] - X) ** 2) / (2 * 0.6**2))
    assert_allclose(K, np.prod(1 + z, axis=-1) - 1, rtol=1e-12)
    slope = -2 * np.log(z) * z / (1 + z)  # in log length_scale, of log(1 + z)
    assert_allclose(gradient[..., 0], (K + 1) * slope.sum(-1), rtol=1e-10)


def test_a_spectral_mixture_about_zero_is_rbf():
    kernel = SpectralMixture(
        1, [1.3], [[0.0] * 3], [[0.2, 0.3, 0.4]], means_bounds="fixed"
    )
    scales = 1 / (2 * np.pi * np.array([0.2, 0.3, 0.4]))
    assert_allclose(kernel(X), 1.3 * RBF(scales)(X), rtol=1e-12)


def test_a_column_that_is_seen_twice():
    kernel = Columns(RBF([0.5, 1.0]), [1, 1])
    scale = 1 / np.sqrt(1 / 0.5**2 + 1)
    once = Columns(RBF(scale), 1)
    assert_allclose(kernel(X), once(X), rtol=1e-12)
    y = np.sin(4 * X[:, 1])
    slopes = [
        TorchGPRegressor(k, optimizer=None, alpha=0.1).fit(X, y).predict_gradient(X)
        for k in (kernel, once)
    ]
    assert_allclose(*slopes, rtol=1e-9, atol=1e-12)


class Linear(TorchKernel):
    """Without hyperparameters, but with a parameter that is none."""

    def __init__(self, factor=2.0):
        self.factor = factor

    def forward(self, X, Z):
        return self.factor * X @ Z.mT


def test_a_torch_kernel_without_hyperparameters():
    kernel = Linear(3.0)
    assert kernel.n_dims == 0
    K, gradient = kernel(X, eval_gradient=True)
    assert_allclose(K, 3 * X @ X.T)
    assert gradient.shape == (9, 9, 0)
    models = (
        m(ConstantKernel(1.0) * kernel, alpha=0.1).fit(X, X[:, 0])
        for m in (GaussianProcessRegressor, TorchGPRegressor)
    )
    one, other = (m.log_marginal_likelihood_value_ for m in models)
    assert one == pytest.approx(other, abs=1e-5)
