"""The kernels of `sklearn_torchgp.kernels` in every method and inference."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import numeric_gradient
from kernel_zoo import EVERY_OF_OURS, rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    Hyperparameter,
    Matern,
    WhiteKernel,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._covariance.features import PriorPaths, terms
from sklearn_torchgp.kernels import (
    Additive,
    Categorical,
    ChangePoint,
    Columns,
    Periodic,
    Polynomial,
    RationalQuadratic,
    SpectralMixture,
    TorchKernel,
    with_bounds,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_torchgp.exceptions.KernelFallbackWarning"
)
every = pytest.mark.parametrize(
    "kernel", EVERY_OF_OURS.values(), ids=list(EVERY_OF_OURS)
)
X = rows(14)
Y = np.sin(4 * X[:, 0]) + X[:, 1]
LABELS = np.where(np.median(Y) < Y, "a", "b")
THREE = np.array(["a", "b", "c"])[np.argsort(np.argsort(Y)) * 3 // len(Y)]
REGRESSION = {
    "lml": {},
    "loo": {"objective": "loo"},
    "trend": {"mean": "linear"},
    "targets": {"normalize_y": True},
}


@every
@pytest.mark.parametrize("options", REGRESSION.values(), ids=REGRESSION)
def test_regression(kernel, options):
    y = np.c_[Y, Y**2] if "normalize_y" in options else Y
    model = TorchGPRegressor(kernel + WhiteKernel(0.1), optimizer=None, **options)
    model.fit(X, y)
    theta = model.kernel_.theta
    loo = model.loo_log_predictive_density
    value = loo if "objective" in options else model.log_marginal_likelihood
    gradient = value(theta, eval_gradient=True)[1]
    wanted = numeric_gradient(value, theta)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())
    Z = rows(4, seed=3)
    slopes = model.predict_gradient(Z)
    wanted = numeric_gradient(model.predict, Z, step=1e-5)
    assert_allclose(slopes, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    grown = clone(model).fit(X[:9], y[:9]).partial_fit(X[9:], y[9:])
    if "normalize_y" not in options:
        assert_allclose(grown.predict(Z), model.predict(Z), rtol=1e-6, atol=1e-8)
    assert_allclose(pickle.loads(pickle.dumps(model)).predict(Z), model.predict(Z))


@every
@pytest.mark.parametrize("inference", ["laplace", "ep", "vi"])
def test_classification(kernel, inference):
    model = TorchGPClassifier(kernel, optimizer=None, inference=inference)
    model.fit(X, LABELS)
    theta = model.kernel_.theta
    value = model.log_marginal_likelihood
    gradient = value(theta, eval_gradient=True)[1]
    wanted = numeric_gradient(value, theta)
    assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    assert_allclose(model.predict_proba(rows(4, seed=3)).sum(1), 1.0)


@every
def test_several_classes(kernel):
    for options in ({}, {"multi_class": "softmax"}):
        model = TorchGPClassifier(kernel, optimizer=None, **options).fit(X, THREE)
        assert model.predict_proba(X).shape == (14, 3)


@every
def test_a_fit_climbs(kernel):
    kernel = 1.0 * kernel + WhiteKernel(0.1)
    fixed = TorchGPRegressor(kernel, optimizer=None).fit(X, Y)
    model = TorchGPRegressor(kernel, dtype="mixed").fit(X, Y)
    value = model.log_marginal_likelihood_value_
    assert value > fixed.log_marginal_likelihood_value_
    lower, upper = model.kernel_.bounds.T
    theta = model.kernel_.theta
    assert (theta >= lower - 1e-9).all()
    assert (theta <= upper + 1e-9).all()


HAVE_PATHS = [
    *["torch-kernel", "columns", "periodic", "periodic-ard", "polynomial", "additive"],
    *["rational-quadratic-ard", "additive-ard", "spectral-mixture"],
    *["spectral-mixture-alike", "partly-fixed"],
]


@pytest.mark.parametrize("name", HAVE_PATHS[1:])
def test_the_prior_of_paths_has_the_kernel_as_covariance(name):
    kernel, rng = EVERY_OF_OURS[name], np.random.RandomState(0)
    Z = rows(5, seed=7)
    values = sum(
        PriorPaths(term, 8, 6000, 3, rng)(Z).numpy() for term in terms(kernel, 3)
    )
    K = kernel(Z, Z)
    scale = np.sqrt(np.outer(np.diag(K), np.diag(K)))
    assert_allclose(np.cov(values) / scale, K / scale, atol=0.09)


def test_paths_of_a_model():
    kernel = Columns(Periodic(1.0, 0.8), 0) + Columns(RBF([1.0, 1.0]), [1, 2])
    model = TorchGPRegressor(kernel + WhiteKernel(0.01), optimizer=None).fit(X, Y)
    paths = model.sample_paths(500, random_state=0, n_features=64)(X)
    assert_allclose(paths.mean(1), model.predict(X), atol=0.05)
    categorical = TorchGPRegressor(Categorical(), optimizer=None).fit(X, Y)
    with pytest.raises(ValueError, match="Categorical.*without random features"):
        categorical.sample_paths()


# --- data frames ---------------------------------------------------------------------


def frame(n=40):
    rng = np.random.RandomState(0)
    table = pd.DataFrame(
        {
            "hour": rng.uniform(0, 48, n),
            "colour": rng.choice(["red", "green", "blue"], n),
            "x": rng.uniform(-1, 1, n),
        }
    )
    level = table["colour"].map({"red": 0.0, "green": 1.0, "blue": 3.0})
    y = np.sin(2 * np.pi * table["hour"] / 24) + level + 0.5 * table["x"]
    return table, y.to_numpy() + 0.05 * rng.randn(n)


def by_names():
    return (
        Columns(Periodic(1.0, 24.0, periodicity_bounds="fixed"), "hour")
        + Columns(Categorical(), ["colour"])
        + Columns(RBF(), "x")
        + WhiteKernel(0.1)
    )


def test_columns_by_name_in_a_pipeline_with_encoded_categories():
    table, y = frame()
    encode = ColumnTransformer(
        [("codes", OrdinalEncoder(), ["colour"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    model = make_pipeline(encode, TorchGPRegressor(by_names(), normalize_y=True))
    model.fit(table[:30], y[:30])
    assert np.abs(model.predict(table[30:]) - y[30:]).max() < 0.5
    kernel = model[-1].kernel_
    codes = encode.transform(table[30:])
    by_position = kernel.get_params()
    assert by_position["k1__k1__k1__columns"] == "hour"
    # What knows the names is evaluated on plain arrays, as are its copies.
    for copy in (
        clone(kernel),
        kernel.clone_with_theta(kernel.theta),
        pickle.loads(pickle.dumps(kernel)),
    ):
        assert_allclose(copy(codes.to_numpy()), kernel(codes))
    restored = pickle.loads(pickle.dumps(model))
    assert_allclose(restored.predict(table[30:]), model.predict(table[30:]))
    again = clone(model).fit(table[:30], y[:30])
    assert_allclose(again.predict(table[30:]), model.predict(table[30:]), rtol=1e-6)


def test_names_in_a_classifier_and_within_columns():
    table, y = frame()
    table["colour"] = table["colour"].astype("category").cat.codes
    inner = Columns(Columns(RBF(), "x") * Columns(Categorical(), "colour"), [1, 2])
    for labels in (y > 1, np.digitize(y, [0.5, 2])):
        model = TorchGPClassifier(1.0 * inner, optimizer=None).fit(table, labels)
        by_number = Columns(RBF(), 2) * Columns(Categorical(), 1)
        same = TorchGPClassifier(1.0 * by_number, optimizer=None)
        same.fit(table.to_numpy(), labels)
        assert_allclose(
            model.predict_proba(table), same.predict_proba(table.to_numpy())
        )
    changing = ChangePoint(RBF(), ConstantKernel(), 24.0, 1.0, feature="hour")
    model = TorchGPRegressor(Columns(changing, ["x", "hour"])).fit(table, y)
    kernel = model.kernel_.kernel
    assert kernel.location_bounds == (table["hour"].min(), table["hour"].max())


def test_names_without_a_frame():
    table, y = frame()
    numbers = table[["hour", "x"]].to_numpy()
    kernel = Columns(RBF(), "x")
    for model in (
        TorchGPRegressor(kernel),
        TorchGPClassifier(kernel),
        GaussianProcessRegressor(kernel),
    ):
        labels = y > 1 if isinstance(model, TorchGPClassifier) else y
        with pytest.raises(ValueError, match=r"'columns' parameter of Columns.*'x'"):
            model.fit(numbers, labels)
        assert not hasattr(model, "X_train_") or type(model) in (
            GaussianProcessRegressor,
        )
    with pytest.raises(ValueError, match=r"names among \['hour', 'x'\]"):
        TorchGPRegressor(Columns(RBF(), "y")).fit(table[["hour", "x"]], y)
    assert_allclose(kernel(table[["hour", "x"]]), RBF()(numbers[:, [1]]), rtol=1e-12)


@pytest.mark.parametrize(
    "columns",
    [[2, 0], np.array([2, 0]), [-1, 0], (2, -3), slice(2, None, -2)],
    ids=str,
)
def test_columns_by_position(columns):
    X = rows(5)
    kernel = Columns(RBF([0.5, 1.5]), columns)
    assert_allclose(kernel(X), RBF([0.5, 1.5])(X[:, [2, 0]]), rtol=1e-12)
    assert_allclose(clone(kernel)(X, X), kernel(X, X))


def test_columns_by_mask():
    X = rows(5)
    for mask in ([True, False, True], np.array([True, False, True])):
        assert_allclose(Columns(RBF(), mask)(X), RBF()(X[:, [0, 2]]), rtol=1e-12)


@pytest.mark.parametrize(
    ("columns", "allowed"),
    [
        (3, "positions below 3"),
        ([0, -4], "positions below 3"),
        ([0.5], "positions below 3"),
        ([True, False], "a mask of 3 entries"),
        ([False, False, False], "at least one of the 3 columns"),
        ([], "at least one of the 3 columns"),
        (slice(5, 9), "at least one of the 3 columns"),
        (None, "positions, names, a slice or a mask"),
        (["a", 1], "positions below 3"),
    ],
)
def test_columns_that_there_are_not(columns, allowed):
    model = TorchGPRegressor(Columns(RBF(), columns))
    with pytest.raises(ValueError, match=f"'columns' parameter .*{allowed}.* Got"):
        model.fit(X, Y)
    assert not hasattr(model, "kernel_")


# --- bounds ---------------------------------------------------------------------------


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


class Two(TorchKernel):
    parameters = {"scales": [1.0, 2.0]}

    def forward(self, X, Z):
        return torch.exp(-((X[:, None] - Z)[..., :2] / self.scales).square().sum(-1))


class FromProperty(TorchKernel):
    """With scikit-learn's way to declare a hyperparameter, and its own constructor."""

    def __init__(self, power=2.0, power_bounds=(0.1, 10.0)):
        self.power = power
        self.power_bounds = power_bounds

    @property
    def hyperparameter_power(self):
        return Hyperparameter("power", "numeric", self.power_bounds)

    def forward(self, X, Z):
        return (1 + X @ Z.mT) ** self.power


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
    "variances": (Additive(RBF(), 2, [1.0]), "'variances'.*each order, 2"),
    "additive ard": (Additive(RBF([1.0, 2.0])), "'kernel' parameter of Additive"),
    "components": (SpectralMixture(0), "'n_components'.*0"),
    "means": (SpectralMixture(2, means=[1.0]), "'means' .*SpectralMixture.*shape"),
    "location": (ChangePoint(RBF(), RBF(), np.inf), "'location'.*finite.*inf"),
    "steepness": (ChangePoint(RBF(), RBF(), 0.0, -1.0), "'steepness'.*-1"),
    "feature": (ChangePoint(RBF(), RBF(), 0.0, feature=5), "'feature'.*5"),
    "inner": (Columns(RBF([1.0, 2.0]), [0]), "Anisotropic"),
}  # fmt: skip


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


