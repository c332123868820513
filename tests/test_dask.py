"""Dask arrays: rows stay on the workers, and fits are those of one process."""

import os
import pickle
import signal

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LinearRegression

from sklearn_torchgp import TorchGPClassifier, TorchGPRegressor

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

from sklearn_torchgp._data import dask as engine  # noqa: E402
from sklearn_torchgp._data.spread import Shards  # noqa: E402
from sklearn_torchgp._model.plans import inducing as plan  # noqa: E402

N, M = 600, 50
RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (N, 2))
Y = np.sin(6 * X[:, 0]) + np.cos(5 * X[:, 1]) + 0.3 * RNG.standard_normal(N)
TWINS = X[np.maximum(np.arange(N), 30)]  # 31 equal rows
WEIGHT = RNG.choice([0.0, 1.0, 2.5], N, p=[0.1, 0.6, 0.3])
WEIGHT[:50] = 0.0
NOISE = RNG.uniform(0.01, 0.1, N)
KERNEL = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)

# Of any size; of the first no row has weight.
CHUNKS = (50, 1, 249, 200, 100)
FEW = {"optimizer_rows": 100}
EVERY = {"optimizer_rows": None}


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def nobody(monkeypatch):
    """No Client in place."""
    monkeypatch.setattr(engine, "current_client", lambda: None)


@pytest.fixture(autouse=True)
def draw(monkeypatch):
    """Points are chosen on fewer rows than there are."""
    monkeypatch.setattr(plan, "MOST_ROWS", 200)


def regressor(**params):
    options = {"method": "inducing", "inducing_points": M, "random_state": 0}
    return TorchGPRegressor(KERNEL, **{**options, "alpha": 1e-3, **params})


def spread(*arrays):
    """As Dask arrays, the first of uneven chunks and others of others."""
    rest = len(arrays[0]) - sum(CHUNKS[:-1])
    chunks = [(*CHUNKS[:-1], rest), 200, -1, 77]
    return [
        da.from_array(one, chunks=(own, *[-1] * (one.ndim - 1)))
        for one, own in zip(arrays, chunks, strict=False)
    ]


def classifier(**params):
    options = {"method": "inducing", "inference": "vi", "inducing_points": X[:M]}
    kernel = 2.0 * RBF([0.5, 0.5])
    return TorchGPClassifier(kernel, random_state=0, **{**options, **params})


def both(model, *arrays, **named):
    """The model fitted here, and on the cluster."""
    here, there = clone(model).fit(*arrays, **named), clone(model)
    given = dict(zip(named, spread(*arrays, *named.values())[2:], strict=True))
    return here, there.fit(*spread(*arrays), **given)


def assert_same(here, there):
    """To round-off; two searches, of sums in another order, may end a step apart."""
    searched = here.optimizer is not None
    assert_allclose(there.kernel_.theta, here.kernel_.theta, atol=2e-3)
    values = [one.log_marginal_likelihood_value_ for one in (there, here)]
    assert_allclose(*values, rtol=1e-6 if searched else 1e-9)
    if hasattr(here, "predict_proba"):
        answers = [one.predict_proba(X[:9]) for one in (there, here)]
    else:
        answers = [np.r_[one.predict(X[:9], return_std=True)] for one in (there, here)]
    tolerance = 1e-3 if searched else 1e-7
    assert_allclose(*answers, rtol=tolerance, atol=tolerance)


def check_same(model, *arrays, **named):
    """Both fits, compared; and without a search, where nothing but sums can differ."""
    fixed = clone(model).set_params(optimizer=None)
    if model.method == "inducing":
        fixed.set_params(inducing_points=X[:M])
    assert_same(*both(fixed, *arrays, **named))
    here, there = both(model, *arrays, **named)
    assert_same(here, there)
    return here, there


SAME = {
    "theta on all rows at the end": ({**FEW}, {}),
    "points move on all rows": ({**EVERY}, {}),
    "points given": ({**EVERY, "inducing_points": X[:M]}, {}),
    "trend and scale": ({**FEW, "mean": "linear", "normalize_y": True}, {}),
    "weights and noise": (
        {**FEW, "normalize_y": True},
        {"sample_weight": WEIGHT, "noise_variance": NOISE},
    ),
    "no optimiser": ({**FEW, "optimizer": None, "inducing_points": X[:M]}, {}),
}


