"""What a fit tells while it runs, to the screen and to scikit-learn's callbacks."""

import pickle
import signal
import warnings

import numpy as np
import pytest
import sklearn
import torch
from joblib import parallel_config
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor
from sklearn_torchgp._classification.latent_gp import LatentGP
from sklearn_torchgp._model import progress
from sklearn_torchgp._model.objective import Objective
from sklearn_torchgp.kernels import DeepKernel

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (24, 2))
Y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.2 * RNG.randn(24)
TWO, THREE = Y > 0, np.digitize(Y, [-0.7, 0.7])
KERNEL = 1.0 * RBF(1.0)

# Name -> estimator, y, tasks between the fit and the starts.
FITS = {
    "regressor": (TorchGPRegressor(KERNEL + WhiteKernel()), Y, []),
    "starts": (
        TorchGPRegressor(KERNEL, alpha=0.1, n_restarts_optimizer=2, random_state=0),
        Y, [],
    ),
    "coarse": (TorchGPRegressor(KERNEL, alpha=0.1, optimizer="coarse-to-fine"), Y, []),
    "mixed": (TorchGPRegressor(KERNEL, alpha=0.1, dtype="mixed"), Y, []),
    "loo": (TorchGPRegressor(KERNEL, alpha=0.1, objective="loo"), Y, []),
    "binary": (TorchGPClassifier(KERNEL), TWO, []),
    "one_vs_rest": (TorchGPClassifier(KERNEL), THREE, ["problem"] * 3),
    "one_vs_one": (
        TorchGPClassifier(KERNEL, multi_class="one_vs_one"), THREE, ["problem"] * 3
    ),
    "softmax": (TorchGPClassifier(KERNEL, multi_class="softmax"), THREE, []),
}  # fmt: skip

BOTH = np.c_[Y, 3 * Y + RNG.randn(24)]
FITS["independent"] = (
    TorchGPRegressor(KERNEL, alpha=0.1, multi_output="independent"), BOTH,
    ["target"] * 2,
)  # fmt: skip
FITS["icm"] = (TorchGPRegressor(KERNEL, multi_output="icm"), BOTH, [])

callbacks = pytest.mark.skipif(
    not hasattr(TorchGPRegressor, "set_callbacks"),
    reason=f"scikit-learn {sklearn.__version__} has no callbacks",
)


class Recorder:
    """A callback that keeps every event; `at` may do something at one of them."""

    def __init__(self, at=None):
        self.events, self.at, self.n = [], at, 0

    def setup(self, estimator, context):
        self.note("setup", context)

    def teardown(self, estimator, context):
        self.note("teardown", context)

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.given = X, y, metadata
        self.note("begin", context)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.note("end", context, fitted_estimator)
        if context.task_name == "iteration":
            self.n += 1
            if self.at is not None:
                return self.at(self.n)
        return None

    def note(self, event, context, fitted=None):
        self.events.append((event, context, fitted))

    def names(self):
        return [(event, context.task_name) for event, context, _ in self.events]


class Propagated(Recorder):
    max_propagation_depth = None


def theta_of(model):
    kernels = model.kernel_ if isinstance(model.kernel_, list) else [model.kernel_]
    return np.concatenate([kernel.theta for kernel in kernels])


def watched(name, *, at=None, **params):
    model, y, _ = FITS[name]
    recorder = Recorder(at)
    model = clone(model).set_params(**params).set_callbacks(recorder)
    return model, y, recorder


def check_nested(events):
    """Every task ends after it began and after all that it began; no two at once."""
    open_tasks = []
    for event, context, _ in events:
        if event == "begin":
            assert context.parent is (open_tasks[-1] if open_tasks else None)
            open_tasks.append(context)
        else:
            assert open_tasks.pop() is context
    assert open_tasks == []


