"""`summary()` says what the estimator is; HTML shows kernel and evidence."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.gaussian_process.tests._mini_sequence_kernel import MiniSeqKernel
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (30, 2))
Y = 10 * np.sin(X[:, 0]) + RNG.randn(30)
KERNEL = ConstantKernel(2.0, "fixed") * RBF([1.0, 1.0], [(0.1, 9), (0.2, 3)])


def test_a_regressor():
    model = TorchGPRegressor(
        KERNEL + WhiteKernel(0.1), normalize_y=True, n_restarts_optimizer=1,
        random_state=0,
    ).fit(X, Y)  # fmt: skip
    got = model.summary().as_dict()
    amplitude, first, second, noise = got["hyperparameters"]
    assert amplitude == {
        "name": "k1__k1__constant_value", "value": 2.0, "bounds": None, "at_bound": ""
    }  # fmt: skip
    scales = model.kernel_.k1.k2.length_scale
    assert (first["name"], second["name"]) == (
        "k1__k2__length_scale[0]", "k1__k2__length_scale[1]"
    )  # fmt: skip
    assert_allclose([first["value"], second["value"]], scales)
    assert (first["bounds"], second["bounds"]) == ((0.1, 9.0), (0.2, 3.0))
    # The second feature does nothing.
    assert (first["at_bound"], second["at_bound"]) == ("", "upper")
    assert_allclose(noise["value"], model.kernel_.k2.noise_level)
    assert got["log_marginal_likelihood"] == model.log_marginal_likelihood_value_
    assert_allclose(got["noise"], np.sqrt(noise["value"]) * Y.std())
    records = model.optimizer_results_
    assert got["starts"] == 2
    assert got["evaluations"] == sum(record.n_evaluations for record in records)
    assert got["seconds"] == sum(record.seconds for record in records)
    assert (got["rows"], got["features"]) == (30, 2)
    assert (got["dtype"], got["device"]) == ("float64", "cpu")
    assert (got["method"], got["jitter"]) == ("exact", 0.0)
    json.dumps(got)  # plain numbers and strings


def test_it_prints_as_a_table():
    model = TorchGPRegressor(KERNEL + WhiteKernel(0.1)).fit(X, Y)
    text = str(model.summary())
    lines = text.splitlines()
    assert repr(model.summary()) == text
    assert lines[0] == "TorchGPRegressor"
    head = lines[2]
    assert head.split("  ")[0] == "hyperparameter"
    rows = lines[3:7]
    assert [row.split()[0] for row in rows] == [
        h["name"] for h in model.summary().hyperparameters
    ]
    column = head.index("bounds")
    assert [row[column:].split("  ")[0] for row in rows] == [
        "fixed", "0.1 to 9", "0.2 to 3", "1e-05 to 1e+05"
    ]  # fmt: skip
    assert rows[2].endswith("upper")
    assert max(map(len, lines)) <= 88
    assert not any(line.endswith(" ") for line in lines)
    lml = f"log marginal likelihood  {model.log_marginal_likelihood_value_:.5g}"
    assert lml in lines


@pytest.mark.parametrize(
    "params",
    [
        {"alpha": 0.09},
        {"alpha": 0.05, "kernel": KERNEL + WhiteKernel(0.04, "fixed")},
        {"mean": Ridge(), "alpha": 0.09},
        {"mean": "linear", "alpha": 0.09},
        {"alpha": np.full(30, 0.5), "kernel": KERNEL + WhiteKernel(0.09, "fixed")},
    ],
)
def test_noise_is_the_deviation_of_an_observation(params):
    """White part and scalar alpha; an alpha for each row is not that of a new one."""
    model = TorchGPRegressor(**{"kernel": KERNEL, "optimizer": None, **params})
    got = model.fit(X, Y).summary().as_dict()
    assert_allclose(got["noise"], 0.3)
    assert got["evaluations"] == 0
    assert "seconds" not in got


def test_other_targets_and_objectives():
    both = np.c_[Y, 3 * Y]
    model = TorchGPRegressor(KERNEL, optimizer=None, alpha=0.04, normalize_y=True)
    assert_allclose(model.fit(X, both).summary().facts["noise"], 0.2 * 2 * Y.std())
    loo = TorchGPRegressor(KERNEL, alpha=0.1, objective="loo").fit(X, Y).summary()
    assert loo.facts["objective"] > loo.facts["log_marginal_likelihood"]
    skewed = TorchGPRegressor(
        KERNEL, alpha=0.04, optimizer=None, target_transform=PowerTransformer()
    )
    assert_allclose(skewed.fit(X, Y).summary().facts["noise"], 0.2)
    single = TorchGPRegressor(KERNEL, alpha=0.04, dtype="float32").fit(X, Y).summary()
    assert single.facts["dtype"] == "float32"
    assert single.facts["jitter"] > 0


@pytest.mark.parametrize("multi_class", ["one_vs_rest", "one_vs_one", "softmax"])
def test_a_classifier(multi_class):
    labels = np.array(["a", "b", "c"])[np.digitize(Y, [-4, 4])]
    model = TorchGPClassifier(1.0 * RBF(1.0), multi_class=multi_class).fit(X, labels)
    summary = model.summary()
    names = [row["name"] for row in summary.hyperparameters]
    own = ["k1__constant_value", "k2__length_scale"]
    problems = {
        "one_vs_rest": ["class a: ", "class b: ", "class c: "],
        "one_vs_one": ["a or b: ", "a or c: ", "b or c: "],
        "softmax": [""],
    }[multi_class]
    assert names == [problem + name for problem in problems for name in own]
    values = [row["value"] for row in summary.hyperparameters]
    assert_allclose(np.log(values), model.kernel_.theta)
    facts = summary.facts
    assert (facts["classes"], facts["inference"]) == (3, "laplace, logit")
    assert facts["rows"] == 30
    assert facts["log_marginal_likelihood"] == model.log_marginal_likelihood_value_
    assert facts["starts"] == len(problems)
    assert "noise" not in facts
    assert "jitter" not in facts


@pytest.mark.parametrize("model", [TorchGPRegressor(), TorchGPClassifier()])
def test_before_fit(model):
    with pytest.raises(NotFittedError):
        model.summary()
    assert "log marginal likelihood" not in model._repr_html_()
    assert type(model).__name__ in model._repr_html_()


def test_rows_that_are_strings():
    kernel = MiniSeqKernel(baseline_similarity_bounds="fixed") + WhiteKernel(0.09)
    model = TorchGPRegressor(kernel, optimizer=None)
    facts = model.fit(["A", "AB", "B", "BB"], [0.0, 1.0, 2.0, 3.0]).summary().facts
    assert facts["rows"] == 4
    assert "features" not in facts
    assert_allclose(facts["noise"], 0.3)


@pytest.mark.parametrize(
    "wrap", [lambda m: m, lambda m: make_pipeline(StandardScaler(), m)]
)
def test_html_shows_kernel_and_evidence(wrap):
    model = TorchGPRegressor(1.0 * RBF(1.0) + WhiteKernel(), mean=Ridge())
    fitted = wrap(model).fit(X, Y)
    lml = f"log marginal likelihood {model.log_marginal_likelihood_value_:.5g}"
    html = fitted._repr_html_()
    assert str(model.kernel_) in html
    assert lml in html
    classes = TorchGPClassifier(1.0 * RBF(1.0)).fit(X, Y > 0)
    assert str(classes.kernel_) in classes._repr_html_()