@pytest.mark.parametrize("case", SAME)
def test_a_fit_is_that_of_one_process(client, case, monkeypatch):
    params, named = SAME[case]
    if "move" in case:  # from where k-means++ on all rows puts them
        drawn = engine.Table.drawn
        of_all = lambda self, size, seed: drawn(self, self.n, seed)  # noqa: E731
        monkeypatch.setattr(engine.Table, "drawn", of_all)
    check_same(regressor(**params), X, Y, **named)


def test_equal_rows(client):
    """Each worker keeps its own once."""
    model = regressor(**EVERY, inducing_points=X[:M])
    check_same(model, TWINS, Y)


def test_several_targets_with_noise_of_their_own(client):
    model = regressor(**EVERY, inducing_points=X[:M])
    targets, noise = np.c_[Y, 2 * Y[::-1]], np.c_[NOISE, 3 * NOISE]
    check_same(model, X, targets, noise_variance=noise)


def test_float32(client):
    """Where a trend takes it up y is centred."""
    model = regressor(**FEW, dtype="float32", mean="constant", optimizer=None)
    model.set_params(inducing_points=X[:M])
    here, there = both(model, X, 1e6 + Y)
    assert_allclose(there.predict(X), here.predict(X), rtol=1e-6)


def test_few_rows_come_all(client):
    """A fit that would draw them all goes on as in one process, to the last bit."""
    few = [da.from_array(one[:150], chunks=(50, *one.shape[1:])) for one in (X, Y)]
    few = regressor(optimizer=None, **EVERY).fit(*few)
    assert np.isfinite(few.log_marginal_likelihood(KERNEL.theta))
    here, there = both(regressor(optimizer_rows=N), X, Y)
    assert_allclose(there.kernel_.theta, here.kernel_.theta, rtol=0)
    assert there.log_marginal_likelihood(KERNEL.theta) < 0  # all rows are there


def test_sums_alone_travel(client, monkeypatch):
    sizes, gather = [], Shards.gather

    def spy(self, futures):
        found = gather(self, futures)
        sizes.append([len(pickle.dumps(as_ndarrays(one))) for one in found])
        return found

    monkeypatch.setattr(Shards, "gather", spy)
    model = regressor(**FEW).fit(*spread(X, Y))
    n_workers = len(client.nthreads())
    assert all(len(one) == n_workers for one in sizes)
    assert np.max(sizes) < (M**2 + M) * 8 + 2000
    assert np.min(sizes) < 2000  # of a gradient in theta
    assert model.X_train_.shape == (200, 2)


def as_ndarrays(parts):
    """What travels, without what pickling tensors adds."""
    fields = [one if isinstance(one, np.ndarray) else vars(one) for one in parts]
    values = [list(one.values()) if isinstance(one, dict) else [one] for one in fields]
    return [np.asarray(value) for part in values for value in part]


def test_the_fitted_estimator_is_plain(client):
    DX, DY = spread(X, Y)
    model = regressor(**FEW, optimizer=None).fit(DX, DY)
    pickled = pickle.dumps(model)
    assert b"dask" not in pickled
    assert b"distributed" not in pickled
    mean = DX.map_blocks(model.predict, drop_axis=1, dtype=float)
    plain = pickle.loads(pickled).predict(X)
    assert_allclose(mean.compute(), plain, rtol=0, atol=1e-10)  # other blocks of rows


def test_what_needs_all_rows_says_so(client):
    model = regressor(**FEW).fit(*spread(X, Y))
    for call in (
        lambda: model.log_marginal_likelihood(model.kernel_.theta),
        lambda: model.sample_paths(1),
        lambda: model.set_params(alpha=1.0).partial_fit(X, Y),
    ):
        with pytest.raises(ValueError, match=r"X_train_.*compute\(\)"):
            call()
    assert model.log_marginal_likelihood() == model.log_marginal_likelihood_value_


