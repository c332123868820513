"""What hard use of the first version found: wrong, silent or misleading answers."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import ndtri
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Matern,
    WhiteKernel,
)
from sklearn.metrics import log_loss
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._inference import Prior
from sklearn_torchgp._inference.dense import DensePosterior
from sklearn_torchgp.exceptions import KernelFallbackWarning
from sklearn_torchgp.kernels import TiedMatern

RNG = np.random.RandomState(0)
X = RNG.rand(30, 2)
Y = np.sin(4 * X.sum(1)) + 0.1 * RNG.randn(30)
KERNEL = 1.0 * RBF(0.7) + WhiteKernel(0.1)


def fixed(kernel=KERNEL, **options):
    return TorchGPRegressor(kernel, optimizer=None, **options)


# --- input -------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["ns", "D"])
def test_dates_are_refused(unit):
    dates = np.datetime64("2020-01-01", unit) + np.arange(10)[:, None]
    y = np.arange(10.0)
    with pytest.raises(TypeError, match=r"dtype datetime64.*timedelta64"):
        fixed().fit(dates, y)
    with pytest.raises(TypeError, match="dtype datetime64"):
        TorchGPClassifier().fit(dates, y > 4)
    model = fixed().fit(y[:, None], y)
    with pytest.raises(TypeError, match="dtype datetime64"):
        model.predict(dates)
    with pytest.raises(TypeError, match="dtype timedelta64"):
        model.partial_fit(dates - dates[0], y)


def test_targets_of_strings_are_refused_in_numpys_words():
    for y in (["a", "b"], np.array(["a", "b"], dtype=object)):
        with pytest.raises(ValueError, match="could not convert string to float"):
            fixed().fit(X[:2], y)


def test_strings_of_numbers_are_numbers():
    found = fixed().fit(X[:2], np.array(["1.5", "2"])).y_train_
    assert_allclose(found, [1.5, 2.0])


@pytest.mark.parametrize("weights", [{"no": 1, "yess": 50}, {"yess": 2}, {0: 1}])
def test_class_weights_of_unknown_classes_are_scikit_learns_error(weights):
    y = np.where(Y > 0, "yes", "no")
    with pytest.raises(ValueError, match="are not in class_weight"):
        TorchGPClassifier(class_weight=weights).fit(X, y)


def test_class_weights_may_leave_classes_out_or_name_absent_ones():
    y = np.where(Y > 0, "yes", "no")
    one = TorchGPClassifier(class_weight={"yes": 3.0}).fit(X, y)
    two = TorchGPClassifier(class_weight={"yes": 3.0, "no": 1, "rare": 9}).fit(X, y)
    assert_allclose(one.predict_proba(X), two.predict_proba(X))


# --- wrong or misleading numbers ----------------------------------------------------


@pytest.mark.parametrize("scale", [1e-13, 1e-29, 1e20])
def test_a_transform_bears_any_scale_of_y(scale):
    positive = np.exp(Y)
    log = FunctionTransformer(np.log, np.exp)
    plain = fixed(target_transform=log, normalize_y=True).fit(X, positive)
    scaled = fixed(target_transform=log, normalize_y=True).fit(X, scale * positive)
    assert_allclose(scaled.predict(X), scale * plain.predict(X), rtol=1e-8)
    Z = X[:4]
    assert_allclose(
        scaled.predict_interval(Z), scale * plain.predict_interval(Z), rtol=1e-7
    )
    assert_allclose(
        scaled.log_predictive_density(Z, scale * positive[:4]),
        plain.log_predictive_density(Z, positive[:4]) - np.log(scale),
        rtol=1e-4,
    )


def test_the_density_of_a_point_mass_is_infinite_or_nothing():
    model = fixed(ConstantKernel(1.0), alpha=0.0).fit([[0.0]], [2.0])
    found = model.log_predictive_density([[0.5], [0.5]], [2.0, 2.5])
    assert_allclose(found, [np.inf, -np.inf])


def test_a_start_without_a_number_does_not_win():
    calls = []

    def optimizer(obj_func, theta, bounds):
        calls.append(theta)
        value = obj_func(theta, eval_gradient=False)
        return theta, np.nan if len(calls) == 1 else value

    model = TorchGPRegressor(
        KERNEL, optimizer=optimizer, n_restarts_optimizer=2, random_state=0
    ).fit(X, Y)
    finite = model.optimizer_results_[1:]
    assert np.isnan(model.optimizer_results_[0].value)
    best = max(finite, key=lambda record: record.value)
    assert_allclose(model.kernel_.theta, best.theta)


def test_round_off_separates_no_classes():
    """Mirrored classes at their centre: three equal probabilities, the first wins."""
    angles = 2 * np.pi * np.arange(3) / 3
    corners = np.c_[np.cos(angles), np.sin(angles)]
    for shift in range(3):
        labels = np.roll(["a", "b", "c"], shift)
        model = TorchGPClassifier(1.0 * RBF(1.0), optimizer=None).fit(corners, labels)
        p = model.predict_proba([[0.0, 0.0]])[0]
        assert_allclose(p, 1 / 3, rtol=1e-9)
        assert model.predict([[0.0, 0.0]]) == ["a"]


def test_leave_one_out_probabilities_are_of_the_callers_kind():
    model = TorchGPClassifier(optimizer=None)
    found = model.fit(torch.from_numpy(X), torch.from_numpy(Y > 0)).loo_predict_proba()
    assert isinstance(found, torch.Tensor)
    plain = model.fit(X, Y > 0).loo_predict_proba()
    assert isinstance(plain, np.ndarray)
    assert_allclose(found, plain)


# --- state -------------------------------------------------------------------------


def test_predicting_inside_an_objective_is_refused():
    """There the factor is of the last fit's rows."""
    asked = []

    def objective(estimator, theta, eval_gradient):
        for name in ("predict", "loo_predict"):
            try:
                getattr(estimator, name)(*([X] if name == "predict" else []))
            except NotFittedError as error:
                asked.append(str(error))
        return estimator.log_marginal_likelihood(theta, eval_gradient=eval_gradient)

    model = TorchGPRegressor(KERNEL, objective=objective).fit(X, Y)
    assert len(asked) >= 2
    asked.clear()
    before = model.predict(X)
    model.fit(X, 2 * Y)
    assert len(asked) >= 2
    assert "'fit'" in asked[0]
    assert not np.allclose(model.predict(X), before)


