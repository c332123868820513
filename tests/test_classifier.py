"""TorchGPClassifier: parity with scikit-learn, outputs, labels, weights, failures."""

import gc
import pickle
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from classification_cases import KERNEL, REFERENCE, fixed, kernel_of, two_moons
from helpers import numeric_gradient
from scipy.linalg import solve_triangular
from sklearn.base import clone
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    Matern,
    WhiteKernel,
)

from sklearn_torchgp import TorchGPClassifier
from sklearn_torchgp._likelihoods import softmax_average

METHODS = list(product(("laplace", "ep", "vi"), ("logit", "probit")))
each_method = pytest.mark.parametrize(("inference", "link"), METHODS)
MODES = ("one_vs_rest", "one_vs_one", "softmax")
X_IRIS, y_iris = (part[::5] for part in load_iris(return_X_y=True))

# --- scikit-learn -------------------------------------------------------------------


def test_is_a_scikit_learn_classifier():
    theirs = GaussianProcessClassifier().get_params()
    ours = TorchGPClassifier().get_params()
    assert isinstance(TorchGPClassifier(), GaussianProcessClassifier)
    assert {name: ours[name] for name in theirs} == theirs
    assert set(ours) - set(theirs) == {
        "inference",
        "link",
        "class_weight",
        "priors",
        "method",
        "inducing_points",
        "optimizer_rows",
        "device",
        "dtype",
        "verbose",
    }


def their_latent_moments(theirs, X):
    """scikit-learn's mean and variance of f at X, from what it fitted before 1.7."""
    if hasattr(theirs, "latent_mean_and_variance"):
        return theirs.latent_mean_and_variance(X)
    fit = theirs.base_estimator_
    k = fit.kernel_(fit.X_train_, X)
    v = solve_triangular(fit.L_, fit.W_sr_[:, None] * k, lower=True)
    mean = k.T @ (fit.y_train_ - fit.pi_)  # Rasmussen and Williams (3.21), (3.24)
    return mean, fit.kernel_.diag(X) - (v**2).sum(0)