def test_rows_here_are_left_out_of_all(client):
    model = regressor(**FEW, optimizer=None, inducing_points=X[:M])
    here, there = both(model, X, Y)
    index = [np.flatnonzero((one == X).all(1)).item() for one in there.X_train_]
    told, known = (one.loo_predict(return_std=True) for one in (there, here))
    assert_allclose(told, np.array(known)[:, index], rtol=1e-9, atol=1e-9)


def test_partial_fit_adds_rows(client):
    model = regressor(**FEW, optimizer=None, inducing_points=X[:M])
    here, there = both(model, X[:500], Y[:500])
    for one in (here, there):
        one.partial_fit(X[500:], Y[500:])
    assert_allclose(there.predict(X), here.predict(X), rtol=1e-8, atol=1e-8)


def test_a_worker_that_dies(client, monkeypatch):
    """Its shards are computed again by another."""
    calls, gather = [], Shards.gather

    def deadly(self, futures):
        calls.append(len(futures))
        if len(calls) == 4:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        return gather(self, futures)

    monkeypatch.setattr(Shards, "gather", deadly)
    here, there = both(regressor(**FEW), X, Y)
    assert len(calls) > 4
    assert_same(here, there)


LABELS = {
    "two classes": (np.where(Y > 0, "up", "down"), {"inducing_points": 30, **FEW}, {}),
    "weights": (
        Y > 0,
        {"class_weight": "balanced", **EVERY},
        {"sample_weight": WEIGHT},
    ),
    "three classes": (np.digitize(Y, [-0.5, 0.5]), {**FEW, "optimizer": None}, {}),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels(client, case):
    labels, params, named = LABELS[case]
    here, there = check_same(classifier(**params), X, labels, **named)
    assert (there.classes_ == here.classes_).all()
    assert b"distributed" not in pickle.dumps(there)


def test_labels_of_rows_here_are_left_out_of_all(client):
    model = classifier(**FEW, optimizer=None)
    here, there = both(model, X, Y > 0)
    drawn = there.base_estimator_.X_train_
    index = [np.flatnonzero((one == X).all(1)).item() for one in drawn]
    proba = there.loo_predict_proba(), here.loo_predict_proba()[index]
    assert_allclose(*proba, rtol=1e-5)
    with pytest.raises(ValueError, match=r"X_train_.*compute\(\)"):
        there.log_marginal_likelihood(there.kernel_.theta)


def test_what_cannot_be_computed_leaves_the_kernel_as_it_was(client):
    for model, y in ((regressor(optimizer=None, **FEW), Y), (classifier(**FEW), Y > 0)):
        model.fit(*spread(X, y))
        theta = np.copy(model.kernel_.theta)
        with pytest.raises(ValueError, match=r"X_train_.*compute\(\)"):
            model.log_marginal_likelihood(theta + 1, clone_kernel=False)
        assert_allclose(model.kernel_.theta, theta, rtol=0)


def test_rows_left_on_the_cluster_are_told_after_another_fit(client):
    model = classifier(method="exact", optimizer=None).fit(X[:50], Y[:50] > 0)
    model.set_params(method="inducing", **FEW).fit(*spread(X, Y > 0))
    with pytest.raises(ValueError, match=r"X_train_.*compute\(\)"):
        model.log_marginal_likelihood(model.kernel_.theta)


def test_chunks_of_unknown_sizes(client):
    """As a data frame has them."""
    model, (x, y) = regressor(optimizer=None, **FEW), spread(X, Y)
    known = clone(model).fit(x, y).predict(X[:9])
    unknown = [one[da.from_array(np.ones(N, bool), chunks=100)] for one in (x, y)]
    assert np.isnan(unknown[1].shape[0])
    for given in ((x, unknown[1]), unknown):
        assert_allclose(clone(model).fit(*given).predict(X[:9]), known, rtol=1e-8)


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "y contains NaN"), (0.5, "Unknown label type")]
)
def test_bad_labels_are_errors_wherever_they_are(client, value, words):
    model = classifier(optimizer=None, **FEW)
    for row in range(395, 405):
        labels = (Y > 0).astype(float)
        labels[row] = value
        with pytest.raises(ValueError, match=words):
            model.fit(*spread(X, labels))


