"""kernel="auto": a usual kernel with priors, in units of the data."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._model import default
from sklearn_torchgp._model.default import default_model, feature_units
from sklearn_torchgp.kernels import TiedMatern
from sklearn_torchgp.priors import LogNormal

SCALE = "k1__k2__length_scale"


def surface(n=60, d=3, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2, 2, (n, d))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] ** 2 / 3 + 0.1 * rng.standard_normal(n)


X, Y = surface()
LABELS = np.array(["a", "b", "c"])[np.digitize(Y, np.quantile(Y, [0.3, 0.7]))]


# --- the model ------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 4])
@pytest.mark.parametrize("noise", [True, False])
def test_what_it_is(d, noise):
    model = default_model(np.full(d, 3.0), noise=noise)
    kernel = model.kernel
    matern = (kernel.k1 if noise else kernel).k2
    assert type(matern) is Matern
    assert matern.nu == 2.5
    assert np.size(matern.length_scale) == d
    assert kernel.n_dims == d + 1 + 3 * noise
    if noise:
        short, white = kernel.k2.k1.k2, kernel.k2.k2
        assert (type(short), short.nu, type(white)) == (TiedMatern, 0.5, WhiteKernel)
        ratio = np.ravel(short.length_scale) / np.ravel(matern.length_scale)
        np.testing.assert_allclose(ratio, ratio[0])
        assert ratio[0] < 0.2
    free = {h.name for h in kernel.hyperparameters}
    assert model.priors.keys() == free
    lower, upper = kernel.bounds.T
    for start in model.starts:
        assert start.shape == kernel.theta.shape
        assert (lower < start).all()
        assert (start < upper).all()
    np.testing.assert_array_equal(model.starts[0], kernel.theta)


def test_priors_are_in_units_of_the_features_and_grow_with_their_number():
    units = np.array([1.0, 1e6, 1e-3, 2.0])
    priors = default_model(units, noise=True).priors[SCALE]
    mode = [np.exp(prior.loc - prior.scale**2) for prior in priors]
    np.testing.assert_allclose(mode, 5.0 * 2.0 * units, rtol=1e-12)
    one = default_model(np.ones(1), noise=True).priors[SCALE]
    many = default_model(np.ones(100), noise=True).priors[SCALE][0]
    short = default_model(units, noise=True).priors["k2__k1__k2__length_scale"]
    geometric_mean = 2.0 * np.exp(np.log(units).mean())
    assert np.exp(short.loc - short.scale**2) == pytest.approx(0.5 * geometric_mean)
    assert many.loc - one.loc == pytest.approx(np.log(100) / 2)
    assert many.scale == one.scale


def test_units_of_features():
    rng = np.random.RandomState(0)
    z = rng.standard_normal(1000)
    rare = (np.arange(1000) == 3).astype(float)
    columns = [z, 1e6 * z, 1e-200 * z, 1e200 * z, rare, 7 * rare, 0 * z, 0.1 + 0 * z]
    deviation = z.std()
    expected = deviation * np.array([1, 1e6, 1e-200, 1e200]), [0.5, 3.5, 1.0, 1.0]
    found = feature_units(np.column_stack(columns))
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-10)
    np.testing.assert_array_equal(feature_units(np.array([[3.0, 1e8]])), [1.0, 1.0])
    weight = rng.randint(1, 4, 60)
    found, expected = feature_units(X, weight), feature_units(X.repeat(weight, axis=0))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_best_of_the_starts_goes_on(monkeypatch):
    """A few steps from the first one alone leave a fast wave called noise."""
    rows, usual = X[:, :1], default.STARTS
    wave = np.sin(8 * X[:, 0]) + 0.05 * np.random.RandomState(1).standard_normal(60)
    expected = TorchGPRegressor("auto").fit(rows, wave)
    monkeypatch.setattr(default, "STARTS", ((4000.0, 5.0), *usual[1:]))
    model = TorchGPRegressor("auto").fit(rows, wave)
    assert model.log_posterior_ == pytest.approx(expected.log_posterior_, abs=0.1)
    assert len(model.optimizer_results_) == 1
    monkeypatch.setattr(default, "STEPS", 5)
    begun = TorchGPRegressor("auto").fit(rows, wave).optimizer_results_[0].path[0][1]
    monkeypatch.setattr(default, "STARTS", ((4000.0, 5.0),))
    alone = TorchGPRegressor("auto").fit(rows, wave).optimizer_results_[0].path[0][1]
    assert alone < begun - 5


# --- regression -----------------------------------------------------------------------


def test_a_fit_is_one_with_the_usual_kernel_and_priors():
    auto = TorchGPRegressor("auto").fit(X, Y)
    kernel, priors = auto.kernel_, default_model(feature_units(X), noise=True).priors
    assert type(kernel.k1.k2) is Matern
    same = TorchGPRegressor(kernel, priors=priors, normalize_y=True).fit(X, Y)
    assert same.log_posterior_ == pytest.approx(auto.log_posterior_, abs=1e-4)
    np.testing.assert_allclose(same.predict(X), auto.predict(X), atol=1e-2)
    assert auto.score(X, Y) > 0.95
    assert auto.y_train_.std() == pytest.approx(1.0)
    # It says what it is: the kernel stays "auto".
    assert clone(auto).kernel == "auto"
    assert "kernel='auto'" in repr(auto)
    assert clone(auto).fit(X, Y).kernel_ == kernel
    back = pickle.loads(pickle.dumps(auto))
    np.testing.assert_array_equal(back.predict(X), auto.predict(X))
    assert "length_scale" in str(auto.summary())


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_answers_do_not_depend_on_units(kind):
    factor, shift = np.array([1e6, 1e-6, 1.0]), np.array([1e7, 0.0, -5.0])
    if kind == "regressor":
        one = TorchGPRegressor("auto").fit(X, Y)
        other = TorchGPRegressor("auto").fit(X * factor + shift, 1e5 * Y + 1e6)
        found = (other.predict(X * factor + shift) - 1e6) / 1e5
        np.testing.assert_allclose(found, one.predict(X), atol=1e-3)
        assert other.log_marginal_likelihood_value_ == pytest.approx(
            one.log_marginal_likelihood_value_, abs=1e-2
        )
        return
    one = TorchGPClassifier("auto").fit(X, LABELS)
    other = TorchGPClassifier("auto").fit(X * factor + shift, LABELS)
    found = other.predict_proba(X * factor + shift)
    np.testing.assert_allclose(found, one.predict_proba(X), atol=1e-3)


def nasty(name):
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(X, columns=list("abc")).assign(
        hot=np.arange(60) == 3, count=rng.randint(0, 5, 60), still=0.1
    )
    return {
        "one row": (X[:1], Y[:1]),
        "two rows": (X[:2], Y[:2]),
        "one feature": (X[:, :1], Y),
        "constant y": (X, np.full(60, 3.7)),
        "zero y": (X, np.zeros(60)),
        "constant features": (np.ones((60, 2)), Y),
        "one-hot": (np.c_[X, np.eye(4)[rng.randint(0, 4, 60)]], Y),
        "duplicates": (np.r_[X, X], np.r_[Y, Y + 0.01]),
        "exact duplicates": (np.r_[X, X], np.r_[Y, Y]),
        "features by 1e6": (1e6 * X, Y),
        "y by 1e8": (X, 1e8 * Y),
        "many features": (rng.standard_normal((12, 40)), Y[:12]),
        "frame": (frame, Y),
        "two targets": (X, np.c_[Y, -5 * Y**2]),
        "integers": (rng.randint(0, 5, (60, 2)), Y),
        "float32": (X.astype(np.float32), Y.astype(np.float32)),
    }[name]


NASTY = (
    "one row", "two rows", "one feature", "constant y", "zero y", "constant features",
    "one-hot", "duplicates", "exact duplicates", "features by 1e6", "y by 1e8",
    "many features", "frame", "two targets", "integers", "float32",
)  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_nasty_data_fit_without_a_warning(name):
    rows, y = nasty(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = TorchGPRegressor("auto").fit(rows, y)
        mean, std = model.predict(rows, return_std=True)
    scale = max(np.std(y), 1e-3)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    assert (np.abs(mean - y) < 4 * scale).all()
    assert np.isfinite(model.log_posterior_)
    if name in ("constant y", "zero y", "one row"):
        np.testing.assert_allclose(mean, y, atol=1e-8)


def other_optimizer(obj_func, initial_theta, bounds):
    return initial_theta, obj_func(initial_theta)[0]


WAYS = {
    "loo": {"objective": "loo"},
    "callable": {
        "objective": lambda e, theta, g: e.log_marginal_likelihood(
            theta, eval_gradient=g
        )
    },
    "coarse-to-fine": {"optimizer": "coarse-to-fine"},
    "other optimizer": {"optimizer": other_optimizer},
    "no optimizer": {"optimizer": None},
    "restarts": {"n_restarts_optimizer": 2, "random_state": 0},
    "mixed": {"dtype": "mixed"},
    "single": {"dtype": "float32"},
    "vecchia": {"method": "vecchia", "n_neighbors": 10},
    "trend": {"mean": "linear"},
    "own prior": {"priors": {SCALE: LogNormal(0.0, 1.0)}},
}


@pytest.mark.parametrize("way", WAYS)
def test_it_goes_with_every_way_of_fitting(way):
    rows, y = surface(620 if way == "coarse-to-fine" else 80)
    with warnings.catch_warnings():
        if way == "single":  # round-off may end its line search
            warnings.simplefilter("ignore", ConvergenceWarning)
        model = TorchGPRegressor("auto", **WAYS[way]).fit(rows, y)
    assert model.score(rows, y) > (0.0 if "optimizer" in way else 0.95)
    assert model.log_posterior_ < model.log_marginal_likelihood_value_ + 50
    assert model.kernel_.n_dims == 7


def test_several_targets_have_a_default_each():
    Y2 = np.c_[Y, Y**2]
    model = TorchGPRegressor("auto", multi_output="independent").fit(X, Y2)
    alone = [TorchGPRegressor("auto").fit(X, y) for y in Y2.T]
    assert model.log_posterior_ == pytest.approx(sum(m.log_posterior_ for m in alone))
    assert model.kernel_ == [m.kernel_ for m in alone]
    with pytest.raises(ValueError, match="'kernel' parameter is 'auto'.*independent"):
        TorchGPRegressor("auto", multi_output="icm").fit(X, Y2)


def test_own_priors_take_the_place_of_its_own():
    pin = {SCALE: LogNormal(np.log(0.7), 1e-3)}
    model = TorchGPRegressor("auto", priors=pin).fit(X, Y)
    np.testing.assert_allclose(model.kernel_.k1.k2.length_scale, 0.7, rtol=5e-3)
    with pytest.raises(ValueError, match="'priors'.*'length_scale'.*k1__k2__length"):
        TorchGPRegressor("auto", priors={"length_scale": pin[SCALE]}).fit(X, Y)


def test_a_warm_start_after_another_kernel_has_the_smoothness_of_its_own():
    rough = 1.0 * Matern(nu=0.5) + WhiteKernel()
    warm = TorchGPRegressor(rough, warm_start=True).fit(X[:40], Y[:40])
    warm.set_params(kernel="auto").fit(X[:40], Y[:40])
    cold = TorchGPRegressor("auto").fit(X[:40], Y[:40])
    assert warm.log_posterior_ == pytest.approx(cold.log_posterior_, abs=1e-6)


def test_a_warm_start_after_several_outputs():
    targets = np.c_[Y, Y][:40]
    model = TorchGPRegressor("auto", warm_start=True, multi_output="independent")
    model.fit(X[:40], targets).set_params(multi_output="shared").fit(X[:40], Y[:40])
    assert np.isfinite(model.log_posterior_)


def test_a_warm_start_goes_on_with_new_rows():
    model = TorchGPRegressor("auto", warm_start=True).fit(X[:40], Y[:40])
    last = model.kernel_.theta
    smoothness = model.kernel_.k1.k2.nu
    record = model.fit(X, Y).optimizer_results_[0]
    np.testing.assert_allclose(record.theta_start, last, rtol=1e-12)
    assert model.kernel_.k1.k2.nu == smoothness
    cold = TorchGPRegressor("auto").fit(X, Y)
    assert model.log_posterior_ == pytest.approx(cold.log_posterior_, abs=1e-2)


def test_it_is_searched_over_beside_other_kernels():
    kernels = [RBF() + WhiteKernel(), "auto", None]
    search = GridSearchCV(
        TorchGPRegressor(normalize_y=True, alpha=1e-4), {"kernel": kernels}, cv=3
    ).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.argmax(search.cv_results_["mean_test_score"]) == 1


@pytest.mark.parametrize("estimator", [TorchGPRegressor, TorchGPClassifier])
def test_other_words_are_refused(estimator):
    with pytest.raises(ValueError, match="'kernel' parameter.*'auto'.*'matern'"):
        estimator("matern").fit(X, LABELS if estimator is TorchGPClassifier else Y)


def test_before_a_fit_there_is_the_prior_of_unit_features():
    mean, std = TorchGPRegressor("auto").predict(X, return_std=True)
    np.testing.assert_array_equal(mean, np.zeros(60))
    np.testing.assert_allclose(std, np.sqrt(1.15), rtol=1e-12)
    with pytest.raises(NotFittedError):
        TorchGPClassifier("auto").predict(X)


def test_rows_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="could not convert|dtype"):
        TorchGPRegressor("auto").fit(np.array([["a"], ["b"]]), [1.0, 2.0])


# Warnings: array libraries are missing.
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        TorchGPRegressor("auto", optimizer=None, alpha=1e-3),
        TorchGPClassifier("auto", optimizer=None),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def noise(n, rng):
    return rng.uniform(-1, 1, (n, 3)), rng.standard_normal(n)


def sine(n, rng):
    X = rng.uniform(0, 10, (n, 1))
    return X, np.sin(X[:, 0]) + 0.3 * rng.standard_normal(n)


@pytest.mark.parametrize("make", [noise, sine])
def test_intervals_cover_noise_and_a_noisy_sine(make):
    """95 % intervals: 90 to 98 % over ten draws, and no draw far off."""
    shares = []
    for draw in range(10):
        X, y = make(580, np.random.RandomState(draw))
        model = TorchGPRegressor("auto").fit(X[:80], y[:80])
        mean, std = model.predict(X[80:], return_std=True)
        shares.append(np.mean(np.abs(y[80:] - mean) < 1.96 * std))
    assert 0.91 < np.mean(shares) < 0.97
    assert min(shares) > 0.85


def test_noise_is_told_from_a_function():
    rng = np.random.RandomState(1)
    X, y = noise(150, rng)
    model = TorchGPRegressor("auto").fit(X, y)
    assert model.kernel_.k2.k2.noise_level > 0.8
    assert np.std(model.predict(X)) < 0.5


def test_copies_of_rows_are_known_and_others_are_noise():
    """y says nothing smooth, but every row has the same y each time it comes.

    Half of the new rows are copies of old ones. Without the shorter part there is one
    length scale for both, and what is no copy is far from where it is said to be.
    """
    rng = np.random.RandomState(0)
    places, values = rng.standard_normal((120, 3)), rng.standard_normal(120)
    seen = rng.randint(0, 60, 100)
    values += 2 * places[:, 0]
    model = TorchGPRegressor("auto").fit(places[seen], values[seen])
    copies, others = np.unique(seen), np.arange(60, 120)
    mean, std = model.predict(places, return_std=True)
    np.testing.assert_allclose(mean[copies], values[copies], atol=1e-2)
    assert (std[copies] < 1e-2).all()
    z = (values - mean)[others] / std[others]
    assert np.mean(np.abs(z) < 1.96) > 0.85
    assert np.sqrt(np.mean((values - mean)[others] ** 2)) < 1.3
    assert model.kernel_.k2.k1.k1.constant_value > 0.05


def test_a_few_copies_do_not_make_near_rows_known():
    """Four rows come twice with their y; new rows near old ones have y of their own."""
    for draw in range(3):
        rng = np.random.RandomState(draw)
        rows = rng.standard_normal((100, 4))
        y = rows[:, 0] + 0.4 * rng.standard_normal(100)
        rows[96:], y[96:] = rows[:4], y[:4]
        near = rows + 0.03 * rng.standard_normal(rows.shape)
        truth = rows[:, 0] + 0.4 * rng.standard_normal(100)
        mean, std = TorchGPRegressor("auto").fit(rows, y).predict(near, return_std=True)
        assert np.abs((truth - mean) / std).max() < 10


def test_a_smooth_function_without_noise_is_learned_as_one():
    def smooth(n, rng):
        X = rng.uniform(-1, 1, (n, 3))
        return X, np.exp(X[:, 0]) * np.sin(3 * X[:, 1])

    X, y = smooth(400, np.random.RandomState(0))
    model = TorchGPRegressor("auto").fit(X[:80], y[:80])
    assert model.kernel_.k1.k2.nu == np.inf
    assert model.kernel_.k2.k1.k1.constant_value < 1e-7  # no shorter part
    usual = clone(model.kernel_).set_params(k1__k2__nu=2.5)
    usual = TorchGPRegressor(usual, normalize_y=True).fit(X[:80], y[:80])
    gain = usual.predict(X[80:]) - y[80:], model.predict(X[80:]) - y[80:]
    assert np.std(gain[1]) < 0.2 * np.std(gain[0])
    # A function with kinks is not.
    rough = TorchGPRegressor("auto").fit(X[:80], np.abs(X[:80, 0]) + np.abs(X[:80, 1]))
    assert rough.kernel_.k1.k2.nu == 2.5


# --- classification -------------------------------------------------------------------


@pytest.mark.parametrize("multi_class", ["one_vs_rest", "one_vs_one", "softmax"])
@pytest.mark.parametrize("inference", ["laplace", "ep"])
def test_classifiers(inference, multi_class):
    model = TorchGPClassifier("auto", inference=inference, multi_class=multi_class)
    model.fit(X, LABELS)
    assert model.score(X, LABELS) > 0.75
    kernels = getattr(model.kernel_, "kernels", [model.kernel_])
    assert all(type(kernel.k2) is Matern for kernel in kernels)
    assert np.isfinite(model.log_posterior_)
    assert model.log_posterior_ != model.log_marginal_likelihood_value_
    assert clone(model).kernel == "auto"
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("inference", ["laplace", "ep", "vi"])
def test_a_separable_problem_has_an_optimum(inference):
    """Without priors the evidence grows with the amplitude, up to its bound."""
    y = X[:, 0] > 0
    model = TorchGPClassifier("auto", inference=inference).fit(X, y)
    lower, upper = model.kernel_.bounds.T
    assert (model.kernel_.theta > lower + 0.5).all()
    assert (model.kernel_.theta < upper - 0.5).all()
    if inference == "ep":
        free = TorchGPClassifier(model.kernel_, inference=inference).fit(X, y)
        assert free.kernel_.theta[0] > model.kernel_.theta[0] + 1


@pytest.mark.parametrize(
    ("rows", "y"),
    [
        (X[:2], [0, 1]),
        (np.c_[X, np.ones(60)], LABELS),
        (1e6 * X, LABELS),
        (np.r_[X, X], np.r_[LABELS, LABELS]),
        (pd.DataFrame(X, columns=list("abc")).assign(hot=np.arange(60) == 1), LABELS),
    ],
    ids=["two rows", "constant", "1e6", "duplicates", "frame"],
)
def test_nasty_data_of_classes_fit_without_a_warning(rows, y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = TorchGPClassifier("auto").fit(rows, y).predict_proba(rows)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)


def test_weights_of_classes_and_rows():
    weight = np.where(LABELS == "a", 2.0, 1.0)
    model = TorchGPClassifier("auto", class_weight="balanced")
    model.fit(X, LABELS, sample_weight=weight)
    assert model.score(X, LABELS) > 0.6
    fit = TorchGPRegressor("auto").fit(X, Y, sample_weight=weight)
    assert fit.score(X, Y) > 0.9