@pytest.mark.parametrize(
    "kernel",
    [
        None,
        ConstantKernel(1.0) * RBF(1.0),
        ConstantKernel(1.0) * RBF([1.0, 1.0]),
        Matern(1.0, nu=1.5) + WhiteKernel(0.1),
    ],
    ids=["default", "rbf", "ard", "matern-white"],
)
def test_same_numbers_as_scikit_learn(kernel):
    X, y = two_moons(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = GaussianProcessClassifier(kernel).fit(X, y)
        ours = TorchGPClassifier(kernel).fit(X, y)
    np.testing.assert_allclose(ours.kernel_.theta, theirs.kernel_.theta, atol=2e-4)
    assert ours.log_marginal_likelihood_value_ == pytest.approx(
        theirs.log_marginal_likelihood_value_, rel=1e-6
    )
    theta = theirs.kernel_.theta + 0.3
    lml = theirs.log_marginal_likelihood(theta, True, clone_kernel=False)
    found = ours.log_marginal_likelihood(theta, True)
    assert found[0] == pytest.approx(lml[0], rel=1e-6)
    np.testing.assert_allclose(found[1], lml[1], rtol=1e-6, atol=1e-6)
    at_theirs = clone(theirs.kernel_)
    at_theirs.theta = theirs.kernel_.theta
    theirs = GaussianProcessClassifier(at_theirs, optimizer=None).fit(X, y)
    ours = TorchGPClassifier(at_theirs, optimizer=None).fit(X, y)
    grid = np.random.RandomState(0).uniform(-4, 4, (50, 2))
    for a, b in zip(
        ours.latent_mean_and_variance(grid),
        their_latent_moments(theirs, grid),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        ours.predict_proba(grid), theirs.predict_proba(grid), atol=5e-4
    )


@pytest.mark.parametrize("multi_class", ["one_vs_rest", "one_vs_one"])
def test_same_multi_class_as_scikit_learn(multi_class):
    kernel = ConstantKernel(1.0) * RBF(1.0)
    theirs = GaussianProcessClassifier(kernel, multi_class=multi_class)
    theirs.fit(X_IRIS, y_iris)
    ours = TorchGPClassifier(kernel, multi_class=multi_class).fit(X_IRIS, y_iris)
    np.testing.assert_allclose(ours.kernel_.theta, theirs.kernel_.theta, atol=2e-3)
    assert isinstance(ours.kernel_, CompoundKernel)
    assert ours.log_marginal_likelihood() == pytest.approx(
        theirs.log_marginal_likelihood(), rel=1e-6
    )
    theta = np.tile([0.5, 0.1], 3)
    for at in (theta, theta[:2]):
        assert ours.log_marginal_likelihood(at) == pytest.approx(
            theirs.log_marginal_likelihood(at), rel=1e-6
        )
    if multi_class == "one_vs_rest":
        p = theirs.predict_proba(X_IRIS)
        np.testing.assert_allclose(ours.predict_proba(X_IRIS), p, atol=1e-3)


def test_restarts_stay_within_the_bounds():
    X, y = two_moons(25)
    kernel = ConstantKernel(1.0, (0.1, 10)) * RBF(1.0, (0.1, 10))
    seen = []

    def optimizer(obj_func, theta, bounds):
        seen.append(theta)
        return theta, obj_func(theta, eval_gradient=False)

    TorchGPClassifier(
        kernel, optimizer=optimizer, n_restarts_optimizer=5, random_state=0
    ).fit(X, y)
    assert len(seen) == 6
    assert np.all(np.abs(seen) <= np.log(10) + 1e-12)


# --- several classes ----------------------------------------------------------------


@pytest.mark.parametrize("setting", REFERENCE["iris30"]["settings"][:2])
def test_multi_class_reference_values(setting):
    rows = np.array(REFERENCE["iris30"]["X_test"])
    one = {k: v[0] if isinstance(v, list) else v for k, v in setting.items()}
    kernel = kernel_of(one)
    model = fixed("softmax", kernel=kernel).fit(X_IRIS, y_iris)
    expected = setting["laplace_softmax"]
    assert model.log_marginal_likelihood() == pytest.approx(expected["lml"], rel=1e-8)
    gradient = model.log_marginal_likelihood(kernel.theta, True)[1]
    np.testing.assert_allclose(gradient, expected["gradient"], rtol=1e-6)
    moments = model.base_estimator_._posterior().moments(rows, "latent")
    averaged = softmax_average(*moments)
    np.testing.assert_allclose(averaged, expected["test_prob"], atol=1e-6)
    mean, variance = model.latent_mean_and_variance(rows)
    # What Laplace says honestly is the mode, not that average.
    at_the_mode = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(rows), at_the_mode, rtol=1e-12)
    np.testing.assert_allclose(mean, expected["test_latent_mean"], atol=1e-6)
    diagonal = np.array(expected["test_latent_cov"]).diagonal(axis1=1, axis2=2)
    np.testing.assert_allclose(variance, diagonal, atol=1e-6)
    for inference, link in (
        ("ep", "probit"),
        ("laplace", "logit"),
        ("laplace", "probit"),
    ):
        params = {"kernel": kernel, "inference": inference, "link": link}
        expected = setting[f"one_vs_rest_{inference}_{link}"]
        model = fixed("one_vs_rest", **params).fit(X_IRIS, y_iris)
        assert model.log_marginal_likelihood() == pytest.approx(
            np.mean(expected["lml_per_class"]), rel=1e-8
        )
        p = model.predict_proba(rows)
        np.testing.assert_allclose(p, expected["test_prob"], atol=1e-6)
        expected = setting[f"one_vs_one_{inference}_{link}"]
        model = fixed("one_vs_one", **params).fit(X_IRIS, y_iris)
        assert model.log_marginal_likelihood() == pytest.approx(
            np.mean(expected["lml_per_pair"]), rel=1e-8
        )
        pairs = [
            e.log_proba(rows)[:, 1].exp() for e in model.base_estimator_.estimators_
        ]
        second = np.array(expected["test_prob_second_class"])
        second = second if second.shape[0] == len(rows) else second.T
        np.testing.assert_allclose(np.stack(pairs, 1), second, atol=1e-6)


