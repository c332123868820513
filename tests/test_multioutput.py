"""Several outputs: apart, correlated, and observed in part."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import numeric_gradient
from joblib import parallel_config
from multioutput_cases import (
    AMPLITUDE,
    CORRELATION,
    FEATURES,
    HOLES,
    KAPPA,
    NOISE,
    B,
    Dense,
    T,
    W,
    X,
    Y,
    Z,
    long_kernel,
    simulated,
)
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    GenericKernelMixin,
    Kernel,
    WhiteKernel,
)
from sklearn.linear_model import LinearRegression
from sklearn.multioutput import MultiOutputRegressor
from sklearn.preprocessing import PowerTransformer

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.inspection import (
    LeaveOneOutDisplay,
    LengthScaleDisplay,
    LogMarginalLikelihoodDisplay,
)
from sklearn_torchgp.kernels import Columns, Coregion, with_bounds

KERNEL = ConstantKernel(1.3) * RBF([0.8, 1.4]) + WhiteKernel(0.1)


class Letters(GenericKernelMixin, Kernel):
    """How many letters two words have in common."""

    def __init__(self):
        pass

    def __call__(self, X, Y=None, eval_gradient=False):
        Y = X if Y is None else Y
        K = np.array([[len(set(a) & set(b)) + 0.0 for b in Y] for a in X])
        return (K, np.empty((*K.shape, 0))) if eval_gradient else K

    def diag(self, X):
        return np.array([len(set(a)) + 0.0 for a in X])

    def is_stationary(self):
        return False


# A model whose hyperparameters are given.
Fixed = partial(TorchGPRegressor, optimizer=None)
ICM = partial(Fixed, multi_output="icm", missing="mask")
APART = partial(Fixed, KERNEL, multi_output="independent", missing="mask")
modes = pytest.mark.parametrize("make", [APART, partial(ICM, KERNEL)], ids=["a", "icm"])


# --- correlated outputs: a dense formula, and limits ----------------------------------


EXACT = {
    "exact": {},
    "mixed": {"dtype": "mixed"},
    "all are neighbours": {
        "method": "vecchia",
        "n_neighbors": 99,
        "n_neighbors_predict": 99,
    },
}


@pytest.mark.parametrize("options", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("y", [Y, HOLES], ids=["all", "some missing"])
def test_the_correlated_model_is_a_kronecker_product(y, options):
    model = ICM(long_kernel(), random_state=0, **options).fit(X, y)
    dense = Dense(X, y, B, NOISE)
    assert model.log_marginal_likelihood_value_ == pytest.approx(
        dense.evidence, rel=1e-9
    )
    mean, joint = model.predict(Z, return_cov="joint")
    expected, cov = dense.joint(Z)
    assert_allclose(mean, expected, rtol=1e-7, atol=1e-9)
    assert_allclose(joint, cov, rtol=1e-7, atol=1e-9)
    each = model.predict(Z, return_cov=True)[1]
    assert_allclose(each, np.einsum("iklk->ilk", cov), rtol=1e-7, atol=1e-9)
    std = model.predict(Z, return_std=True)[1]
    assert_allclose(std, np.sqrt(np.einsum("ikik->ik", cov)), rtol=1e-7)
    latent = model.predict(Z, return_cov="joint", include_noise=False)[1]
    for k in range(T):
        cov[:, k, :, k] -= NOISE[k] * np.eye(len(Z))
    assert_allclose(latent, cov, rtol=1e-7, atol=1e-8)


def test_float32_is_near_the_dense_formula():
    model, dense = (
        ICM(long_kernel(), dtype="float32").fit(X, HOLES),
        Dense(X, HOLES, B, NOISE),
    )
    mean, joint = model.predict(Z, return_cov="joint")
    expected, cov = dense.joint(Z)
    assert_allclose(mean, expected, atol=1e-3)
    assert_allclose(joint, cov, atol=1e-3)
    twice = np.tile(np.arange(len(X)), 2)  # copies, which float32 merges
    copies = ICM(long_kernel(), dtype="float32").fit(X[twice], HOLES[twice])
    exact = ICM(long_kernel()).fit(X[twice], HOLES[twice])
    for found, wanted in zip(
        copies.loo_predict(True), exact.loo_predict(True), strict=True
    ):
        assert_allclose(found, wanted, atol=2e-3)


def test_uncorrelated_outputs_are_independent_ones():
    outputs = Coregion(T, 0, kappa=KAPPA)
    whole = ICM(long_kernel(outputs)).fit(X, HOLES)
    total = 0.0
    for j in range(T):
        known = ~np.isnan(HOLES[:, j])
        kernel = ConstantKernel(KAPPA[j]) * FEATURES + WhiteKernel(NOISE[j])
        one = Fixed(kernel).fit(X[known], HOLES[known, j])
        total += one.log_marginal_likelihood_value_
        pairs = (m.predict(Z, return_std=True) for m in (one, whole))
        for a, b in zip(*pairs, strict=True):
            assert_allclose(b[:, j], a, rtol=1e-9)
    assert whole.log_marginal_likelihood_value_ == pytest.approx(total, rel=1e-10)


def test_equal_uncorrelated_outputs_share_a_kernel():
    kernel = long_kernel(Coregion(T, 0, kappa=np.ones(T)), np.full(T, 0.1))
    shared = Fixed(FEATURES + WhiteKernel(0.1)).fit(X, Y)
    for model in (
        ICM(kernel).fit(X, Y),
        Fixed(FEATURES + WhiteKernel(0.1), multi_output="independent").fit(X, Y),
    ):
        assert model.log_marginal_likelihood_value_ == pytest.approx(
            shared.log_marginal_likelihood_value_, rel=1e-10
        )
        for ask in ({"return_std": True}, {"return_cov": True}):
            pairs = (m.predict(Z, **ask) for m in (shared, model))
            for a, b in zip(*pairs, strict=True):
                assert_allclose(b, a, rtol=1e-8, atol=1e-10)
        joint = model.predict(Z, return_cov="joint")[1]
        assert_allclose(
            joint, shared.predict(Z, return_cov="joint")[1], rtol=1e-8, atol=1e-10
        )
        loo = zip(model.loo_predict(True), shared.loo_predict(True), strict=True)
        for a, b in loo:
            assert_allclose(a, b, rtol=1e-8)


@modes
def test_gradients_are_differences(make):
    model = make().fit(X, HOLES)
    kernels = model.kernel_ if isinstance(model.kernel_, list) else [model.kernel_]
    theta = np.concatenate([k.theta for k in kernels]) + 0.1
    for value in (model.log_marginal_likelihood, model.loo_log_predictive_density):
        found = value(theta, eval_gradient=True)
        assert found[0] == pytest.approx(value(theta), rel=1e-12)
        wanted = numeric_gradient(value, theta)
        assert_allclose(found[1], wanted, rtol=1e-5, atol=1e-6 * abs(wanted).max())
    std = partial(model.predict, return_std=True)
    slopes = model.predict_gradient(Z, return_std=True)
    for k, slope in enumerate(slopes):
        assert slope.shape == (len(Z), 2, T)
        wanted = numeric_gradient(lambda A, k=k: std(A)[k], Z, step=1e-5)
        assert_allclose(slope, wanted, rtol=1e-5, atol=1e-7)


def test_leaving_one_observation_out_is_a_fit_without_it():
    model = ICM(long_kernel()).fit(X, HOLES)
    mean, std = model.loo_predict(return_std=True)
    assert (np.isnan(mean) == np.isnan(HOLES)).all()
    assert (np.isnan(std) == np.isnan(HOLES)).all()
    for i, j in np.argwhere(~np.isnan(HOLES))[::7]:
        rest = HOLES.copy()
        rest[i, j] = np.nan
        one = clone(model).fit(X, rest).predict(X[[i]], True)
        assert_allclose([mean[i, j], std[i, j]], [v[0, j] for v in one], rtol=1e-6)


def test_draws_are_correlated_as_the_outputs_are():
    model = ICM(long_kernel()).fit(X, HOLES)
    draws = model.sample_y(Z, 40000, random_state=0)
    assert draws.shape == (len(Z), T, 40000)
    mean, joint = model.predict(Z, return_cov="joint")
    flat = draws.reshape(-1, 40000)
    assert_allclose(flat.mean(1), mean.ravel(), atol=0.02)
    assert_allclose(np.cov(flat), joint.reshape(15, 15), atol=0.03)


# --- outputs apart --------------------------------------------------------------------

OPTIONS = {
    "plain": {},
    "normalized": {"normalize_y": True},
    "trend": {"mean": "linear"},
    "regressor": {"mean": LinearRegression()},
    "transform": {"target_transform": PowerTransformer()},
    "loo": {"objective": "loo"},
    "float32": {"dtype": "float32"},
    "vecchia": {"method": "vecchia", "n_neighbors": 5, "random_state": 0},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_outputs_apart_are_models_of_each(options):
    one = TorchGPRegressor(KERNEL, **options)
    several = clone(one).set_params(multi_output="independent", missing="mask")
    several.fit(X, HOLES)
    many = np.full((5, T), 0.1)
    asks = {
        "std": lambda m: m.predict(Z, return_std=True),
        "cov": lambda m: m.predict(Z, return_cov=True),
        "interval": lambda m: [m.predict_interval(Z)],
        "slopes": lambda m: m.predict_gradient(Z, return_std=True),
    }
    for j in range(T):
        known = ~np.isnan(HOLES[:, j])
        single = clone(one).fit(X[known], HOLES[known, j])
        assert several.kernel_[j] == single.kernel_
        for ask in asks.values():
            for found, expected in zip(ask(several), ask(single), strict=True):
                assert_allclose(found[..., j], expected, rtol=1e-12)
        noisy = several.predict(Z, True, include_noise=True, noise_variance=many)
        alone = single.predict(Z, True, include_noise=True, noise_variance=many[:, j])
        assert_allclose(noisy[1][:, j], alone[1], rtol=1e-12)
        density = several.log_predictive_density(Z, many, noise_variance=many)
        alone = single.log_predictive_density(Z, many[:, j], many[:, j])
        assert_allclose(density[:, j], alone, rtol=1e-12)
        for found, expected in zip(
            several.loo_predict(True), single.loo_predict(True), strict=True
        ):
            assert_allclose(found[known, j], expected, rtol=1e-12)
            assert np.isnan(found[~known, j]).all()
    values = [e.log_marginal_likelihood_value_ for e in several.estimators_]
    assert several.log_marginal_likelihood() == pytest.approx(sum(values))


def test_outputs_apart_are_scikit_learns_wrapper():
    several = TorchGPRegressor(KERNEL, multi_output="independent").fit(X, Y)
    wrapped = MultiOutputRegressor(TorchGPRegressor(KERNEL)).fit(X, Y)
    assert_allclose(several.predict(Z), wrapped.predict(Z), rtol=1e-12)
    alone = clone(several).set_params(optimizer=None).fit(X, Y)
    with parallel_config("threading"):
        found = clone(several).set_params(n_jobs=2).fit(X, Y)
        again = clone(alone).set_params(n_jobs=2).fit(X, Y)
    assert_allclose(again.predict(Z), alone.predict(Z), rtol=1e-10)
    # Side by side BLAS may have other threads, and with them other last digits, which
    # move the place where an optimiser ends, but not how high that is.
    for a, b in zip(found.estimators_, several.estimators_, strict=True):
        reached, expected = (m.log_marginal_likelihood_value_ for m in (a, b))
        assert reached == pytest.approx(expected, abs=1e-4)


def test_warnings_name_the_target():
    kernel = RBF(1.0, (0.9, 1.1)) + WhiteKernel(0.1)
    model = TorchGPRegressor(kernel, multi_output="independent")
    with pytest.warns(ConvergenceWarning, match="So for target 2"):
        model.fit(X, np.c_[Y[:, 0], Y[:, 0], X[:, 0] * 50])


# --- what comes with the rows ---------------------------------------------------------


@modes
def test_weights_are_copies(make):
    weight = np.arange(len(X)) % 3
    copies = np.repeat(np.arange(len(X)), weight)
    model = make(normalize_y=True, optimizer=None)
    weighted = model.fit(X, HOLES, sample_weight=weight)
    repeated = clone(model).fit(X[copies], HOLES[copies])
    pairs = (m.predict(Z, return_std=True) for m in (weighted, repeated))
    for a, b in zip(*pairs, strict=True):
        assert_allclose(a, b, rtol=1e-6)
    assert weighted.loo_predict().shape == (*weighted.X_train_.shape[:1], T)


def test_known_noise_is_in_units_of_y():
    scale = np.array([1.0, 1e3, 1e-3])
    noise = np.random.RandomState(1).uniform(0.01, 0.3, HOLES.shape)
    dense = Dense(X, HOLES, B, NOISE)
    dense.K += np.diag(noise.T.ravel()[dense.known])
    model = ICM(long_kernel()).fit(X, HOLES, noise_variance=noise)
    assert_allclose(model.predict(Z), dense.joint(Z)[0], rtol=1e-6, atol=1e-9)
    # alpha for each row is the same as known noise of the row.
    alpha = ICM(long_kernel(), alpha=noise[:, 0]).fit(X, HOLES)
    known = ICM(long_kernel(), alpha=0.0).fit(X, HOLES, noise_variance=noise[:, 0])
    assert_allclose(alpha.predict(Z), known.predict(Z), rtol=1e-10)
    one = ICM(KERNEL, normalize_y=True).fit(X, HOLES, noise_variance=noise)
    other = clone(one).fit(X, HOLES * scale, noise_variance=noise * scale**2)
    for a, b in zip(one.predict(Z, True), other.predict(Z, True), strict=True):
        assert_allclose(b, a * scale, rtol=1e-7)


@modes
def test_more_rows_without_a_new_fit(make):
    model = pickle.loads(pickle.dumps(make().fit(X[:11], HOLES[:11])))
    model.partial_fit(X[11:], HOLES[11:])
    again = make() if make is APART else ICM(model.kernel_)
    again.fit(X, HOLES)
    assert model.X_train_.shape == X.shape
    assert_allclose(model.y_train_, HOLES)
    for ask in (
        lambda m: m.predict(Z, return_std=True),
        lambda m: m.loo_predict(return_std=True),
        lambda m: [m.log_marginal_likelihood()],
    ):
        for found, expected in zip(ask(model), ask(again), strict=True):
            assert_allclose(found, expected, rtol=1e-7)
    with pytest.raises(ValueError, match=r"2 target\(s\).*\(17, 3\).*\(4, 3\)"):
        model.partial_fit(X[:4], Y[:4, :2])
    assert model.X_train_.shape == X.shape


# --- a fit ----------------------------------------------------------------------------


def nlpd(model, X, y):
    return -model.log_predictive_density(X, y).mean(0)


def test_correlated_outputs_tell_of_each_other():
    """What one output says of the other's half that is missing is worth a lot."""
    gains = []
    for seed in range(4):
        X, Y, X_new, Y_new = simulated(seed)
        apart, icm = (
            TorchGPRegressor(
                AMPLITUDE, multi_output=mode, missing="mask", normalize_y=True
            ).fit(X, Y)
            for mode in ("independent", "icm")
        )
        gains.append(nlpd(apart, X_new, Y_new) - nlpd(icm, X_new, Y_new))
        outputs = icm.kernel_.k1.k2.kernel.B
        correlation = outputs[0, 1] / np.sqrt(outputs[0, 0] * outputs[1, 1])
        assert correlation == pytest.approx(CORRELATION, abs=0.1)
    gains = np.array(gains)
    assert (gains[:, 1] > 0.1).all()
    assert gains[:, 1].mean() > 0.2
    assert abs(gains[:, 0]).max() < 0.1  # of which nothing is missing


