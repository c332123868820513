"""Bounds and "fixed" for each element, and hyperparameters that there are not."""

import pickle

import numpy as np
import pytest
from kernel_zoo import rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    Matern,
    WhiteKernel,
)

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.kernels import (
    Additive,
    Categorical,
    ChangePoint,
    Columns,
    Periodic,
    Polynomial,
    RationalQuadratic,
    SpectralMixture,
    TiedMatern,
    with_bounds,
)

X = rows(14)
Y = np.sin(4 * X[:, 0]) + X[:, 1]


@pytest.mark.parametrize(
    "kernel",
    [
        with_bounds(
            RBF([0.5, 1.0, 2.0]), length_scale_bounds=[(0.1, 10), "fixed", (0.2, 20)]
        ),
        with_bounds(
            Matern([0.5, 1.0, 2.0], nu=1.5),
            length_scale_bounds=[(0.1, 10), "fixed", (0.2, 20)],
        ),
        RationalQuadratic(
            [0.5, 1.0, 2.0],
            alpha_bounds="fixed",
            length_scale_bounds=[(0.1, 10), "fixed", (0.2, 20)],
        ),
        Periodic([0.5, 1.0, 2.0], 3.0, [(0.1, 10), "fixed", (0.2, 20)], "fixed"),
        Categorical([0.5, 1.0, 2.0], [(0.1, 10), "fixed", (0.2, 20)]),
    ],
    ids=lambda kernel: type(kernel).__name__,
)
@pytest.mark.parametrize("estimator", [TorchGPRegressor, GaussianProcessRegressor])
def test_fixed_dimensions_stay(kernel, estimator):
    assert_allclose(np.exp(kernel.bounds), [[0.1, 10], [0.2, 20]])
    assert_allclose(np.exp(kernel.theta), [0.5, 2.0])
    model = estimator(1.0 * kernel + WhiteKernel(0.1)).fit(X, Y)
    found = model.kernel_.k1.k2
    assert type(found) is type(kernel)
    assert found.length_scale[1] == 1.0
    assert (found.length_scale[[0, 2]] != kernel.length_scale[::2]).all()
    assert (found.length_scale[[0, 2]] >= [0.099, 0.199]).all()
    assert (found.length_scale[[0, 2]] <= [10.01, 20.01]).all()
    again = pickle.loads(pickle.dumps(clone(model.kernel_)))
    assert again == model.kernel_
    assert_allclose(again(X), model.kernel_(X), rtol=1e-12)


def test_partly_fixed_is_still_scikit_learns_kernel():
    for kernel in (RBF([0.5, 1.0, 2.0]), Matern([0.5, 1.0, 2.0], nu=2.5)):
        partly = with_bounds(kernel, length_scale_bounds=["fixed", (0.1, 10), "fixed"])
        assert isinstance(partly, type(kernel))
        K, gradient = partly(X, eval_gradient=True)
        wanted, all_of_it = kernel(X, eval_gradient=True)
        assert_allclose(K, wanted, rtol=1e-12)
        assert_allclose(gradient, all_of_it[..., [1]], rtol=1e-9, atol=1e-14)
        # What takes "fixed" or pairs alone stays what it is.
        plain = with_bounds(kernel, length_scale_bounds=(0.1, 10.0))
        assert type(plain) is type(kernel)
        assert_allclose(plain.bounds[2], np.log([0.1, 10.0]))