@pytest.mark.parametrize("multi_class", MODES)
@pytest.mark.parametrize("n_classes", [3, 10])
def test_many_classes_of_any_type(multi_class, n_classes):
    X, codes = make_blobs(60, centers=n_classes, random_state=0, cluster_std=0.8)
    names = np.array([f"class {c}" for c in "jihgfedcba"])
    y = names[codes]
    model = fixed(multi_class).fit(X, y)
    assert list(model.classes_) == sorted(set(y))
    p = model.predict_proba(X)
    assert p.shape == (60, n_classes)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert np.array_equal(model.predict(X), model.classes_[p.argmax(axis=1)])
    assert np.array_equal(model.decision_function(X).argmax(axis=1), p.argmax(axis=1))
    assert np.array_equal(p, model.predict_proba(X))
    assert model.score(X, y) > 0.8
    loo = model.loo_predict_proba()
    np.testing.assert_allclose(loo.sum(axis=1), 1)
    assert np.mean(model.classes_[loo.argmax(axis=1)] == y) > 0.6


@pytest.mark.parametrize("multi_class", MODES)
def test_order_of_classes_does_not_matter(multi_class):
    grid = X_IRIS[::3] + 0.1
    p = fixed(multi_class).fit(X_IRIS, y_iris).predict_proba(grid)
    turned = fixed(multi_class).fit(X_IRIS, (y_iris + 1) % 3).predict_proba(grid)
    np.testing.assert_allclose(turned[:, [1, 2, 0]], p, atol=1e-6)


@pytest.mark.parametrize("multi_class", MODES)
def test_gradient_of_the_reported_evidence(multi_class):
    model = fixed(multi_class).fit(X_IRIS, y_iris)
    sizes = {2} | {model.kernel_.n_dims}
    for size in sizes:
        theta = np.linspace(0.1, 0.6, size)
        gradient = model.log_marginal_likelihood(theta, True)[1]
        expected = numeric_gradient(model.log_marginal_likelihood, theta)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_coupling_recovers_consistent_pairs():
    from sklearn_torchgp._classification.multiclass import couple

    p = np.random.RandomState(0).dirichlet(np.ones(4), size=7)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    r = [torch.tensor(p[:, j] / (p[:, i] + p[:, j])) for i, j in pairs]
    np.testing.assert_allclose(couple(r, 4), p, rtol=1e-9)
    certain = [torch.tensor([0.0]), torch.tensor([0.0]), torch.tensor([0.5])]
    found = couple([r.double() for r in certain], 3)
    np.testing.assert_allclose(found, [[1, 0, 0]], atol=1e-9)


# --- outputs ------------------------------------------------------------------------


@each_method
def test_predict_is_the_most_probable_class(inference, link):
    X, y = two_moons(40)
    model = fixed(inference=inference, link=link).fit(X, y)
    # Far away all is round-off, and exact ties, too.
    far = (
        np.random.RandomState(0).uniform(-1, 1, (200, 2))
        * np.logspace(0, 2, 200)[:, None]
    )
    p = model.predict_proba(far)
    assert np.array_equal(model.predict(far), model.classes_[p.argmax(axis=1)])
    score = model.decision_function(far)
    assert np.array_equal(score > 0, model.predict(far) == 1)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    tie = model.predict_proba([[1e6, 1e6]])
    np.testing.assert_allclose(tie, 0.5, rtol=1e-13)
    assert model.predict([[1e6, 1e6]]) == [-1.0]


@each_method
def test_latent_outputs_agree_with_each_other(inference, link):
    X, y = two_moons(30)
    model = fixed(inference=inference, link=link).fit(X, y)
    rows = X[:7] + 0.1
    mean, variance = model.latent_mean_and_variance(rows)
    for other, spread in (
        model.predict_latent(rows, return_std=True),
        model.predict_latent(rows, return_cov=True),
    ):
        np.testing.assert_allclose(other, mean, rtol=1e-12)
        marginal = spread**2 if spread.ndim == 1 else spread.diagonal()
        np.testing.assert_allclose(marginal, variance, rtol=1e-9)
    np.testing.assert_allclose(model.predict_latent(rows), mean, rtol=1e-12)
    draws = model.sample_latent(rows, 4000)
    assert draws.shape == (7, 4000)
    error = np.sqrt(variance / 4000)
    assert np.all(np.abs(draws.mean(axis=1) - mean) < 5 * error)
    np.testing.assert_allclose(draws.var(axis=1), variance, rtol=0.15)
    assert np.array_equal(draws[:, :1], model.sample_latent(rows, 4000)[:, :1])