def test_a_fit_of_all_outputs_climbs_above_uncorrelated_ones():
    fits = [
        TorchGPRegressor(KERNEL, multi_output="icm", rank=rank).fit(X, Y)
        for rank in (0, 1, 2, 3)
    ]
    values = [model.log_marginal_likelihood_value_ for model in fits]
    assert values[1] > values[0] + 5
    assert values[2] > values[1] - 1e-3
    assert values[3] > values[2] - 1e-2
    for model, rank in zip(fits, range(4), strict=True):
        outputs = model.kernel_.k1.k2.kernel
        assert outputs.rank == rank
        assert np.linalg.eigvalsh(outputs.B).min() > 0


def test_the_kernel_of_the_features_gives_the_start():
    kernel = 2.0 * RBF([0.8, 1.4]) + WhiteKernel(0.3, (1e-3, 1e2)) + WhiteKernel(0.1)
    start = ICM(kernel, rank=2).fit(X, HOLES).kernel_
    assert start.k1.k1.kernel == ConstantKernel(2.0, "fixed") * RBF([0.8, 1.4])
    assert_allclose(start.k2.k2.kernel.kappa, 0.4)
    assert start.k2.k2.kernel.kappa_bounds == (1e-3, 1e2)
    found = 2.0 * np.diag(start.k1.k2.kernel.B)
    assert_allclose(found, np.nanmean(HOLES**2, axis=0), rtol=1e-7)
    start = ICM(RBF()).fit(X, HOLES).kernel_  # noise of a tenth
    assert_allclose(start.k2.k2.kernel.kappa, 0.1 * np.nanmean(HOLES**2, axis=0))