@pytest.mark.parametrize(
    "changed",
    [1.0 * Matern(0.7, nu=2.5), 1.0 * Matern(0.7, nu=np.inf)],
)
def test_warm_start_begins_anew_for_another_kernel(changed):
    model = TorchGPRegressor(1.0 * Matern(0.7, nu=1.5), alpha=0.01, warm_start=True)
    model.fit(X, Y)
    learnt = model.kernel_.theta
    for _ in range(3):  # the second to go on is where it once began anew
        model.fit(X, Y)
        assert_allclose(model.optimizer_results_[0].theta_start, learnt, atol=1e-3)
    model.set_params(kernel=changed).fit(X, Y)
    assert_allclose(model.optimizer_results_[0].theta_start, changed.theta)


def test_warm_start_begins_anew_for_other_ratios():
    """Which theta does not tell."""
    data = np.random.RandomState(0).rand(20, 2), np.arange(20.0) % 3
    model = TorchGPRegressor(TiedMatern([1.0, 2.0]), alpha=0.01, warm_start=True)
    model.fit(*data).set_params(kernel=TiedMatern([2.0, 1.0]), optimizer=None)
    assert_allclose(model.fit(*data).kernel_.length_scale, [2.0, 1.0])


def test_warm_start_begins_anew_where_a_fixed_value_changed():
    model = TorchGPRegressor(
        1.0 * RBF(0.7, "fixed") + WhiteKernel(0.1), warm_start=True
    ).fit(X, Y)
    changed = 1.0 * RBF(0.9, "fixed") + WhiteKernel(0.1)
    model.set_params(kernel=changed).fit(X, Y)
    assert_allclose(model.optimizer_results_[0].theta_start, changed.theta)