@pytest.mark.parametrize("multi_class", MODES)
def test_latent_outputs_of_several_classes(multi_class):
    model = fixed(multi_class).fit(X_IRIS, y_iris)
    rows = X_IRIS[::6]
    mean, std = model.predict_latent(rows, return_std=True)
    again, cov = model.predict_latent(rows, return_cov=True)
    assert mean.shape == std.shape == (5, 3)
    assert cov.shape == (5, 5, 3)
    np.testing.assert_allclose(again, mean, rtol=1e-10)
    np.testing.assert_allclose(np.einsum("iic->ic", cov), std**2, rtol=1e-8)
    draws = model.sample_latent(rows, 3000)
    assert draws.shape == (5, 3, 3000)
    assert np.all(np.abs(draws.mean(axis=2) - mean) < 5 * std / np.sqrt(3000))
    np.testing.assert_allclose(draws.std(axis=2), std, rtol=0.15)
    if multi_class == "softmax":
        mean_again, variance = model.latent_mean_and_variance(rows)
        np.testing.assert_allclose(mean_again, mean)
        np.testing.assert_allclose(variance, std**2)
        # Classes compete: their draws are correlated, and softmax averages to EP's p.
        model.set_params(inference="ep").fit(X_IRIS, y_iris)
        draws = model.sample_latent(rows, 3000)
        p = np.exp(draws) / np.exp(draws).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(p.mean(axis=2), model.predict_proba(rows), atol=0.02)
    else:
        with pytest.raises(ValueError, match=r"predict_latent\(X, return_std=True\)"):
            model.latent_mean_and_variance(rows)


@each_method
def test_leave_one_out_against_refitting(inference, link):
    X, y = two_moons(40)
    model = fixed(inference=inference, link=link).fit(X, y)
    loo = model.loo_predict_proba()
    assert loo.shape == (40, 2)
    refitted = np.array(
        [
            clone(model)
            .fit(np.delete(X, i, 0), np.delete(y, i))
            .predict_proba(X[[i]])[0]
            for i in range(0, 40, 3)
        ]
    )
    error = np.abs(loo[::3] - refitted).max()
    assert error < (0.02 if inference == "ep" else 0.04)
    assert np.abs(model.predict_proba(X)[::3] - refitted).max() > 2 * error


def test_softmax_leave_one_out_against_refitting():
    model = fixed("softmax").fit(X_IRIS, y_iris)
    loo = model.loo_predict_proba()
    for i in range(0, 30, 4):
        rest = clone(model).fit(np.delete(X_IRIS, i, 0), np.delete(y_iris, i))
        np.testing.assert_allclose(
            loo[i], rest.predict_proba(X_IRIS[[i]])[0], atol=0.03
        )


def test_blocks_of_rows_do_not_matter(monkeypatch):
    from sklearn_torchgp._linalg import memory

    rows = np.random.RandomState(0).randn(300, 4) + X_IRIS.mean(axis=0)
    for multi_class in MODES:
        model = fixed(multi_class).fit(X_IRIS, y_iris)
        p = model.predict_proba(rows)
        with monkeypatch.context() as patch:
            patch.setattr(memory, "BLOCK_BYTES", {"cpu": 1})
            np.testing.assert_allclose(model.predict_proba(rows), p, rtol=1e-12)