@callbacks
@pytest.mark.parametrize("name", FITS)
def test_events_come_in_order_and_teardown_last(name):
    model, y, recorder = watched(name)
    model.fit(X, y)
    first, *events, last = recorder.events
    assert (first[0], last[0]) == ("setup", "teardown")
    assert not {"setup", "teardown"} & {event for event, _, _ in events}
    check_nested(events)
    begun = [context for event, context, _ in events if event == "begin"]
    records = model.optimizer_results_
    parts = [c.task_name for c in begun if c.task_name in ("problem", "target")]
    assert parts == FITS[name][2]
    starts = [c for c in begun if c.task_name == "start"]
    assert len(starts) == len(records)
    assert begun[0].task_name == "fit"
    for start, record in zip(starts, records, strict=True):
        steps = [c for c in begun if c.parent is start]
        assert {c.task_name for c in steps} == {"iteration"}
        coarse = bool(record.n_coarse_evaluations)
        assert len(steps) >= record.n_iterations if coarse else (
            len(steps) == record.n_iterations > 1
        )  # fmt: skip


@callbacks
@pytest.mark.parametrize("name", FITS)
def test_watching_changes_nothing_and_leaves_nothing(name):
    model, y, _ = watched(name)
    before = set(vars(model))
    model.fit(X, y)
    plain = clone(FITS[name][0]).fit(X, y)
    assert_allclose(theta_of(model), theta_of(plain))
    for one in getattr(model, "estimators_", []):
        assert not {"_skl_callbacks", "_watch"} & set(vars(one))
    assert set(vars(model)) - set(vars(plain)) == {"_skl_callbacks"}
    assert set(vars(plain)) >= before - {"_skl_callbacks"}
    clone(model)
    pickle.loads(pickle.dumps(plain))


