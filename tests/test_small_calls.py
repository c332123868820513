"""What serves again between calls: quick, and never an old answer.

The oracle is a copy through pickle, which has the attributes and nothing else.
"""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import wave
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process import kernels as sk
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor, register_kernel
from sklearn_torchgp._covariance import Points, hyperparameters, registry
from sklearn_torchgp._model.state import Kept

FORM = {"dtype": torch.float64, "device": torch.device("cpu")}

# Of a posterior that no longer belongs to its kernel and rows.
pytestmark = pytest.mark.filterwarnings("ignore:Predicted variances smaller than 0")

KERNEL = ConstantKernel(1.3) * RBF(np.array([0.7, 0.9])) + WhiteKernel(0.1)
Z = np.random.RandomState(3).uniform(-2, 2, (4, 2))
THETA = KERNEL.theta + 0.1


def surface(n=25):
    X = np.random.RandomState(0).uniform(-2, 2, (n, 2))
    return X, np.sin(2 * X[:, 0]) + 0.3 * X[:, 1]


def regressor(**params):
    return TorchGPRegressor(KERNEL, optimizer=None, **params).fit(*surface())


def classifier(**params):
    X, y = surface()
    return TorchGPClassifier(KERNEL.k1, optimizer=None, **params).fit(X, y > 0)


def said(model, theta=THETA):
    """What a model says of new and old rows."""
    if isinstance(model, TorchGPClassifier):
        theta = theta[: model.kernel_.n_dims]
        answers = [model.predict_proba(Z), *model.latent_mean_and_variance(Z)]
    else:
        answers = [*model.predict(Z, return_std=True), *model.loo_predict()]
    return [*answers, *model.log_marginal_likelihood(theta, eval_gradient=True)]


def anew(model):
    return pickle.loads(pickle.dumps(model))


def check(model, change):
    """A change after a call says the same as where nothing was called before."""
    before = said(model)
    change(model)
    found, expected = said(model), said(anew(model))
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert not all(map(np.array_equal, found, before)), "the change changes nothing"


def write(name, place=0):
    def change(model):
        getattr(model, name).reshape(-1)[place] += 0.25

    return change


def assign(name, function):
    return lambda model: setattr(model, name, function(getattr(model, name)))


def in_kernel(**params):
    return lambda model: model.kernel_.set_params(**params)


def length_scale_in_place(model):
    model.kernel_.k1.k2.length_scale[0] = 0.4


def new_part_equal_to_the_old_and_then_written_to(model):
    model.kernel_.k1 = clone(model.kernel_.k1)
    said(model)
    model.kernel_.k1.k2.length_scale[1] = 2.0


def list_in_place(model):
    model.kernel_.k1.k2.length_scale = [0.7, 0.9]
    said(model)
    model.kernel_.k1.k2.length_scale[0] = 0.4


def theta_as_scikit_learn_sets_it(model):
    model.kernel_.theta = model.kernel_.theta + 0.3