BAD = {
    "negative": (Periodic(-1.0), "'length_scale' parameter of Periodic.*positive.*-1"),
    "nan": (Periodic(periodicity=np.nan), "'periodicity' parameter.*nan"),
    "text": (Periodic("long"), "'length_scale' parameter of Periodic.*'long'"),
    "two of three": (Periodic([1.0, 2.0]), "'length_scale'.* 3 features.*1.0, 2.0"),
    "alpha of each": (RationalQuadratic(1.0, [1.0] * 3), "'alpha' .*one number.*Got"),
    "bounds": (Periodic(1, 1, "free"), "'length_scale_bounds' .*'fixed'.*'free'"),
    "bounds upside down": (Periodic(1, 1, (2, 1)), "'length_scale_bounds'.*2, 1"),
    "negative bounds": (Periodic(1, 1, (-1, 1)), "'length_scale_bounds'.*negative"),
    "too few bounds": (
        Periodic([1.0] * 3, 1, [(0.1, 1), "fixed"]), "'length_scale_bounds'.*here 3"
    ),
    "degree": (Polynomial(1.5), "'degree' parameter of Polynomial .*1.5"),
    "no degree": (Polynomial(0), "'degree' parameter of Polynomial .*0"),
    "order": (Additive(RBF(), 0), "'max_order' parameter of Additive.*0"),
    "no order": (Additive(RBF(), "2"), "'max_order' parameter of Additive.*'2'"),
    "no components": (SpectralMixture(2.0), "'n_components'.*2.0"),
    "variances": (Additive(RBF(), 2, [1.0]), "'variances'.*each order, 2"),
    "additive ard": (Additive(RBF([1.0, 2.0])), "'kernel' parameter of Additive"),
    "components": (SpectralMixture(0), "'n_components'.*0"),
    "means": (SpectralMixture(2, means=[1.0]), "'means' .*SpectralMixture.*shape"),
    "location": (ChangePoint(RBF(), RBF(), np.inf), "'location'.*finite.*inf"),
    "steepness": (ChangePoint(RBF(), RBF(), 0.0, -1.0), "'steepness'.*-1"),
    "feature": (ChangePoint(RBF(), RBF(), 0.0, feature=5), "'feature'.*5"),
    "one of tied": (TiedMatern([1.0, 0.0, 1.0]), "'length_scale' .*positive.*0.0"),
    "tied bounds": (
        TiedMatern([1.0] * 3, [(0.1, 1), (0.1, 1), (0.1, 1)]),
        "'length_scale_bounds' parameter of TiedMatern.*here 1",
    ),
    "inner": (Columns(RBF([1.0, 2.0]), [0]), "Anisotropic"),
}  # fmt: skip


@pytest.mark.parametrize("estimator", [TorchGPRegressor, GaussianProcessRegressor])
def test_tied_length_scales_are_one_of_features_in_such_units(estimator):
    ratios = np.array([0.5, 10.0, 0.2])
    tied = TiedMatern(0.3 * ratios, (0.05, 50.0), nu=2.5)
    assert_allclose(tied.theta, [np.log(0.3)], rtol=1e-12)
    assert_allclose(np.exp(tied.bounds), [[0.05, 50.0]])
    model = estimator(1.0 * tied + WhiteKernel(0.1)).fit(X, Y)
    one = Matern(0.3, (0.05, 50.0), nu=2.5)
    scaled = estimator(1.0 * one + WhiteKernel(0.1)).fit(X / ratios, Y)
    found = model.kernel_.k1.k2
    assert type(found) is TiedMatern
    assert_allclose(found.length_scale / found.length_scale[0], ratios / 0.5)
    assert_allclose(model.kernel_.theta, scaled.kernel_.theta, atol=1e-4)
    assert_allclose(model.predict(X), scaled.predict(X / ratios), atol=1e-4)
    back = pickle.loads(pickle.dumps(clone(found)))
    assert back == found
    fixed = TiedMatern(ratios, "fixed")
    assert fixed.n_dims == 0
    assert_allclose((1.0 * fixed).clone_with_theta([1.0]).k2.length_scale, ratios)


def test_a_summary_has_one_row_for_tied_length_scales():
    kernel = 1.0 * TiedMatern([0.5, 2.0, 1.0]) + WhiteKernel(0.1)
    model = TorchGPRegressor(kernel, optimizer=None).fit(X, Y)
    rows_of_table = [line.split() for line in str(model.summary()).splitlines()]
    (row,) = [r for r in rows_of_table if r and r[0] == "k1__k2__length_scale"]
    assert float(row[1]) == pytest.approx(1.0)


@pytest.mark.parametrize(("kernel", "message"), BAD.values(), ids=BAD)
def test_bad_parameters(kernel, message):
    model = TorchGPRegressor(1.0 * kernel)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert not hasattr(model, "kernel_")
    assert not hasattr(model, "X_train_")


def test_bounds_that_there_are_not():
    kernel = 2.0 * RBF([1.0, 1.0])
    with pytest.raises(
        ValueError, match=r"'k2__scale_bounds'.*k2__length_scale_bounds"
    ):
        with_bounds(kernel, k2__scale_bounds="fixed")
    with pytest.raises(ValueError, match="'constant_value_bounds'.*RBF and Matern"):
        with_bounds(kernel, k1__constant_value_bounds=["fixed", "fixed"])
    with pytest.raises(ValueError, match="'length_scale_bounds'.*here 2"):
        with_bounds(kernel, k2__length_scale_bounds=["fixed"] * 3)