# --- TorchKernel ----------------------------------------------------------------------


def test_constructor_of_a_torch_kernel():
    kernel = Two(scales_bounds=[(0.1, 10), "fixed"])
    assert kernel.get_params() == {
        "scales": [1.0, 2.0], "scales_bounds": [(0.1, 10), "fixed"]
    }  # fmt: skip
    assert kernel.n_dims == 1
    assert Two([3.0, 4.0]).theta.tolist() == np.log([3.0, 4.0]).tolist()
    with pytest.raises(TypeError, match="scale"):
        Two(scale=1.0)
    model = TorchGPRegressor(kernel + WhiteKernel(0.1)).fit(X, Y)
    assert model.kernel_.k1.scales[1] == 2.0


def test_hyperparameters_as_scikit_learn_declares_them():
    kernel = FromProperty(2.0)
    assert_allclose(kernel.bounds, np.log([[0.1, 10.0]]))
    K, gradient = kernel(X, eval_gradient=True)
    assert_allclose(K, (1 + X @ X.T) ** 2)
    assert_allclose(gradient[..., 0], 2 * K * np.log(1 + X @ X.T))
    fixed = FromProperty(2.0, "fixed")
    assert fixed.n_dims == 0
    theirs, ours = (
        m(kernel + WhiteKernel(0.1), optimizer=None).fit(X, Y)
        for m in (GaussianProcessRegressor, TorchGPRegressor)
    )
    theta = [0.3, -1.0]
    for one, other in zip(
        ours.log_marginal_likelihood(theta, eval_gradient=True),
        theirs.log_marginal_likelihood(theta, eval_gradient=True),
        strict=True,
    ):
        assert_allclose(one, other, rtol=1e-8)