def test_warm_start_goes_on():
    for mode in ("independent", "icm"):
        model = TorchGPRegressor(KERNEL, multi_output=mode, warm_start=True).fit(X, Y)
        first = sum(r.n_evaluations for r in model.optimizer_results_)
        value = model.log_marginal_likelihood_value_
        model.fit(X, Y)
        assert sum(r.n_evaluations for r in model.optimizer_results_) < 0.7 * first
        assert model.log_marginal_likelihood_value_ > value - 1e-4
        shared = model.set_params(multi_output="shared").fit(X, Y)
        assert shared.kernel_ == TorchGPRegressor(KERNEL).fit(X, Y).kernel_


# --- nasty data -----------------------------------------------------------------------

BOTH = ("independent", "icm")


def nasty():
    two = Y[:, :2].copy()
    constant = np.c_[two[:, 0], np.full(len(X), 5.0)]
    few = two.copy()
    few[1:, 1] = np.nan
    return {
        "one row": (X[:1], two[:1]),
        "one target": (X, two[:, :1]),
        "one target, no axis": (X, two[:, 0]),
        "constant": (X, constant),
        "all zero": (X, 0 * two),
        "duplicates": (np.repeat(X[:6], 3, axis=0), np.repeat(two[:6], 3, axis=0)),
        "one value": (X, few),
        "apart": (X, np.where(np.arange(len(X))[:, None] % 2 == [0, 1], two, np.nan)),
        "the same": (X, two[:, [0, 0]]),
    }


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("X", "y"), nasty().values(), ids=nasty())
@pytest.mark.parametrize("normalize_y", [False, True])
@pytest.mark.parametrize("mode", BOTH)
def test_nasty_data(X, y, normalize_y, mode):
    model = TorchGPRegressor(
        KERNEL, multi_output=mode, missing="mask", normalize_y=normalize_y
    ).fit(X, y)
    t = y.shape[1] if y.ndim == 2 else 1
    mean, std = model.predict(Z, return_std=True)
    assert mean.shape == ((len(Z), t) if t > 1 else (len(Z),))
    assert np.isfinite(mean).all()
    assert (std > 0).all()
    joint = model.predict(Z, return_cov="joint")[1]
    assert joint.shape == (len(Z), t, len(Z), t)
    flat = joint.reshape(len(Z) * t, -1)
    assert np.linalg.eigvalsh(flat).min() > -1e-9 * flat.max()
    assert np.isfinite(model.log_marginal_likelihood())
    assert model.y_train_.shape == y.shape