@callbacks
def test_callbacks_are_told_the_data_and_what_the_fit_had_come_to():
    model, _, recorder = watched("regressor")
    noise = RNG.uniform(0.01, 0.1, 24)
    model.fit(X, Y, noise_variance=noise)
    X_given, y_given, metadata = recorder.given
    assert X_given is X
    assert y_given is Y
    assert list(metadata) == ["noise_variance"]
    steps = [
        f for e, c, f in recorder.events if (e, c.task_name) == ("end", "iteration")
    ]
    (record,) = model.optimizer_results_
    values = [f.log_marginal_likelihood_value_ for f in steps]
    assert values == sorted(values)
    assert_allclose(values[-1], record.value)
    middle = steps[len(steps) // 2]
    again = clone(model).set_callbacks()
    again.set_params(kernel=middle.kernel_, optimizer=None)
    again.fit(X, Y, noise_variance=noise)
    got, want = (m.predict(X[:4] + 0.1, return_std=True) for m in (middle, again))
    assert_allclose(got, want)
    assert_allclose(values[len(steps) // 2], again.log_marginal_likelihood())
    ((_, _, end),) = (e for e in recorder.events if e[0] == "end" and
                      e[1].task_name == "fit")  # fmt: skip
    assert_allclose(end.predict(X), model.predict(X))


def handed_over(recorder, task):
    """What a callback was given at the ends of tasks of this name."""
    return [
        fitted
        for event, context, fitted in recorder.events
        if (event, context.task_name) == ("end", task)
    ]


@callbacks
@pytest.mark.parametrize("name", ["binary", "ep", "vi", "softmax", "class_weight"])
def test_a_classifier_on_the_way_is_what_the_fit_had_come_to(name):
    params = {
        "ep": {"inference": "ep", "link": "probit"},
        "vi": {"inference": "vi"},
        "class_weight": {"class_weight": "balanced"},
    }.get(name, {})
    model, y, recorder = watched(name if name in FITS else "binary", **params)
    weight = np.where(np.arange(24) % 5, 1.5, 0.0)  # rows that are left out
    model.fit(X, y, sample_weight=weight)
    steps, (record,) = handed_over(recorder, "iteration"), model.optimizer_results_
    values = [step.log_marginal_likelihood_value_ for step in steps]
    assert len(values) == record.n_iterations > 2
    assert values == sorted(values)
    assert_allclose(values[-1], record.value, rtol=1e-6)
    middle = steps[len(steps) // 2]
    again = clone(model).set_callbacks().set_params(kernel=middle.kernel_)
    again.set_params(optimizer=None).fit(X, y, sample_weight=weight)
    assert not np.allclose(middle.kernel_.theta, model.kernel_.theta, rtol=1e-3)
    assert_allclose(
        middle.log_marginal_likelihood_value_, again.log_marginal_likelihood()
    )
    for ask in ("predict_proba", "predict_latent", "sample_latent"):
        assert_allclose(getattr(middle, ask)(X), getattr(again, ask)(X), rtol=1e-5)
    assert_allclose(middle.loo_predict_proba(), again.loo_predict_proba(), rtol=1e-5)
    assert list(middle.predict(X)) == list(again.predict(X))
    (end,) = handed_over(recorder, "fit")
    assert_allclose(end.predict_proba(X), model.predict_proba(X))


@callbacks
@pytest.mark.parametrize("name", ["one_vs_rest", "one_vs_one", "independent", "icm"])
def test_one_model_of_several_is_no_estimator_on_the_way(name):
    model, y, recorder = watched(name)
    model.fit(X, y)
    for task in ("iteration", "start", *FITS[name][2][:1]):
        given = handed_over(recorder, task)
        assert given == [None] * len(given)
        assert given
    (end,) = handed_over(recorder, "fit")
    ask = "predict_proba" if y.ndim == 1 else "predict"
    assert_allclose(getattr(end, ask)(X), getattr(model, ask)(X))


class Counting(Recorder):
    """It asks for no fitted estimator."""

    def on_fit_task_end(self, estimator, context):
        self.note("end", context)


@callbacks
@pytest.mark.parametrize("name", ["regressor", "binary", "softmax"])
def test_what_nobody_asks_for_is_not_computed(name, monkeypatch):
    conditioned = []
    for kind, step in ((TorchGPRegressor, "_keep"), (LatentGP, "_condition")):
        plain = getattr(kind, step)
        monkeypatch.setattr(
            kind, step,
            lambda self, *of, plain=plain: conditioned.append(1) or plain(self, *of),
        )  # fmt: skip
    model, y, _ = FITS[name]
    for recorder, expected in ((None, 1), (Counting(), 1), (Recorder(), None)):
        model, conditioned[:] = clone(model), []
        if recorder is not None:
            model.set_callbacks(recorder)
        model.fit(X, y)
        steps = sum(r.n_iterations for r in model.optimizer_results_)
        assert len(conditioned) == (expected or 1 + steps)


@callbacks
@pytest.mark.parametrize("name", ["regressor", "binary"])
def test_on_the_way_a_deep_kernel_has_the_weights_of_there(name):
    """They stand behind theta in what is optimised."""
    module = torch.nn.Linear(2, 1).double()
    kernel = 1.0 * DeepKernel(module, RBF(1.0))
    params = {"alpha": 0.1} if name == "regressor" else {}
    model, y, recorder = watched(name, kernel=kernel, **params)
    model.fit(X, y)
    steps = handed_over(recorder, "iteration")
    values = [step.log_marginal_likelihood_value_ for step in steps]
    assert values == sorted(values)
    assert_allclose(values[-1], model.optimizer_results_[0].value, rtol=1e-6)
    weights = [step.kernel_.k2.own_weights() for step in [*steps, model]]
    assert not np.allclose(weights[0], weights[-1], rtol=1e-2)
    assert_allclose(weights[-2], weights[-1])
    assert_allclose(steps[-1].predict(X), model.predict(X))


@callbacks
def test_scikit_learns_monitor_scores_a_classifier_on_the_way():
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring="neg_log_loss")
    model = TorchGPClassifier(0.01 * RBF(0.1)).set_callbacks(monitor)
    model.fit(X, TWO)
    logged = monitor.get_logs().data
    scores = [one["neg_log_loss"] for one in logged if one["task_name"] == "iteration"]
    assert len(scores) == model.optimizer_results_[0].n_iterations
    assert scores[-1] > scores[0]


@callbacks
@pytest.mark.parametrize("name", ["starts", "one_vs_rest"])
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_side_by_side(name, backend):
    """Threads share the callback; of processes only what is done here is heard."""
    model, y, recorder = watched(name, n_jobs=2)
    with parallel_config(backend=backend):
        model.fit(X, y)
    plain = clone(FITS[name][0]).fit(X, y)
    assert_allclose(model.kernel_.theta, plain.kernel_.theta, rtol=1e-6)
    names = recorder.names()
    assert names[:2] == [("setup", "fit"), ("begin", "fit")]
    assert names[-2:] == [("end", "fit"), ("teardown", "fit")]
    if backend == "threading":
        assert names.count(("begin", "start")) == len(plain.optimizer_results_)
        assert names.count(("end", "start")) == len(plain.optimizer_results_)


@callbacks
def test_without_optimisation_there_are_no_starts():
    for params in ({"optimizer": None}, {"kernel": WhiteKernel(1.0, "fixed")}):
        model, y, recorder = watched("regressor", **params)
        model.fit(X, y)
        assert [event for event, _ in recorder.names()] == [
            "setup", "begin", "end", "teardown"
        ]  # fmt: skip


@callbacks
def test_an_optimiser_of_the_users_has_starts_without_iterations():
    model, y, recorder = watched("regressor", optimizer=lambda f, t, bounds: (t, 0.0))
    model.fit(X, y)
    assert [name for _, name in recorder.names()].count("iteration") == 0
    assert [name for _, name in recorder.names()].count("start") == 2


@callbacks
@pytest.mark.parametrize("name", ["regressor", "one_vs_rest"])
def test_inside_pipelines_and_searches(name):
    """An auto-propagated callback hears of our iterations below theirs."""
    model, y, _ = FITS[name]
    recorder = Propagated()
    pipe = make_pipeline(StandardScaler(), clone(model)).set_callbacks(recorder)
    search = GridSearchCV(pipe, {"standardscaler__with_mean": [True]}, cv=2)
    search.estimator.set_callbacks()
    search.set_callbacks(recorder).fit(X, y)
    names = recorder.names()
    assert names[0] == ("setup", "fit")
    assert names[-1] == ("teardown", "fit")
    assert [event for event, _ in names].count("teardown") == 1
    iterations = [c for _, c, _ in recorder.events if c.task_name == "iteration"]
    assert len(iterations) > 10
    top = iterations[0]
    while top.parent is not None:
        top = top.parent
    assert top.estimator_name == "GridSearchCV"
    assert iterations[0].estimator_name == type(model).__name__


@callbacks
@pytest.mark.parametrize("name", ["starts", "binary"])
def test_a_callback_may_stop_a_start(name):
    model, y, recorder = watched(name, at=lambda n: n == 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)  # it is what was asked for
        model.fit(X, y)
    first = model.optimizer_results_[0]
    assert first.n_iterations == 2
    assert first.converged is None
    assert "StopIteration" in first.message
    names = recorder.names()
    assert names.count(("begin", "start")) == names.count(("end", "start"))


def ctrl_c(after):
    """Objective.__call__ that gets Ctrl-C at the evaluation of this number."""
    plain, seen = Objective.__call__, []

    def interrupted(self, *args, **kwargs):
        seen.append(None)
        if len(seen) == after:
            signal.raise_signal(signal.SIGINT)
        return plain(self, *args, **kwargs)

    return interrupted


@pytest.fixture
def python_hears_ctrl_c():
    """Also where the process was started with SIGINT ignored, as `nohup` does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_hears_ctrl_c")
@pytest.mark.parametrize("watcher", ["nobody", "verbose", "callback"])
@pytest.mark.parametrize("after", [1, 4])
@pytest.mark.parametrize("name", FITS)
def test_ctrl_c_leaves_the_estimator_as_it_was(name, after, watcher, monkeypatch):
    model, y, _ = FITS[name]
    model, recorder = clone(model).set_params(verbose=int(watcher == "verbose")), None
    if watcher == "callback":
        if not hasattr(model, "set_callbacks"):
            pytest.skip("no callbacks in this scikit-learn")
        recorder = Recorder()
        model.set_callbacks(recorder)
    for fitted_before in (False, True):
        if fitted_before:
            model.fit(X, y)
        before = dict(vars(model))
        with monkeypatch.context() as patch:
            patch.setattr(Objective, "__call__", ctrl_c(after))
            with pytest.raises(KeyboardInterrupt):
                model.fit(X[::-1], y)
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())
        assert [n for n in vars(model) if n.endswith("_")] == [] or fitted_before
        if recorder is not None:
            assert recorder.names()[-1] == ("teardown", "fit")


@callbacks
@pytest.mark.parametrize("name", ["regressor", "one_vs_rest"])
def test_an_error_in_a_callback_is_the_fits(name):
    def fail(n):
        if n == 2:
            raise RuntimeError("no more")

    model, y, recorder = watched(name, at=fail)
    before = dict(vars(model))
    with pytest.raises(RuntimeError, match="no more"):
        model.fit(X, y)
    assert vars(model) == before
    assert recorder.names()[-1] == ("teardown", "fit")
    model.set_callbacks().fit(X, y)


@callbacks
def test_bad_data_end_a_watched_fit_in_teardown():
    model, y, recorder = watched("regressor")
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), y)
    assert recorder.names()[-1] == ("teardown", "fit")
    assert "_watch" not in vars(model)
    assert "_callback_fit_ctx" not in vars(model)


@callbacks
def test_scikit_learns_own_callbacks(capsys):
    from sklearn.callback import ProgressBar, ScoringMonitor

    pytest.importorskip("rich")
    monitor = ScoringMonitor(scoring="r2")
    model = clone(FITS["regressor"][0]).set_callbacks(ProgressBar(), monitor)
    model.fit(X, Y)
    assert "TorchGPRegressor - fit" in capsys.readouterr().out
    assert model.score(X, Y) > 0.8


# --- verbose -----------------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
def test_verbose_prints_a_line_for_each_iteration(name, capsys):
    model, y, _ = FITS[name]
    quiet = clone(model).fit(X, y)
    assert capsys.readouterr() == ("", "")
    loud = clone(model).set_params(verbose=1).fit(X, y)
    assert_allclose(theta_of(loud), theta_of(quiet))
    lines = capsys.readouterr().out.splitlines()
    records = loud.optimizer_results_
    coarse = any(r.n_coarse_evaluations for r in records)
    n = sum(record.n_iterations for record in records)
    assert len(lines) >= n if coarse else len(lines) == n
    word = "objective" if name == "loo" else "LML"
    assert all(line.startswith(f"[{type(model).__name__}, ") for line in lines)
    assert all(f", {word} " in line for line in lines)
    assert all("gradient norm" in line for line in lines)
    assert all(" evaluations, " in line and line.endswith(" s") for line in lines)
    assert f"start 1 of {1 + model.n_restarts_optimizer}]" in lines[0]
    last = records[-1]
    if not coarse:
        assert f"iteration {last.n_iterations}, " in lines[-1]
        assert f" {last.n_evaluations} evaluations" in lines[-1]
        assert f"{word} {last.value:.6f}" in lines[-1]
    if name == "one_vs_one":
        assert "problem 1 or 2" in lines[-1]


def test_partial_fit_has_nothing_to_tell(capsys):
    model = TorchGPRegressor(KERNEL, alpha=0.1, optimizer=None, verbose=1)
    model.partial_fit(X[:20], Y[:20]).partial_fit(X[20:], Y[20:])
    assert capsys.readouterr().out == ""
    assert_allclose(model.predict(X), clone(model).fit(X, Y).predict(X))


@pytest.mark.parametrize("model", [TorchGPRegressor(), TorchGPClassifier()])
def test_verbose_is_checked(model):
    with pytest.raises(ValueError, match="'verbose' parameter"):
        clone(model).set_params(verbose=-1).fit(X, TWO)


@pytest.mark.parametrize(
    "name", ["regressor", "loo", "binary", "one_vs_rest", "softmax"]
)
def test_a_long_fit_says_once_what_it_costs(name, monkeypatch, capsys):
    monkeypatch.setattr(progress, "FEW_ROWS", 9)
    model, y, problems = FITS[name]
    clone(model).set_params(verbose=1).fit(X, y)
    assert "takes about" not in capsys.readouterr().out  # it does not take minutes
    monkeypatch.setattr(progress, "LONG", 0.0)
    clone(model).fit(X, y)
    assert capsys.readouterr().out == ""
    clone(model).set_params(verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if "takes about" in line]
    assert len(said) == max(1, len(problems))
    assert said[0] is lines[0]
    memory = f" s and {8 * 24**2 / 2**30:.3g} GiB (from one on 9 rows)"
    for word in ("on 24 rows", memory, "Fit fewer rows"):
        assert word in said[0]


def test_a_fit_to_copies_is_announced(monkeypatch, capsys):
    """The rows it is measured on are of those given, not of those left distinct."""
    monkeypatch.setattr(progress, "FEW_ROWS", 9)
    monkeypatch.setattr(progress, "LONG", 0.0)
    X_, y_ = np.repeat(X[:3], 8, axis=0), np.repeat(Y[:3], 8)
    TorchGPRegressor(KERNEL + WhiteKernel(), verbose=1).fit(X_, y_)
    assert "One evaluation on 24 rows" in capsys.readouterr().out


def test_what_cannot_be_measured_is_not_announced(monkeypatch, capsys):
    monkeypatch.setattr(progress, "FEW_ROWS", 9)
    monkeypatch.setattr(progress, "LONG", 0.0)

    def objective(estimator, theta, eval_gradient):
        return estimator.log_marginal_likelihood(theta, eval_gradient=eval_gradient)

    model = TorchGPRegressor(KERNEL, alpha=0.1, objective=objective, verbose=1)
    model.fit(X, Y)
    assert "takes about" not in capsys.readouterr().out


def test_the_announced_seconds_grow_with_the_cube(monkeypatch):
    """From one evaluation on few rows; a clock that ticks a second at every call."""
    ticks = iter(range(1000))
    monkeypatch.setattr(progress, "FEW_ROWS", 6)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(ticks)))
    model = TorchGPRegressor(KERNEL, alpha=0.1, optimizer=None).fit(X, Y)
    assert progress._seconds_of_one(model, 24, 3) == 4.0**3
    assert progress._seconds_of_one(model, 24, 1) == 4.0


# --- more memory than there is -----------------------------------------------------


def test_the_cure_is_one_that_helps(monkeypatch):
    monkeypatch.setattr(progress, "_memory_of", lambda device: 16.0 * 2**30)
    double, single = (
        TorchGPRegressor(device="cpu", dtype=f"float{b}") for b in (64, 32)
    )
    # 200,000 rows: half of 298 GiB is no cure.
    text = progress.cure(double, 200_000)
    assert text.startswith(
        "Set method='vecchia' or 'auto', which hold no n x n matrix. Fit"
    )
    assert "Fit at most 32768 rows" in text
    assert "float32" not in text
    assert 8 * 32768**2 == 8 * 2**30
    assert "float32" in progress.cure(double, 40_000)
    assert "float32" not in progress.cure(single, 40_000)
    assert "vecchia" not in progress.cure(TorchGPClassifier(device="cpu"), 200_000)
    monkeypatch.undo()
    assert 0 < progress._memory_of(torch.device("cpu")) < float("inf")
    assert progress._memory_of(torch.device("meta")) == float("inf")


@pytest.mark.parametrize("name", FITS)
def test_too_large_for_memory_is_said_alike(name, monkeypatch):
    """torch's words for it, which name no matrix and no cure."""

    def refuse(*args, **kwargs):
        raise RuntimeError("[enforce fail] can't allocate memory: you tried ...")

    model, y, _ = FITS[name]
    monkeypatch.setattr(progress, "_memory_of", lambda device: 800.0)
    monkeypatch.setattr("sklearn_torchgp._covariance.Covariance.gram", refuse)
    rows = r"Fitting (24|16|\d+) rows needs at least [\d.e-]+ GiB on cpu"
    words = (
        rf"{rows}, which could not be had\. (Set method='vecchia'.*)?Fit at most 7 rows"
    )
    model = clone(model)
    before = dict(vars(model))
    with pytest.raises(MemoryError, match=words):
        model.fit(X, y)
    assert vars(model) == before


def test_a_classifier_of_two_million_rows():
    """30 TB; no word of torch's own."""
    X = np.arange(2_000_000.0)[:, None]
    model = TorchGPClassifier(KERNEL, device="cpu")
    with pytest.raises(
        MemoryError, match=r"2000000 rows needs at least 2\.98e\+04 GiB"
    ):
        model.fit(X, X[:, 0] > 1e6)