def test_a_torch_kernel_with_cdist_has_its_gradient_array():
    """The derivative of which torch does not know how to differentiate again."""

    class Decay(TorchKernel):
        parameters = {"length_scale": 1.0}

        def forward(self, X, Z):
            return torch.exp(-torch.cdist(X / self.length_scale, Z / self.length_scale))

    _, gradient = Decay(0.7)(X, eval_gradient=True)
    _, wanted = Matern(0.7, nu=0.5)(X, eval_gradient=True)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-9)


def test_what_is_wrong_with_a_forward():
    class Nothing(TorchKernel):
        parameters = {"scale": 1.0}

    class Column(TorchKernel):
        parameters = {"scale": 1.0}

        def forward(self, X, Z):
            return self.scale * X[:, 0]

    class Detached(TorchKernel):
        parameters = {"scale": 1.0}

        def forward(self, X, Z):
            return self.scale.item() * X @ Z.mT

    with pytest.raises(NotImplementedError, match=r"Nothing has no method forward"):
        Nothing()(X)
    with pytest.raises(ValueError, match=r"forward of Column .*\(14, 14\).*\[14\]"):
        Column()(X)
    with pytest.raises(ValueError, match=r"Detached.*does not depend"):
        TorchGPRegressor(Detached() + WhiteKernel(0.1)).fit(X, Y)