@pytest.mark.parametrize("normalize_y", [False, True])
def test_a_target_of_another_scale_is_the_same_target(normalize_y):
    fits = [
        TorchGPRegressor(
            RBF([0.8, 1.4]), multi_output="icm", missing="mask", normalize_y=normalize_y
        ).fit(X, HOLES * scale)
        for scale in (np.ones(T), np.array([1.0, 1e8, 1.0]))
    ]
    one, other = (model.predict(Z, return_std=True) for model in fits)
    for a, b in zip(one, other, strict=True):
        assert_allclose(b / [1.0, 1e8, 1.0], a, rtol=2e-3, atol=1e-4)


def test_rows_of_which_nothing_is_known_are_none():
    known = ~np.isnan(HOLES).all(1)
    one, other = ICM(KERNEL).fit(X, HOLES), ICM(KERNEL).fit(X[known], HOLES[known])
    assert_allclose(one.predict(Z), other.predict(Z), rtol=1e-10)
    assert one.X_train_.shape == X.shape


# --- as an estimator ------------------------------------------------------------------


@modes
def test_pickles_and_later_fits_of_another_mode(make):
    model = make(normalize_y=True).fit(X, HOLES)
    again = pickle.loads(pickle.dumps(model))
    assert_allclose(again.predict(Z, True), model.predict(Z, True))
    fresh = clone(model).set_params(multi_output="shared", missing="error").fit(X, Y)
    model.set_params(multi_output="shared", missing="error").fit(X, Y)
    assert vars(model).keys() == vars(fresh).keys()
    assert_allclose(model.predict(Z), fresh.predict(Z))
    back = make(normalize_y=True)
    model.set_params(**back.get_params()).fit(X, HOLES)
    assert vars(model).keys() - {"_rng"} == vars(again).keys() - {"_rng"}
    assert_allclose(model.predict(Z), again.predict(Z))