# --- warnings ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("multi_class", "n_problems", "name"),
    [("one_vs_rest", 4, "red"), ("one_vs_one", 6, "blue or green")],
)
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_warnings_of_binary_problems_are_one_with_their_names(
    multi_class, n_problems, name, n_jobs
):
    y = np.array(["red", "green", "blue", "grey"])[np.arange(30) % 4]
    model = TorchGPClassifier(
        1e4 * RBF(0.3),
        optimizer=None,
        multi_class=multi_class,
        max_iter_predict=1,
        n_jobs=n_jobs,
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.fit(X, y)
    (warning,) = (w for w in seen if w.category is ConvergenceWarning)
    message = str(warning.message)
    said, whose = message.split(" (So in ")
    assert "'max_iter_predict'" in said
    assert whose.startswith(f"{n_problems} of {n_problems} binary problems: ")
    assert name in whose


def test_the_cure_of_a_stalled_inference_is_not_more_iterations():
    X = np.random.RandomState(0).rand(60, 1) * 1e8
    y = np.arange(60) % 2
    model = TorchGPClassifier(
        DotProduct() ** 2, optimizer=None, inference="vi", link="probit"
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.fit(X, y)
    (warning,) = seen
    assert "Scale the features" in str(warning.message)
    assert "max_iter_predict" not in str(warning.message)


# --- several classes in one problem --------------------------------------------------


@pytest.mark.parametrize(
    ("inference", "link"), [("laplace", "logit"), ("ep", "logit"), ("ep", "probit")]
)
def test_a_large_variance_does_not_turn_the_classes_round(inference, link):
    digits, y = (part[:150] for part in load_digits(return_X_y=True))
    model = TorchGPClassifier(
        1e4 * RBF(30.0),
        optimizer=None,
        multi_class="softmax",
        inference=inference,
        link=link,
    ).fit(digits, y)
    assert model.score(digits, y) == 1.0
    mean = model.predict_latent(digits)
    assert (model.predict(digits) == model.classes_[mean.argmax(axis=1)]).all()


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_probabilities_do_not_depend_on_the_order_of_the_labels(link):
    rng = np.random.RandomState(0)
    centres = rng.randn(5, 2)
    y = np.arange(40) % 5
    rows = centres[y] + 0.7 * rng.randn(40, 2)
    new = rng.randn(30, 2)
    order = np.array([3, 0, 4, 1, 2])
    settings = {"multi_class": "softmax", "inference": "ep", "optimizer": None}
    model = TorchGPClassifier(9.0 * RBF(1.0), link=link, **settings)
    p = model.fit(rows, y).predict_proba(new)
    q = model.fit(rows, order[y]).predict_proba(new)
    assert_allclose(q[:, order], p, atol=1e-6)


def test_joint_classes_by_ep_optimise_and_predict():
    """The evidence climbs, and held-out rows are told better than by its Laplace."""
    features, y = load_iris(return_X_y=True)
    features = (features - features.mean(0)) / features.std(0)
    train = np.random.RandomState(1).permutation(150)[:75]
    test = np.setdiff1d(np.arange(150), train)
    model = TorchGPClassifier(
        1.0 * RBF(1.0), multi_class="softmax", inference="ep", link="probit"
    ).fit(features[train], y[train])
    (record,) = model.optimizer_results_
    assert record.converged
    start = model.log_marginal_likelihood(model.kernel.theta)
    assert model.log_marginal_likelihood_value_ > start + 1
    assert log_loss(y[test], model.predict_proba(features[test])) < 0.2
    loo = model.loo_predict_proba()
    assert_allclose(loo.sum(1), 1.0)
    assert (loo.argmax(1) == y[train]).mean() > 0.9


def test_weights_do_not_go_with_the_multinomial_probit():
    y = np.arange(30) % 3
    model = TorchGPClassifier(multi_class="softmax", inference="ep", link="probit")
    with pytest.raises(ValueError, match="link='probit'.*sample_weight"):
        model.fit(X, y, sample_weight=np.arange(1, 31))
    with pytest.raises(ValueError, match="link='probit'.*class_weight"):
        model.set_params(class_weight="balanced").fit(X, y)


# --- known noise of new rows under a transform ---------------------------------------

LOG = FunctionTransformer(np.log, np.exp)
TRANSFORMS = {
    "log": LOG,
    "falling": FunctionTransformer(np.reciprocal, np.reciprocal),
    "quantiles": QuantileTransformer(n_quantiles=20, output_distribution="normal"),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("noise", [1e-5, 0.01, 0.3])
def test_known_noise_of_new_rows_is_added_to_y(name, noise):
    """y(x) + e, in units of y: against a large sample of both."""
    positive = np.exp(0.5 * Y) + 0.1
    model = fixed(target_transform=TRANSFORMS[name], alpha=1e-3).fit(X, positive)
    Z = np.random.RandomState(5).rand(3, 2)
    plain, plain_std = model.predict(Z, return_std=True)
    mean, std = model.predict(Z, return_std=True, noise_variance=noise)
    assert_allclose(mean, plain, rtol=1e-12)
    assert_allclose(std, np.sqrt(plain_std**2 + noise), rtol=1e-12)
    cov = model.predict(Z, return_cov=True, noise_variance=noise)[1]
    bare = model.predict(Z, return_cov=True)[1]
    assert_allclose(cov, bare + noise * np.eye(3), rtol=1e-12)

    rng = np.random.RandomState(0)
    levels = (np.arange(20_000) + 0.5) / 20_000
    sample = model.predict_quantiles(Z, levels) + np.sqrt(noise) * rng.randn(3, 20_000)
    asked = np.array([0.03, 0.5, 0.9])
    found = model.predict_quantiles(Z, asked, noise_variance=noise)
    wanted = np.quantile(sample, asked, axis=1).T
    # What a quantile of so many draws is known to: the root of p (1 - p) / n / density.
    assert_allclose(found, wanted, atol=0.04 * sample.std())
    assert (np.diff(found, axis=1) > 0).all()

    grid = np.linspace(sample.min() - 1, sample.max() + 1, 4001)
    for row in Z:
        density = np.exp(
            model.log_predictive_density(
                np.tile(row, (4001, 1)), grid, noise_variance=noise
            )
        )
        if name == "log" or noise > 1e-4:
            mass = density.sum() * (grid[1] - grid[0])
            assert mass == pytest.approx(1.0, abs=2e-3)


def test_known_noise_without_a_transform_is_as_before():
    model = fixed().fit(X, Y)
    Z = X[:3]
    found = model.predict_quantiles(Z, [0.2], noise_variance=0.3)[:, 0]
    mean, std = model.predict(Z, return_std=True, include_noise=True)
    assert_allclose(found, mean + np.sqrt(std**2 + 0.3) * ndtri(0.2), rtol=1e-10)


def test_little_known_noise_joins_smoothly():
    """The first order, and both spacings, agree where one takes over from another."""
    positive = np.exp(0.5 * Y) + 0.1
    model = fixed(target_transform=LOG, alpha=1e-3).fit(X, positive)
    Z = np.random.RandomState(5).rand(1, 2)
    low, high = model.predict_quantiles(Z, [0.16, 0.84])[0]
    spread = (high - low) / 2
    for ratio in (0.02, 0.2):
        ends = [
            model.predict_quantiles(Z, [0.05, 0.95], noise_variance=(r * spread) ** 2)
            for r in (0.97 * ratio, 1.03 * ratio)
        ]
        assert_allclose(ends[0], ends[1], atol=0.01 * spread)


# --- weights that cannot be copies ---------------------------------------------------


class NoisyNumpy(RBF):
    """A kernel of NumPy code that has noise of its own where rows meet themselves."""

    def __call__(self, X, Y=None, eval_gradient=False):
        K = RBF.__call__(self, X, Y)
        if Y is None:
            K = K + 0.1 * np.eye(len(K))
        return (K, np.zeros((*K.shape, 0))) if eval_gradient else K


def test_weights_are_refused_where_a_kernel_hides_its_noise():
    kernel = NoisyNumpy(0.7, "fixed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KernelFallbackWarning)
        model = fixed(kernel, alpha=0.1)
        model.fit(X, Y)
        model.fit(X, Y, sample_weight=np.ones(30))
        with pytest.raises(ValueError, match="'sample_weight'.*register_kernel"):
            model.fit(X, Y, sample_weight=np.full(30, 2.0))


@pytest.mark.parametrize("weights", [np.full(30, 2.0), np.linspace(0.5, 2, 30)])
def test_weights_do_not_go_with_white_noise_of_a_latent_function(weights):
    kernel = 1.0 * RBF(1.0) + WhiteKernel(0.1)
    with pytest.raises(ValueError, match="'sample_weight'.*WhiteKernel"):
        TorchGPClassifier(kernel).fit(X, Y > 0, sample_weight=weights)
    ones_and_zeros = np.arange(30) % 3 > 0
    TorchGPClassifier(kernel, optimizer=None).fit(
        X, Y > 0, sample_weight=ones_and_zeros
    )


# --- as scikit-learn ----------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [None, "fmin_l_bfgs_b"])
@pytest.mark.parametrize(
    "scale", [[0.7, 1.1], (0.7, 1.1), np.array([0.7, 1.1])], ids=["list", "tuple", "1d"]
)
@pytest.mark.parametrize("bounds", [(1e-3, 1e3), "fixed"], ids=["free", "fixed"])
def test_vectors_among_the_hyperparameters_are_arrays_where_they_are(
    optimizer, scale, bounds
):
    kernel = 2.0 * RBF(scale, bounds) + WhiteKernel(0.1)
    options = {"kernel": kernel, "optimizer": optimizer}
    theirs = GaussianProcessRegressor(**options).fit(X, Y).kernel_.k1.k2.length_scale
    ours = TorchGPRegressor(**options).fit(X, Y).kernel_.k1.k2.length_scale
    assert type(ours) is type(theirs)
    assert_allclose(ours, theirs, rtol=1e-3)
    assert type(kernel.k1.k2.length_scale) is type(scale)


def test_vectors_of_one_become_numbers_as_theirs():
    kernel = RBF([0.7])
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(X, Y)
    assert np.ndim(theirs.kernel_.length_scale) == 0
    assert np.ndim(fixed(kernel).fit(X, Y).kernel_.length_scale) == 0


# --- bad values are told before work --------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda gp, Z: gp.predict(Z, return_std=True, noise_variance=-1.0),
        lambda gp, Z: gp.predict(Z, noise_variance=np.ones(3)),
        lambda gp, Z: gp.predict_interval(Z, noise_variance=np.nan),
        lambda gp, Z: gp.predict_quantiles(Z, [0.5], noise_variance="much"),
        lambda gp, Z: gp.log_predictive_density(Z, Y[:5], noise_variance=-1.0),
        lambda gp, Z: gp.predict(Z, return_cov=True, include_noise="yes"),
    ],
)
@pytest.mark.parametrize("fitted", [True, False])
def test_noise_of_new_rows_is_checked_before_any_moment(monkeypatch, ask, fitted):
    gp = fixed()
    if fitted:
        gp.fit(X, Y)

    def moments(self, *args, **options):
        raise AssertionError("work was begun")

    monkeypatch.setattr(DensePosterior, "moments", moments)
    monkeypatch.setattr(Prior, "moments", moments)
    with pytest.raises(ValueError, match="'(noise_variance|include_noise)' parameter"):
        ask(gp, X[:5])