def test_weights_are_checked_wherever_they_are(client):
    noisy = 1.0 * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    model = classifier(optimizer=None, **FEW).set_params(kernel=noisy)
    for row in range(395, 405):
        weight = np.ones(N)
        weight[row] = 2.0
        x, y, weight = spread(X, Y > 0, weight)
        with pytest.raises(ValueError, match="'sample_weight'.*WhiteKernel"):
            model.fit(x, y, sample_weight=weight)


def test_of_pairs_and_other_inference_there_are_no_sums():
    for params, words in (
        ({"multi_class": "one_vs_one"}, "'multi_class'.*'one_vs_rest'"),
        ({"method": "exact"}, "'method'.*'exact'.*method='inducing'"),
        ({"inference": "laplace"}, "'laplace'.*inference='vi'"),
    ):
        with pytest.raises(ValueError, match=words):
            classifier(**params).fit(*spread(X, Y > 0))


TERMS = {
    "terms drawn, then all": {"optimizer_rows": 100},
    "trend, of two passes": {"optimizer_rows": 100, "mean": "linear"},
    "densities of rows left out": {"optimizer": None, "objective": "loo"},
}


@pytest.mark.parametrize("case", TERMS)
def test_vecchias_terms_are_shared_out(client, case, monkeypatch):
    """Each worker has all rows, and so has the caller."""
    parts, gather = [], Shards.gather

    def counted(self, futures):
        parts.append(len(futures))
        return gather(self, futures)

    monkeypatch.setattr(Shards, "gather", counted)
    model = regressor(method="vecchia", n_neighbors=8, **TERMS[case])
    _, there = check_same(model, X, Y)
    assert parts
    assert min(parts) > 1
    assert there.X_train_.shape == X.shape
    assert np.isfinite(there.log_marginal_likelihood(there.kernel_.theta))
    assert b"distributed" not in pickle.dumps(there)


# --- without a cluster -------------------------------------------------------------


def test_without_a_client_threads_compute_the_arrays(nobody):
    here, there = both(regressor(**FEW), X, Y, sample_weight=WEIGHT)
    assert_allclose(there.kernel_.theta, here.kernel_.theta, rtol=0)
    assert type(there.X_train_) is np.ndarray


UNSUPPORTED = {
    "method": ("exact", "'method'.*'exact'.*method='inducing'.*compute"),
    "multi_output": ("independent", "'multi_output'.*each target by itself"),
    "mean": (LinearRegression(), "'mean'.*LinearRegression.*less its predictions"),
    "target_transform": (object(), "'target_transform'.*Transform y first"),
    "alpha": (np.full(N, 0.1), "'alpha'.*noise_variance"),
    "objective": (lambda *args: 0.0, "'objective'.*objective='lml'"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_options_that_need_all_rows_in_one_place(name):
    value, words = UNSUPPORTED[name]
    with pytest.raises(ValueError, match=words):
        regressor(**{name: value}).fit(*spread(X, Y))


def test_bad_rows_are_errors_of_the_fit(client):
    bad = X.copy()
    bad[400, 1] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN"):
        regressor(**FEW).fit(*spread(bad, Y))
    with pytest.raises(ValueError, match=r"'y'.*599 rows.*600"):
        regressor(**FEW).fit(*spread(X, Y[:-1]))
    with pytest.raises(ValueError, match=r"X has no rows"):
        regressor(**FEW).fit(da.zeros((0, 2)), da.zeros(0))
    with pytest.raises(ValueError, match=r"'sample_weight'.*\(600, 2\).*\(600,\)"):
        regressor(**FEW).fit(*spread(X, Y), sample_weight=np.ones((N, 2)))
    with pytest.raises(ValueError, match=r"X contains NaN"):
        regressor(**FEW).fit(*spread(bad, Y), sample_weight=np.arange(N) < 300.0)
    with pytest.raises(ValueError, match=r"'noise_variance'.*negative"):
        regressor(**FEW).fit(*spread(X, Y), noise_variance=-NOISE)
    with pytest.raises(ValueError, match=r"'sample_weight'.*zero in every entry"):
        regressor(**FEW).fit(*spread(X, Y), sample_weight=0 * WEIGHT)
    with pytest.raises(ValueError, match=r"'noise_variance'.*599 rows.*600"):
        regressor(**FEW).fit(*spread(X, Y), noise_variance=NOISE[1:])