def test_a_factor_that_there_is_not_says_where_it_is():
    model = APART().fit(X, Y)
    with pytest.raises(AttributeError, match="'L_'.*estimators_"):
        model.L_  # noqa: B018


@modes
def test_a_failed_fit_changes_nothing(make):
    model = make().fit(X, Y)
    before = dict(vars(model))
    nothing = Y.copy()
    nothing[:, 1] = np.nan
    with pytest.raises(ValueError, match="missing in every row of target 1"):
        model.fit(X, nothing)
    assert vars(model) == before


@modes
def test_tensors_and_frames(make):
    expected = make().fit(X, HOLES).predict(Z, True)
    model = make().fit(torch.tensor(X), torch.tensor(HOLES))
    assert isinstance(model.X_train_, torch.Tensor)
    for one, other in zip(model.predict(torch.tensor(Z), True), expected, strict=True):
        assert isinstance(one, torch.Tensor)
        assert_allclose(one.cpu(), other)
    frame = pd.DataFrame(X, columns=["a", "b"])
    named = Columns(RBF(0.8), "a") * Columns(RBF(1.4), ["b"]) + WhiteKernel(0.1)
    model = make().set_params(kernel=named).fit(frame, pd.DataFrame(HOLES))
    plain = make().set_params(kernel=RBF([0.8, 1.4]) + WhiteKernel(0.1)).fit(X, HOLES)
    found = model.predict(pd.DataFrame(Z, columns=["a", "b"]))
    assert_allclose(found, plain.predict(Z), rtol=1e-8)
    if make is not APART:
        kernel = Columns(RBF(0.8), "a") * Columns(Coregion(T, 1, W[:, :1]), "output")
        model = ICM(kernel + WhiteKernel(0.1)).fit(frame, HOLES)
        assert_allclose(model.kernel_.k1.k2.kernel.W, W[:, :1])