CHANGES = {
    "alpha_ in place": write("alpha_"),
    "L_ in place": write("L_"),
    "X_train_ in place": write("X_train_", 3),
    "y_train_ in place": write("y_train_"),
    "alpha_": assign("alpha_", np.square),
    "L_": assign("L_", lambda L: 2 * L),
    "X_train_": assign("X_train_", lambda X: X[::-1].copy()),
    "y_train_": assign("y_train_", lambda y: y + 1),
    "alpha": assign("alpha", lambda alpha: alpha + 0.5),
    "_y_train_mean": assign("_y_train_mean", lambda mean: mean + 1),
    "length scale in place": length_scale_in_place,
    "length scale in a list": list_in_place,
    "a new part": new_part_equal_to_the_old_and_then_written_to,
    "theta": theta_as_scikit_learn_sets_it,
    "parameter": in_kernel(k1__k1__constant_value=3.0),
    "fixed": in_kernel(k2__noise_level_bounds="fixed"),
    "nu": lambda model: setattr(
        model, "kernel_", ConstantKernel() * Matern([0.7, 0.9]) + WhiteKernel()
    ),
    "dtype": assign("dtype", lambda _: "float32"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_a_regressor_takes_effect_at_once(name):
    model = regressor()
    if name == "fixed":  # theta is shorter then: only what needs none is asked
        before = said(model)
        CHANGES[name](model)
        with pytest.raises(ValueError, match="Should be 3; given are 4"):
            model.log_marginal_likelihood(THETA)
        assert_allclose(said(model, THETA[:3])[0], before[0])
        return
    check(model, CHANGES[name])


def test_nu_of_a_part_takes_effect_at_once():
    model = regressor()
    model.kernel_ = (
        ConstantKernel() * Matern(np.array([0.7, 0.9]), nu=0.5) + WhiteKernel()
    )
    check(model, in_kernel(k1__k2__nu=2.5))


def test_known_noise_and_weights_take_effect_at_once():
    X, y = surface()
    model = TorchGPRegressor(KERNEL, optimizer=None)
    model.fit(X, y, np.full(25, 2.0), np.full(25, 0.1))
    check(model, write("noise_variance_train_"))
    check(model, write("sample_weight_train_"))


@pytest.mark.parametrize("name", ["alpha_", "W_sr_", "L_", "X_train_", "y_train_"])
@pytest.mark.parametrize("inference", ["laplace", "ep", "vi"])
def test_a_change_of_a_classifier_takes_effect_at_once(name, inference):
    model = classifier(inference=inference)

    def change(model):
        array = getattr(model.base_estimator_, name)
        array.reshape(-1)[0] = 0.7 - array.reshape(-1)[0]

    check(model, change)


def test_arrays_that_torch_cannot_share_are_read_anew():
    model = regressor()
    model.alpha_ = model.alpha_.astype(np.float32)
    model.L_ = np.asfortranarray(model.L_)
    check(model, write("alpha_"))
    check(model, lambda model: np.multiply(model.L_, 2, out=model.L_))


def first_feature(params, X, Z):
    return ((X[:, :1] - Z[:, :1].mT) / params["length_scale"][0]).square().mul(-1).exp()


def test_registering_a_kernel_takes_effect_at_once():
    model, before = regressor(), registry.registered()

    def flat(params, X, Z):
        return (X[:, :1] - Z[:, :1].mT).square().mul(-1).exp() * params["length_scale"][
            0
        ]

    try:
        check(model, lambda _: register_kernel(RBF, first_feature))
    finally:
        for cls in registry.registered():
            registry.register(cls, before[cls])


def test_threads_get_no_wrong_value():
    model = regressor()
    thetas = [KERNEL.theta + 0.1 * k for k in range(8)]
    rows = [Z + 0.1 * k for k in range(8)]
    alone = [
        (*model.log_marginal_likelihood(t, True), *model.predict(R, return_std=True))
        for t, R in zip(thetas, rows, strict=True)
    ]

    def again(k):
        for _ in range(50):
            found = (
                *model.log_marginal_likelihood(thetas[k], True),
                *model.predict(rows[k], return_std=True),
            )
            for got, want in zip(found, alone[k], strict=True):
                assert_allclose(got, want, rtol=1e-11)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(again, range(8)))


@pytest.mark.parametrize("make", [regressor, classifier])
def test_calls_change_no_attribute_and_nothing_of_them_is_pickled(make):
    model = make()
    fresh = len(pickle.dumps(model))
    attributes = dict(vars(model))
    said(model)
    assert vars(model).keys() == attributes.keys()
    assert all(vars(model)[name] is value for name, value in attributes.items())
    assert len(pickle.dumps(model)) == fresh
    restored = anew(model)
    attributes = dict(vars(restored))
    said(restored)
    assert vars(restored).keys() == attributes.keys()


def test_many_rows_are_not_kept():
    X, y = wave(40)
    wide = np.random.RandomState(0).randn(40, 300)
    model = TorchGPRegressor(RBF(20.0) + WhiteKernel(), optimizer=None).fit(wide, y)
    model.predict(wide[:1])
    assert not model._kept.binding.holds(model, model._device_for(40))
    few = TorchGPRegressor(RBF() + WhiteKernel(), optimizer=None).fit(X, y)
    few.predict(X[:1])
    assert few._kept.binding.holds(few, few._device_for(40))


@pytest.mark.parametrize(
    "bounds",
    [
        [(1e-2, 1e2), (1e-3, 1e3)],
        ((1e-2, 1e2), (1e-3, 1e3)),
        [[1e-2, 1e2], [1e-3, 1e3]],
        np.array([[1e-2, 1e2], [1e-3, 1e3]]),
        [1e-2, 1e2],
        (np.float32(1e-2), np.int64(100)),
        "fixed",
    ],
    ids=repr,
)
def test_what_is_bound_serves_again_whatever_bounds_are_made_of(bounds):
    kernel = np.float32(1.3) * RBF([0.7, 0.9], bounds) + WhiteKernel(0.1)
    model = TorchGPRegressor(kernel, optimizer=None).fit(*surface())
    model.predict(Z)
    assert model._kept.binding.holds(model, model._device_for(25))


def test_a_workspace_serves_again_while_it_is_small_and_free():
    kept, points = Kept(), Points(np.ones((3, 2)), **FORM)
    with kept.workspace(points) as first:
        first.buffer("K", 3, 3)
        with kept.workspace(points) as second:
            assert second is not first
    with kept.workspace(points) as again:
        assert again is first
        again.buffer("large", 1100, 1100)
    with kept.workspace(points) as another:
        assert another is not first


def test_no_answer_depends_on_an_earlier_question():
    model = regressor()
    first = said(model)
    for theta in (THETA + 2, THETA - 2):
        model.log_marginal_likelihood(theta, eval_gradient=True)
    for got, want in zip(said(model), first, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("optimizer", [None, "fmin_l_bfgs_b"])
def test_what_a_fit_ended_with_serves_its_first_prediction(optimizer, monkeypatch):
    model = TorchGPRegressor(KERNEL, optimizer=optimizer).fit(*surface())
    expected = anew(model).predict(Z, return_std=True)
    monkeypatch.setattr(TorchGPRegressor, "_bind", None)
    assert_allclose(model.predict(Z, return_std=True), expected, rtol=1e-12)


# --- hyperparameters read from attributes ---------------------------------------------

READ = {
    "sum": KERNEL,
    "fixed": ConstantKernel(2.0, "fixed") * Matern(0.3, nu=1.5),
    "nothing free": ConstantKernel(2.0, "fixed") + WhiteKernel(1.0, "fixed"),
    "each its bounds": RBF([1.0, 2.0], [(1e-2, 1e2), (1e-3, 1e3)]),
    "list": RBF([1.0, 2.0]),
    "array of one": RBF(np.ones(1)),
    "integers": ConstantKernel(2) * RBF(3),
    "list of bounds": RBF(1.0, [1e-2, 1e2]),
    "power": (RBF() + sk.DotProduct(0.5)) ** 2,
    "pairwise": sk.PairwiseKernel(0.5, metric="laplacian"),
    "pairwise with options": sk.PairwiseKernel(
        metric="polynomial", pairwise_kernels_kwargs={"degree": 2}
    ),
    "periodic": sk.ExpSineSquared() * sk.RationalQuadratic(),
}


@pytest.mark.parametrize("name", READ)
def test_hyperparameters_are_what_the_kernel_says(name):
    kernel = READ[name]
    np.testing.assert_array_equal(hyperparameters.theta(kernel), kernel.theta)
    np.testing.assert_array_equal(hyperparameters.bounds(kernel), kernel.bounds)
    assert hyperparameters.n_dims(kernel) == kernel.n_dims
    copy = hyperparameters.copied(kernel)
    assert copy == clone(kernel)
    assert copy is not kernel
    assert vars(copy).keys() == vars(clone(kernel)).keys()
    if kernel.n_dims:
        copy.theta = copy.theta + 1
        assert not np.array_equal(copy.theta, kernel.theta)


@pytest.mark.parametrize("name", [n for n in READ if READ[n].n_dims])
def test_a_theta_is_set_as_by_the_kernel_itself(name):
    ours, theirs = hyperparameters.copied(READ[name]), clone(READ[name])
    theta = theirs.theta + np.linspace(0.1, 0.2, theirs.n_dims)
    hyperparameters.set_theta(ours, theta)
    theirs.theta = theta
    assert repr(ours) == repr(theirs)
    np.testing.assert_array_equal(ours.theta, theirs.theta)
    kinds = [
        [type(value) for value in kernel.get_params().values()]
        for kernel in (ours, theirs)
    ]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("length", [3, 5])
def test_a_theta_of_another_length_is_refused_and_nothing_changes(length):
    """As scikit-learn does, also where an optimiser of the user's answers so."""
    refused = pytest.raises((ValueError, IndexError), match="number of entries|bounds")
    with refused:
        hyperparameters.set_theta(hyperparameters.copied(KERNEL), np.zeros(length))
    wrong = lambda objective, theta, bounds: (np.zeros(length), 0.0)  # noqa: E731
    model = TorchGPRegressor(KERNEL, optimizer=wrong)
    with refused:
        model.fit(*surface())
    assert not hasattr(model, "kernel_")


def test_a_copy_shares_no_array_and_no_list():
    kernel = RBF(np.ones(2), ([1e-2, 1e2], [1e-3, 1e3]))
    copy = hyperparameters.copied(kernel)
    copy.length_scale[0] = copy.length_scale_bounds[1][0] = 5.0
    assert kernel.length_scale[0] == 1.0
    assert kernel.length_scale_bounds == ([1e-2, 1e2], [1e-3, 1e3])


def test_a_key_tells_arrays_and_lists_by_their_values():
    def key(scales, bounds):
        return hyperparameters.key(1.0 * RBF(scales, bounds))

    pairs = [(1e-2, 1e2), (1e-3, 1e3)]
    own = key(np.array([1.0, 2.0]), pairs)
    assert own == key(np.array([1.0, 2.0]), tuple(pairs))
    assert own != key(np.array([1.0, 2.5]), pairs)
    assert own != key(np.array([1.0, 2.0]), pairs[::-1])


def test_wrong_bounds_are_refused_as_by_scikit_learn():
    kernel = RBF([1.0, 2.0, 3.0], [(1e-2, 1e2), (1e-3, 1e3)])
    with pytest.raises(ValueError, match="should have either 1 or 3 dimensions"):
        hyperparameters.theta(kernel)


def test_a_kernel_of_a_user_is_asked_itself():
    class Own(RBF):
        @property
        def theta(self):
            return np.array([7.0])

    assert hyperparameters.theta(Own() + RBF())[0] == 7.0
    assert hyperparameters.sources(Own()) is None