@pytest.mark.parametrize("kind", ["torch", "list", "float32", "frame"])
def test_answers_come_as_the_kind_that_was_asked(kind):
    X, y = two_moons(30)
    p = fixed().fit(X, y).predict_proba(X)
    as_kind = {
        "torch": lambda a: torch.tensor(a),
        "list": lambda a: a.tolist(),
        "float32": lambda a: a.astype(np.float32),
        "frame": lambda a: pytest.importorskip("pandas").DataFrame(a),
    }[kind]
    model = fixed().fit(as_kind(X), torch.tensor(y) if kind == "torch" else y)
    found, labels = model.predict_proba(as_kind(X)), model.predict(as_kind(X))
    expected = torch.Tensor if kind == "torch" else np.ndarray
    assert isinstance(found, expected)
    assert isinstance(labels, expected)
    np.testing.assert_allclose(found, p, atol=1e-5)
    assert model.score(as_kind(X), y) > 0.7


@each_method
def test_float32(inference, link):
    X, y = two_moons(50)
    p = fixed(inference=inference, link=link).fit(X, y).predict_proba(X)
    model = fixed(inference=inference, link=link, dtype="float32").fit(X, y)
    assert model.base_estimator_.L_.dtype == np.float32
    np.testing.assert_allclose(model.predict_proba(X), p, atol=1e-3)
    optimised = TorchGPClassifier(
        KERNEL, inference=inference, link=link, dtype="float32"
    ).fit(X, y)
    reached = fixed(kernel=optimised.kernel_, inference=inference, link=link).fit(X, y)
    best = TorchGPClassifier(KERNEL, inference=inference, link=link).fit(X, y)
    assert reached.log_marginal_likelihood() == pytest.approx(
        best.log_marginal_likelihood(), abs=0.02
    )


@pytest.mark.parametrize("multi_class", MODES)
def test_pickle(multi_class):
    model = fixed(multi_class).fit(X_IRIS, y_iris)
    p = model.predict_proba(X_IRIS)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X_IRIS), p)
    assert np.array_equal(again.loo_predict_proba(), model.loo_predict_proba())


# --- weights ------------------------------------------------------------------------


@each_method
def test_weights_are_copies_and_zero_is_absence(inference, link):
    X, y = two_moons(25)
    weight = np.random.RandomState(0).randint(0, 4, 25)
    params = {"inference": inference, "link": link}
    kernel = ConstantKernel(4.0) * RBF(1.0)
    weighted = TorchGPClassifier(kernel, **params).fit(X, y, sample_weight=weight)
    X_copies, y_copies = np.repeat(X, weight, axis=0), np.repeat(y, weight)
    copied = TorchGPClassifier(kernel, **params).fit(X_copies, y_copies)
    assert weighted.log_marginal_likelihood() == pytest.approx(
        copied.log_marginal_likelihood(), rel=1e-8
    )
    close = {"atol": 5e-6}
    p, p_copies = weighted.predict_proba(X), copied.predict_proba(X)
    np.testing.assert_allclose(p, p_copies, **close)
    loo = np.repeat(weighted.loo_predict_proba(), weight[weight > 0], axis=0)
    np.testing.assert_allclose(loo, copied.loo_predict_proba(), **close)


@pytest.mark.parametrize("multi_class", MODES)
def test_weights_of_several_classes(multi_class):
    weight = np.random.RandomState(0).randint(0, 3, 30)
    weighted = fixed(multi_class).fit(X_IRIS, y_iris, sample_weight=weight)
    X_copies, y_copies = np.repeat(X_IRIS, weight, axis=0), np.repeat(y_iris, weight)
    copied = fixed(multi_class).fit(X_copies, y_copies)
    assert weighted.log_marginal_likelihood() == pytest.approx(
        copied.log_marginal_likelihood(), rel=1e-9
    )
    np.testing.assert_allclose(
        weighted.predict_proba(X_IRIS), copied.predict_proba(X_IRIS), atol=1e-8
    )
    loo = np.repeat(weighted.loo_predict_proba(), weight[weight > 0], axis=0)
    np.testing.assert_allclose(loo, copied.loo_predict_proba(), atol=1e-8)


@each_method
def test_class_weights_multiply_sample_weights(inference, link):
    X, y = two_moons(25)
    params = {"inference": inference, "link": link}
    weight = np.where(y == 1, 3.0, 1.0)
    by_row = fixed(**params).fit(X, y, sample_weight=weight).predict_proba(X)
    by_class = fixed(class_weight={1.0: 3.0}, **params).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(by_class, by_row, atol=1e-5)  # the tie-break's size