def test_summary():
    model = APART().fit(X, HOLES)
    table = model.summary()
    names = [row["name"] for row in table.as_dict()["hyperparameters"]]
    assert names[4] == "target 1: k1__k1__constant_value"
    model = ICM(KERNEL, rank=2).fit(X, HOLES)
    rows = model.summary().as_dict()["hyperparameters"]
    assert sum("W[" in row["name"] for row in rows) == 2 * T
    assert "W[5]" in str(model.summary())


def test_displays_of_one_kernel_ask_for_one():
    pytest.importorskip("matplotlib").use("Agg")
    model = APART().fit(X, HOLES)
    for display in (LengthScaleDisplay, LogMarginalLikelihoodDisplay):
        with pytest.raises(ValueError, match="3 targets.*'estimators_'"):
            display.from_estimator(model)
        display.from_estimator(model.estimators_[0])
    shown = LeaveOneOutDisplay.from_estimator(model, X, HOLES, target=1)
    assert_allclose(shown.y_pred, model.loo_predict()[~np.isnan(HOLES[:, 1]), 1])


def test_summaries_of_elements_that_are_fixed():
    kernel = with_bounds(RBF([0.8, 1.4]), length_scale_bounds=["fixed", (0.1, 10.0)])
    model = Fixed(kernel + WhiteKernel(0.1)).fit(X, Y)
    first, second, noise = model.summary().as_dict()["hyperparameters"]
    assert (first["value"], first["bounds"]) == (0.8, None)
    assert (second["value"], second["bounds"]) == (1.4, (0.1, 10.0))
    assert noise["name"] == "k2__noise_level"


