"""Fitted attributes are the live state; starts are recorded; jitter is reported."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.optimize
import torch
from helpers import wave
from kernel_zoo import rows
from scipy.optimize import LbfgsInvHessProduct
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.preprocessing import PowerTransformer

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.exceptions import JitterWarning

KERNEL = 1.0 * RBF(0.7) + WhiteKernel(0.1)


@pytest.fixture
def data():
    return wave(25)


@pytest.fixture
def model(data):
    return TorchGPRegressor(KERNEL).fit(*data)


def test_it_is_a_scikit_learn_regressor():
    assert isinstance(TorchGPRegressor(), GaussianProcessRegressor)


def test_constructor_has_scikit_learns_defaults():
    theirs = GaussianProcessRegressor().get_params()
    ours = TorchGPRegressor().get_params()
    assert theirs.items() <= ours.items()
    assert (ours["device"], ours["dtype"]) == ("auto", "float64")


def test_attributes_have_scikit_learns_types(model, data):
    theirs = GaussianProcessRegressor(KERNEL).fit(*data)
    for name, value in vars(theirs).items():
        assert type(getattr(model, name)) is type(value), name
        if isinstance(value, np.ndarray):
            assert getattr(model, name).shape == value.shape, name
            assert getattr(model, name).dtype == value.dtype, name
    assert isinstance(model.log_marginal_likelihood(), np.float64)


def test_swapping_the_kernel_after_fit(model):
    """scikit-optimize takes the noise out of `kernel_` after `fit`."""
    Z = rows(4, seed=3)
    mean, std = model.predict(Z, return_std=True)
    noise = model.kernel_.k2.noise_level
    model.kernel_ = model.kernel_.k1
    after = model.predict(Z, return_std=True)
    np.testing.assert_allclose(after[0], mean)
    np.testing.assert_allclose(after[1] ** 2, std**2 - noise, rtol=1e-6, atol=1e-9)
    model.kernel_.theta = model.kernel_.theta + 1
    want = model.kernel_(Z, model.X_train_) @ model.alpha_
    np.testing.assert_allclose(model.predict(Z), want)
    assert not np.allclose(want, mean)


def test_swapping_arrays_after_fit(model):
    Z = rows(4, seed=3)
    mean = model.predict(Z)
    model.alpha_ = 2 * model.alpha_
    np.testing.assert_allclose(model.predict(Z), 2 * mean)
    model.X_train_ = model.X_train_ + 100.0
    np.testing.assert_allclose(model.predict(Z), 0.0, atol=1e-10)


def test_training_data_set_by_hand(data):
    """gpry sets the data itself and asks for the likelihood."""
    X, y = data
    model = TorchGPRegressor(KERNEL, alpha=0.01)
    model.X_train_, model.y_train_, model.kernel_ = X, y, clone(KERNEL)
    model.alpha = np.full(25, 0.02)
    expected = GaussianProcessRegressor(KERNEL, alpha=0.02, optimizer=None).fit(X, y)
    assert model.log_marginal_likelihood(KERNEL.theta) == pytest.approx(
        expected.log_marginal_likelihood_value_, rel=1e-12
    )


def test_training_data_set_before_fit(data):
    model = TorchGPRegressor(KERNEL)
    model.X_train_ = np.zeros((3, 3))
    assert model.fit(*data).X_train_.shape == (25, 3)


def test_kernel_changed_between_fits_without_optimizer(data):
    """SMAC sets theta itself, with optimizer=None and alpha=0."""
    kernel = clone(KERNEL)
    model = TorchGPRegressor(kernel, optimizer=None, alpha=0).fit(*data)
    kernel.theta = kernel.theta + 0.5
    model.fit(*data)
    np.testing.assert_allclose(model.kernel_.theta, kernel.theta)
    assert model.log_marginal_likelihood_value_ == pytest.approx(
        model.log_marginal_likelihood(kernel.theta)
    )


def test_constrained_optimization_can_be_overridden(data):
    class Fixed(TorchGPRegressor):
        def _constrained_optimization(self, obj_func, initial_theta, bounds):
            value, gradient = obj_func(initial_theta)
            assert gradient.shape == initial_theta.shape
            return initial_theta, value

    model = Fixed(KERNEL).fit(*data)
    np.testing.assert_array_equal(model.kernel_.theta, KERNEL.theta)
    (record,) = model.optimizer_results_
    assert (record.n_evaluations, record.converged) == (1, None)


def test_likelihood_overridden_by_a_subclass_is_what_fit_maximises(data):
    class Prior(TorchGPRegressor):
        def log_marginal_likelihood(self, theta=None, eval_gradient=False, **options):
            if theta is None:
                return super().log_marginal_likelihood()
            value, slope = super().log_marginal_likelihood(theta, True, **options)
            value, slope = value - 1e4 * (theta**2).sum(), slope - 2e4 * theta
            return (value, slope) if eval_gradient else value

    np.testing.assert_allclose(Prior(KERNEL).fit(*data).kernel_.theta, 0, atol=1e-2)


def test_constructor_parameters_are_not_changed(data):
    alpha = np.array([0.1])
    model = TorchGPRegressor(KERNEL, alpha=alpha).fit(*data)
    assert model.alpha is alpha
    assert model.kernel is KERNEL
    assert model.kernel_ is not KERNEL


@pytest.mark.parametrize("copy", [True, False])
def test_copy_X_train(data, copy):
    X, y = data
    model = TorchGPRegressor(KERNEL, copy_X_train=copy).fit(X, y)
    assert (model.X_train_ is X) is not copy
    assert np.shares_memory(model.y_train_, y) is not copy


def test_predictions_do_not_depend_on_the_rows_beside(model, monkeypatch):
    from sklearn_torchgp._linalg import memory

    Z = rows(300, seed=4)
    mean, std = model.predict(Z, return_std=True)
    monkeypatch.setitem(memory.BLOCK_BYTES, "cpu", 1)
    blocked_mean, blocked_std = model.predict(Z, return_std=True)
    np.testing.assert_allclose(blocked_mean, mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(blocked_std, std, rtol=1e-9)
    np.testing.assert_allclose(model.predict(Z[7:8]), mean[7:8], rtol=1e-12)


def test_std_is_the_root_of_the_covariances_diagonal():
    X = np.linspace(0, 1, 40)[:, None]
    model = TorchGPRegressor(RBF(0.5), optimizer=None, alpha=1e-8).fit(
        X, np.sin(X[:, 0])
    )
    Z = np.vstack([X, X + 0.003])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Predicted variances")
        std = model.predict(Z, return_std=True)[1]
    cov = model.predict(Z, return_cov=True)[1]
    assert (np.diag(cov) >= 0).all()
    np.testing.assert_allclose(std, np.sqrt(np.diag(cov)), atol=1e-7)
    np.testing.assert_array_equal(cov, cov.T)


@pytest.mark.parametrize("Z", [rows(4, seed=3), rows(25)], ids=["new", "training"])
def test_variances_are_never_negative(model, Z):
    """A factor that is too small, as round-off makes it, explains too much."""
    model.L_ = 0.5 * model.L_
    model.kernel_ = model.kernel_.k1
    with pytest.warns(UserWarning, match="Predicted variances smaller than 0"):
        _, std = model.predict(Z, return_std=True)
    _, cov = model.predict(Z, return_cov=True)
    np.testing.assert_array_equal(std, 0.0)
    np.testing.assert_array_equal(np.diag(cov), 0.0)


# --- the record of the optimiser ---------------------------------------------------


def test_record_of_every_start(data):
    model = TorchGPRegressor(KERNEL, n_restarts_optimizer=3, random_state=1).fit(*data)
    assert len(model.optimizer_results_) == 4
    np.testing.assert_array_equal(model.optimizer_results_[0].theta_start, KERNEL.theta)
    best = max(model.optimizer_results_, key=lambda record: record.value)
    assert best.value == model.log_marginal_likelihood_value_
    np.testing.assert_allclose(best.theta, model.kernel_.theta)
    bounds = KERNEL.bounds
    for record in model.optimizer_results_:
        assert set(record) == {
            "theta_start", "theta", "value", "n_iterations", "n_evaluations",
            "n_coarse_evaluations",
            "n_failed_evaluations", "converged", "message", "path", "seconds",
        }  # fmt: skip
        thetas, values = (np.array(part) for part in zip(*record.path, strict=True))
        assert len(values) == record.n_evaluations
        np.testing.assert_array_equal(thetas[0], record.theta_start)
        assert len(np.unique(thetas, axis=0)) > 3
        np.testing.assert_array_equal(thetas[values.argmax()], record.theta)
        assert values.max() == record.value
        assert record.converged
        assert record.n_evaluations >= record.n_iterations > 0
        assert record.seconds > 0
        assert "CONVERGENCE" in record.message
        assert (record.theta_start >= bounds[:, 0]).all()
        assert (record.theta_start <= bounds[:, 1]).all()
    again = TorchGPRegressor(KERNEL, n_restarts_optimizer=3, random_state=1).fit(*data)
    for a, b in zip(model.optimizer_results_, again.optimizer_results_, strict=True):
        np.testing.assert_array_equal(a.theta_start, b.theta_start)
        np.testing.assert_array_equal(a.theta, b.theta)


def test_no_record_without_optimisation(data):
    assert TorchGPRegressor(KERNEL, optimizer=None).fit(*data).optimizer_results_ == []


def test_callable_optimizer(data):
    seen = {}

    def optimizer(obj_func, initial_theta, bounds):
        seen["bounds"] = bounds
        value = obj_func(initial_theta, eval_gradient=False)
        assert np.isscalar(value)
        return initial_theta + 0.1, value

    model = TorchGPRegressor(KERNEL, optimizer=optimizer).fit(*data)
    np.testing.assert_allclose(model.kernel_.theta, KERNEL.theta + 0.1)
    np.testing.assert_array_equal(seen["bounds"], KERNEL.bounds)


def test_one_warning_if_the_best_start_did_not_converge(data, monkeypatch):
    minimise = scipy.optimize.minimize

    def impatient(*args, options, **kwargs):
        return minimise(*args, options={**options, "maxiter": 1}, **kwargs)

    monkeypatch.setattr(scipy.optimize, "minimize", impatient)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        TorchGPRegressor(KERNEL, n_restarts_optimizer=3, random_state=0).fit(*data)
    (warning,) = seen
    assert warning.category is ConvergenceWarning
    assert "n_restarts_optimizer" in str(warning.message)


@pytest.mark.parametrize(
    ("slope", "curvature", "flat"),
    [(5e-3, None, True), (0.5, None, False), (0.5, 1.0, False), (0.5, 1e3, True)],
)
def test_a_search_that_round_off_stops_has_converged_if_it_is_flat(
    data, monkeypatch, slope, curvature, flat
):
    """0.01 nat for a hyperparameter times e, or for a Newton step, is the line."""

    def stopped(function, theta, **options):
        value = function(theta)
        result = scipy.optimize.OptimizeResult(
            x=theta,
            fun=value,
            jac=np.full_like(theta, slope),
            nit=3,
            success=False,
            message="ABNORMAL",
        )
        if curvature is not None:
            steps = np.eye(len(theta))
            result.hess_inv = LbfgsInvHessProduct(steps, curvature * steps)
        return result

    monkeypatch.setattr(scipy.optimize, "minimize", stopped)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        (record,) = TorchGPRegressor(KERNEL).fit(*data).optimizer_results_
    assert record.converged is flat
    assert [w.category for w in seen] == [] if flat else [ConvergenceWarning]


@pytest.mark.parametrize("dtype", ["float64", "float32", "mixed"])
def test_the_search_stops_at_the_round_off_of_the_precision(data, monkeypatch, dtype):
    minimise, seen = scipy.optimize.minimize, []

    def watched(*args, options, **kwargs):
        seen.append(options["ftol"])
        return minimise(*args, options=options, **kwargs)

    monkeypatch.setattr(scipy.optimize, "minimize", watched)
    TorchGPRegressor(KERNEL, dtype=dtype).fit(*data)
    scipys_own = 1e7 * np.finfo(np.float64).eps
    single = 10 * np.finfo(np.float32).eps
    assert min(seen) == (single if dtype == "float32" else scipys_own)
    assert max(seen) == (scipys_own if dtype == "float64" else single)
    assert seen[-1] == min(seen)


def test_a_hopeless_start_is_reported_as_such():
    """Never a finite likelihood: all trial values are -inf."""
    X = np.zeros((4, 1))
    with pytest.raises(np.linalg.LinAlgError, match="not returning a positive"):
        TorchGPRegressor(RBF(1.0), alpha=0.0).fit(X, np.arange(4.0))


# --- jitter ------------------------------------------------------------------------


def test_jitter_is_reported(data):
    X = np.zeros((40, 1))
    y = np.arange(40.0)
    with pytest.warns(JitterWarning, match=r"added to its diagonal.*WhiteKernel"):
        model = TorchGPRegressor(
            ConstantKernel(1e8) * RBF(1.0), alpha=1e-12, optimizer=None
        ).fit(X, y)
    assert model.jitter_ > 0
    assert np.isfinite(model.predict(X)).all()
    assert TorchGPRegressor(KERNEL).fit(*data).jitter_ == 0.0


def test_alpha_zero_gets_no_help():
    X = np.zeros((3, 1))
    with pytest.raises(np.linalg.LinAlgError, match="'alpha'"):
        TorchGPRegressor(RBF(1.0), alpha=0.0, optimizer=None).fit(X, np.arange(3.0))


@pytest.mark.parametrize("n", [1, 25])
def test_float32_reports_its_diagonal(data, n):
    """(n + 50) eps of what the kernel puts there."""
    X, y = (part[:n] for part in data)
    model = TorchGPRegressor(KERNEL, dtype="float32", optimizer=None).fit(X, y)
    eps, diagonal = np.finfo(np.float32).eps, np.mean(KERNEL.diag(X))
    assert model.jitter_ == pytest.approx((n + 50) * eps * diagonal, rel=1e-5)


# --- persistence -------------------------------------------------------------------


def test_pickle_holds_no_device_copies(model):
    model._kept.tensors["L_"] = model.L_, torch.zeros(1)
    restored = pickle.loads(pickle.dumps(model))
    assert not restored._kept.tensors


def test_a_model_that_names_a_missing_gpu_still_predicts(model):
    Z = rows(3, seed=5)
    expected = model.predict(Z)
    restored = pickle.loads(pickle.dumps(model)).set_params(device="cuda:63")
    with pytest.warns(UserWarning, match="predicting on the CPU"):
        found = restored.predict(Z)
    np.testing.assert_allclose(found, expected)


@pytest.mark.cuda
def test_cuda_equals_cpu(data):
    X, y = data
    Z = rows(9, seed=5)
    for kernel in (KERNEL, 1.0 * Matern([0.5, 0.6, 0.7]) + WhiteKernel(0.1)):
        cpu = TorchGPRegressor(kernel, device="cpu").fit(X, y)
        gpu = TorchGPRegressor(kernel, device="cuda").fit(X, y)
        np.testing.assert_allclose(gpu.kernel_.theta, cpu.kernel_.theta, atol=1e-4)
        np.testing.assert_allclose(gpu.predict(Z), cpu.predict(Z), atol=1e-5)
        gpu.alpha_ = 2 * gpu.alpha_
        np.testing.assert_allclose(gpu.predict(Z), 2 * cpu.predict(Z), atol=1e-4)
        assert pickle.loads(pickle.dumps(gpu)).set_params(device="cpu").predict(Z).shape


def test_fifty_fits_leave_nothing_behind(data):
    import gc

    model = TorchGPRegressor(KERNEL)
    model.fit(*data)

    def tensors():
        gc.collect()
        return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())

    before = tensors()
    for _ in range(50):
        model.fit(*data)
    assert tensors() <= before + 2


def test_a_likelihood_needs_a_fit():
    with pytest.raises(NotFittedError):
        TorchGPRegressor(KERNEL).log_marginal_likelihood(KERNEL.theta)


def test_a_transform_set_after_the_fit_waits_for_the_next_one(data):
    model = TorchGPRegressor(KERNEL, optimizer=None).fit(*data)
    before = model.predict_interval(data[0])
    model.set_params(target_transform=PowerTransformer())
    np.testing.assert_array_equal(model.predict_interval(data[0]), before)


@pytest.mark.parametrize("weight", [None, [1, 2, 3, 0.5, 7, 1, 1]])
@pytest.mark.parametrize("value", [0.1, -1e8 / 3, 7.7e-9])
def test_a_constant_target_has_no_scale_but_round_off(value, weight):
    """Its computed deviation is round-off, by which nothing may be divided."""
    X, y = rows(7), np.full(7, value)
    assert np.std(np.full(3, 0.1)) > 0
    model = TorchGPRegressor(KERNEL, optimizer=None, normalize_y=True)
    model.fit(X, y, sample_weight=weight)
    assert model._y_train_std == 1.0
    np.testing.assert_allclose(model.predict(rows(4, seed=3)), value, rtol=1e-12)