# --- starts ---------------------------------------------------------------------------


def wave_of_two():
    x = np.sort(np.random.RandomState(0).uniform(0, 20, 120))
    y = np.sin(2 * np.pi * 0.7 * x) + 0.5 * np.cos(2 * np.pi * 1.9 * x)
    return x[:, None], y + 0.05 * np.random.RandomState(1).randn(120)


def test_a_spectral_mixture_starts_at_the_peaks():
    X, y = wave_of_two()
    kernel = SpectralMixture(2).start(X, y)
    assert_allclose(kernel.means[:, 0], [0.7, 1.9], atol=0.05)
    assert kernel.weights[0] > 2 * kernel.weights[1]
    assert kernel.weights.sum() == pytest.approx(np.var(y))
    again = SpectralMixture(2, means=[0.5, 1.0]).start(X, y)
    assert again.means == [0.5, 1.0]
    assert again.scales.shape == (2, 1)
    noise = WhiteKernel(0.01)
    started = TorchGPRegressor(SpectralMixture(2) + noise).fit(X[:80], y[:80])
    assert_allclose(started.kernel_.k1.means[:, 0], [0.7, 1.9], atol=0.02)
    assert started.kernel.k1.means is None
    ahead = np.abs(started.predict(X[80:90]) - y[80:90]).max()
    assert ahead < 0.5
    blind = SpectralMixture(2, [0.5, 0.5], [0.25, 0.5], [0.25, 0.25]) + noise
    blind = TorchGPRegressor(blind).fit(X[:80], y[:80])
    value = "log_marginal_likelihood_value_"
    assert getattr(started, value) > getattr(blind, value) + 10


def test_a_spectral_mixture_of_several_features_and_classes():
    kernel = SpectralMixture(3) + WhiteKernel(0.1)
    model = TorchGPRegressor(kernel, optimizer=None).fit(X, np.c_[Y, Y])
    assert model.kernel_.k1.means.shape == (3, 3)
    model = TorchGPClassifier(SpectralMixture(2), optimizer=None).fit(X, THREE)
    assert model.kernel_.kernels[0].means.shape == (2, 3)
    for few in (X[:1], np.repeat(X[:1], 4, axis=0)):
        one = TorchGPRegressor(kernel, optimizer=None).fit(few, Y[: len(few)])
        assert np.isfinite(one.kernel_.theta).all()
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(X, Y)
    assert np.isfinite(theirs.predict(X)).all()


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_a_change_point_is_found(scale):
    rng = np.random.RandomState(0)
    x = np.linspace(0, 10, 80)
    y = np.where(x < 6.3, 0.0, np.sin(9 * x)) + 0.05 * rng.randn(80)
    bounds = (1e-3 * scale, 1e3 * scale)
    before, after = (RBF(s * scale, length_scale_bounds=bounds) for s in (3.0, 0.2))
    kernel = ChangePoint(
        before, 1.0 * after, 5.0 * scale, 2.0 / scale,
        steepness_bounds=(1e-2 / scale, 1e2 / scale),
    )  # fmt: skip
    model = TorchGPRegressor(kernel + WhiteKernel(0.01), warm_start=True)
    model.fit(scale * x[:, None], y)
    found = model.kernel_.k1
    assert found.location / scale == pytest.approx(6.3, abs=0.3)
    assert found.location_bounds == (0.0, 10.0 * scale)
    # Other rows, other units in theta: a warm start does not mistake one for the other.
    model.set_params(optimizer=None).fit(2 * scale * x[:, None], y)
    assert model.kernel_.k1.location in (found.location, 5.0 * scale)