BAD = {
    "mode": ({"multi_output": "all"}, "'multi_output'.*'shared'.*'icm'.*'all'"),
    "missing": ({"missing": "drop"}, "'missing'.*'error', 'mask'.*'drop'"),
    "shared and missing": (
        {"missing": "mask"}, "'missing'.*'mask'.*'shared'.*'independent' or 'icm'"
    ),
    "rank": ({"multi_output": "icm", "rank": -1}, "'rank'.*integer.*-1"),
    "no rank": ({"multi_output": "icm", "rank": 1.5}, "'rank'.*integer.*1.5"),
    "high rank": ({"multi_output": "icm", "rank": 4}, r"'rank'.*4.*3 target\(s\)"),
    "trend": ({"multi_output": "icm", "mean": "linear"}, "'mean'.*'linear'.*'icm'"),
    "noise": (
        {"multi_output": "icm", "kernel": WhiteKernel()}, "'kernel'.*white noise only"
    ),
    "alpha": (
        {"multi_output": "icm", "alpha": np.ones(5)}, r"alpha must be.*\(5 != 17\)"
    ),
    "targets": ({"multi_output": "independent", "n_targets": 2}, "n_targets.*3 != 2"),
}  # fmt: skip


@pytest.mark.parametrize(("params", "message"), BAD.values(), ids=BAD)
def test_bad_parameters(params, message):
    model = TorchGPRegressor(**{"kernel": RBF(), **params})
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert not hasattr(model, "X_train_")


@pytest.mark.parametrize("mode", ["shared", *BOTH])
def test_missing_values_are_refused_unless_asked_for(mode):
    with pytest.raises(ValueError, match="NaN"):
        TorchGPRegressor(KERNEL, multi_output=mode).fit(X, HOLES)
    if mode != "shared":
        infinite = np.where(np.isnan(HOLES), np.inf, HOLES)
        with pytest.raises(ValueError, match="infinity"):
            TorchGPRegressor(KERNEL, multi_output=mode, missing="mask").fit(X, infinite)