def test_balanced_class_weights():
    X, y = two_moons(40)
    rows = np.r_[np.flatnonzero(y == 1)[:4], np.flatnonzero(y == -1)]
    X, y = X[rows], y[rows]
    balanced = fixed(class_weight="balanced").fit(X, y)
    weights = {c: len(y) / (2 * np.sum(y == c)) for c in (-1.0, 1.0)}
    explicit = fixed(class_weight=weights).fit(X, y)
    np.testing.assert_allclose(balanced.predict_proba(X), explicit.predict_proba(X))
    # Where the data say nothing, the heavier class wins.
    assert balanced.predict([[1e6, 1e6]]) == [1.0]
    assert fixed(class_weight={-1.0: 2.0}).fit(X, y).predict([[1e6, 1e6]]) == [-1.0]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), r"'sample_weight' parameter has shape \(3,\)"),
        (-np.ones(20), "'sample_weight'.*not negative"),
        (np.zeros(20), "'sample_weight'.*zero in every entry"),
        (np.full(20, np.nan), "'sample_weight'.*finite"),
    ],
)
def test_bad_weights_are_refused(weight, message):
    X, y = two_moons(20)
    model = fixed()
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, sample_weight=weight)
    assert not hasattr(model, "base_estimator_")


# --- failures -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"inference": "mcmc"}, r"'inference' parameter must be one of \['laplace'"),
        ({"link": "cauchit"}, "'link' parameter must be one of"),
        ({"multi_class": "ovr"}, "'multi_class' parameter must be one of"),
        (
            {"multi_class": "softmax", "inference": "vi"},
            "goes with inference='ep'",
        ),
        ({"class_weight": {"x": 1.0}}, "are not in class_weight"),
        ({"class_weight": "even"}, "'class_weight' parameter must be"),
        ({"class_weight": {1.0: 0.0}}, "positive, finite weight"),
        ({"device": "abacus"}, "'device' parameter"),
        ({"dtype": "float16"}, "'dtype' parameter must be one of"),
        ({"kernel": CompoundKernel([RBF()])}, "kernel cannot be a CompoundKernel"),
    ],
)
def test_bad_parameters_are_refused_before_work(params, message):
    X, y = two_moons(20)
    model = fixed().fit(X, y)
    before = dict(vars(model))
    model.set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert vars(model) == before | params


def test_one_class_is_an_error():
    with pytest.raises(ValueError, match=r"only one class, (np\.int64\()?3"):
        fixed().fit([[0.0], [1.0]], [3, 3])
    with pytest.raises(ValueError, match="with positive weight; got only one class"):
        fixed().fit([[0.0], [1.0]], [3, 4], sample_weight=[1, 0])


@each_method
def test_not_converged_warns_and_only_then(inference, link):
    X, y = two_moons(40)
    model = fixed(inference=inference, link=link, max_iter_predict=2)
    message = r"residual is .* after 2 iterations.*'max_iter_predict' parameter \(now"
    with pytest.warns(ConvergenceWarning, match=message):
        model.fit(X, y)
    with pytest.warns(ConvergenceWarning, match=message):
        model.log_marginal_likelihood(KERNEL.theta)
    fixed(inference=inference, link=link).fit(X, y)  # warnings are errors here


@each_method
def test_extreme_problems_give_finite_answers(inference, link):
    X, y = two_moons(20)
    cases = [
        (np.repeat(X[:8], 2, axis=0), np.tile([0, 1], 8)),
        (np.linspace(-1, 1, 12)[:, None], np.arange(12) > 5),
        (np.c_[X, np.ones(20)], y),
        (X[:2] * 1e3, [0, 1]),
    ]
    for rows, labels in cases:
        for variance in (1e-8, 1e4):
            kernel = ConstantKernel(variance) * RBF(1.0)
            model = fixed(kernel=kernel, inference=inference, link=link)
            p = model.fit(rows, labels).predict_proba(rows)
            assert np.isfinite(p).all()
            assert np.isfinite(model.loo_predict_proba()).all()
            if variance < 1:
                np.testing.assert_allclose(p, 0.5, atol=1e-4)