@modes
def test_what_there_is_not(make):
    model = make().fit(X, Y)
    with pytest.raises(ValueError, match="sample_paths goes with.*'shared'.*sample_y"):
        model.sample_paths()
    with pytest.raises(ValueError, match="'return_cov'.*'joint'.*'each'"):
        model.predict(Z, return_cov="each")
    with pytest.raises(ValueError, match="'include_noise'.*'all'"):
        model.predict(Z, return_cov="joint", include_noise="all")
    quiet = [
        model.predict(Z, return_cov="joint", include_noise=value)[1]
        for value in (False, np.bool_(False))
    ]
    assert_allclose(*quiet)
    noisy = model.predict(Z, return_cov="joint", include_noise=True)[1]
    assert_allclose(
        np.einsum("ijij->ij", noisy),
        model.predict(Z, return_std=True, include_noise=True)[1] ** 2,
    )
    with pytest.raises(ValueError, match="theta has not the correct number"):
        model.log_marginal_likelihood([0.0])
    with pytest.raises(ValueError, match=r"y has shape \(5, 2\)"):
        model.log_predictive_density(Z, np.zeros((5, 2)))


def test_a_transform_of_correlated_outputs():
    model = ICM(KERNEL, target_transform=PowerTransformer(), mean=LinearRegression())
    model.fit(X, HOLES)
    assert model.sample_y(Z, 4).shape == (5, T, 4)
    quantiles = model.predict_quantiles(Z, [0.1, 0.5, 0.9])
    assert (np.diff(quantiles, axis=1) > 0).all()
    with pytest.raises(ValueError, match="'return_cov'.*'joint'.*'target_transform'"):
        model.predict(Z, return_cov="joint")
    for j in range(T):
        known = ~np.isnan(HOLES[:, j])
        part = model._targets().parts[j]
        direct = LinearRegression()
        z = PowerTransformer().fit_transform(HOLES[known][:, [j]])
        direct.fit(X[known], z[:, 0])
        assert_allclose(part.regressor.coef_, direct.coef_)


def test_a_trend_of_correlated_outputs_is_one_of_each():
    model = ICM(KERNEL, mean=LinearRegression()).fit(X, HOLES)
    trends = [part.regressor for part in model._targets().parts]
    at_X, at_Z = (np.column_stack([t.predict(A) for t in trends]) for A in (X, Z))
    rest = ICM(KERNEL).fit(X, HOLES - at_X)
    assert_allclose(model.predict(Z), rest.predict(Z) + at_Z, rtol=1e-9)
    assert_allclose(model.loo_predict(), rest.loo_predict() + at_X, rtol=1e-9)
    coef = np.column_stack([t.coef_ for t in trends])
    slopes = model.predict_gradient(Z), rest.predict_gradient(Z) + coef
    assert_allclose(*slopes, rtol=1e-6)


@pytest.mark.parametrize("mode", BOTH)
def test_one_target_learns_more_rows(mode):
    model = Fixed(KERNEL, multi_output=mode).fit(X[:9], Y[:9, 0])
    model.partial_fit(X[9:], Y[9:, 0])
    assert_allclose(model.y_train_, Y[:, 0])
    again = Fixed(model.kernel_ if mode == "icm" else KERNEL, multi_output=mode)
    assert_allclose(model.predict(Z), again.fit(X, Y[:, 0]).predict(Z), rtol=1e-8)


def test_rows_that_are_no_numbers():
    words, y = ["ab", "bc", "abc", "d"], np.arange(8.0).reshape(4, 2)
    y[1, 0] = np.nan
    options = dict(alpha=0.1, optimizer=None, missing="mask")
    apart = TorchGPRegressor(Letters(), multi_output="independent", **options)
    one = TorchGPRegressor(Letters(), alpha=0.1, optimizer=None)
    one.fit(["ab", "abc", "d"], y[[0, 2, 3], 0])
    found = apart.fit(words, y).predict(["bd"])
    assert_allclose(found[:, 0], one.predict(["bd"]))
    with pytest.raises(ValueError, match="'multi_output'.*'icm'.*numeric"):
        TorchGPRegressor(Letters(), multi_output="icm", **options).fit(words, y)