@each_method
def test_fit_on_separable_data(inference, link):
    X = np.linspace(-2, 2, 14)[:, None]
    model = TorchGPClassifier(KERNEL, inference=inference, link=link)
    model.fit(X, X[:, 0] > 0.1)
    assert model.score(X, X[:, 0] > 0.1) == 1.0
    assert np.isfinite(model.log_marginal_likelihood())


@pytest.mark.parametrize("pair", [("laplace", "ep"), ("vi", "laplace"), ("ep", "vi")])
def test_warm_start_survives_another_inference(pair):
    X, y = two_moons(40)
    first, second = pair
    model = TorchGPClassifier(KERNEL, inference=first, warm_start=True).fit(X, y)
    model.set_params(inference=second).fit(X, y)
    fresh = TorchGPClassifier(KERNEL, inference=second).fit(X, y)
    np.testing.assert_allclose(
        model.predict_proba(X), fresh.predict_proba(X), atol=1e-5
    )


def test_a_fit_leaves_no_buffers_behind():
    X = np.random.RandomState(0).randn(300, 2)
    gc.collect()
    gc.disable()
    try:
        TorchGPClassifier(KERNEL, optimizer=None).fit(X, X[:, 0] > 0)
        alive = [o for o in gc.get_objects() if type(o) is torch.Tensor and o.ndim == 2]
        assert not [o for o in alive if o.shape == (300, 300)]
    finally:
        gc.enable()


def test_class_weight_may_name_a_class_that_a_fold_lacks():
    X, y = make_blobs(40, centers=3, random_state=0)
    weight = {0: 1.0, 1: 2.0, 2: 5.0}
    model = TorchGPClassifier(KERNEL, optimizer=None, class_weight=weight)
    some = y < 2
    np.testing.assert_allclose(
        model.fit(X[some], y[some]).predict_proba(X),
        clone(model)
        .set_params(class_weight={0: 1.0, 1: 2.0})
        .fit(X[some], y[some])
        .predict_proba(X),
    )
    out = model.fit(X, y, sample_weight=np.where(y == 2, 0.0, 1.0))
    assert list(out.classes_) == [0, 1]


@pytest.mark.parametrize(("count", "variance"), [(200, 1e5), (1000, 1e4)])
def test_softmax_of_many_counts_is_what_the_counts_say(count, variance):
    x = np.linspace(0, 1, 40)[:, None]
    logits = np.c_[3 * x, 2 * np.sin(6 * x), 0 * x]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    X, y = np.repeat(x, 3, 0), np.tile([0, 1, 2], 40)
    model = TorchGPClassifier(
        variance * RBF(0.3), multi_class="softmax", optimizer=None
    ).fit(X, y, sample_weight=np.round(count * p.ravel()) + 1)
    # By Newton on whitened coordinates with the joint Hessian, in NumPy.
    evidence = {200: -5796.74, 1000: -27741.63}[count]
    assert model.log_marginal_likelihood_value_ == pytest.approx(evidence, abs=0.01)
    assert np.abs(model.predict_proba(x) - p).max() < 2.5 / count**0.5 / 10


@pytest.mark.parametrize(
    ("inference", "count", "variance"),
    [
        *((name, 30, 1e3) for name in ("laplace", "ep", "vi")),
        *((name, 1e4, v) for name in ("laplace", "ep") for v in (1e2, 1e4)),
    ],
)
def test_many_counts_of_two_classes(inference, count, variance):
    x = np.linspace(0, 1, 15)[:, None]
    p = 1 / (1 + np.exp(-3 * np.sin(6 * x)))
    X, y = np.repeat(x, 2, 0), np.tile([0, 1], 15)
    weight = np.round(count * np.c_[1 - p, p].ravel()) + 1
    model = TorchGPClassifier(
        variance * RBF(0.3), inference=inference, optimizer=None
    ).fit(X, y, sample_weight=weight)
    found = model.predict_proba(x)[:, 1:]
    counts = weight.reshape(15, 2)
    np.testing.assert_allclose(
        found, counts[:, 1:] / counts.sum(1, keepdims=True), atol=0.3 / count**0.5
    )
