"""Which kernels run on torch, which on NumPy, and how users add theirs."""

import warnings

import numpy as np
import pytest
import torch
from kernel_zoo import OWN, rows
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    Hyperparameter,
    Matern,
    PairwiseKernel,
    WhiteKernel,
)
from sklearn.gaussian_process.tests._mini_sequence_kernel import MiniSeqKernel

from sklearn_torchgp import TorchGPRegressor, register_kernel
from sklearn_torchgp._covariance import Covariance, registry
from sklearn_torchgp._covariance.fallback import Fallback
from sklearn_torchgp.exceptions import KernelFallbackWarning


def bind(kernel, X):
    return Covariance(kernel, X, dtype=torch.float64, device=torch.device("cpu"))


class Renamed(RBF):
    """Overrides nothing that defines the values."""

    def __repr__(self):
        return "Renamed"


class Halved(RBF):
    def __call__(self, X, Y=None, eval_gradient=False):
        result = super().__call__(X, Y, eval_gradient)
        return tuple(r / 2 for r in result) if eval_gradient else result / 2

    def diag(self, X):
        return super().diag(X) / 2


class OtherDiag(ConstantKernel):
    def diag(self, X):
        return X[:, 0]


def test_a_subclass_that_overrides_nothing_keeps_the_torch_path():
    assert registry.lookup(Renamed(1.0)) is registry.lookup(RBF(1.0)) is not None


@pytest.mark.parametrize("kernel", [Halved(1.0), OtherDiag(1.0)])
def test_a_subclass_that_overrides_values_takes_the_fallback(kernel):
    assert registry.lookup(kernel) is None


def test_matern_is_not_taken_for_its_base_class():
    assert registry.lookup(Matern()).dense is not registry.lookup(RBF()).dense


def test_classes_made_at_run_time_take_the_fallback():
    """As bayesian-optimization makes them: type() with an own __call__."""

    def call(self, X, Y=None, eval_gradient=False):
        X = np.round(X)
        return Matern.__call__(self, X, Y, eval_gradient)

    wrapped = type("Wrapped", (Matern,), {"__call__": call})(nu=2.5)
    X = 3 * rows(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KernelFallbackWarning)
        K, _ = bind(wrapped, X).gram()
    np.testing.assert_allclose(np.tril(K), np.tril(Matern(nu=2.5)(np.round(X))))


def test_fallback_values_and_gradient_inside_a_sum():
    X = rows(9)
    kernel = 1.5 * Halved(0.8) + WhiteKernel(0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KernelFallbackWarning)
        cov = bind(kernel, X)
    K, pullback = cov.gram(kernel.theta + 0.1)
    reference = kernel.clone_with_theta(kernel.theta + 0.1)
    value, gradient = reference(X, eval_gradient=True)
    np.testing.assert_allclose(np.tril(K), np.tril(value), atol=1e-14)
    G = np.random.RandomState(0).randn(9, 9)
    G = G + G.T
    np.testing.assert_allclose(
        pullback(torch.from_numpy(G)), np.einsum("ij,ijp->p", G, gradient), atol=1e-12
    )


def test_fallback_times_noise_has_its_gradient():
    X = rows(6)
    kernel = Halved(0.8) * WhiteKernel(0.2) + WhiteKernel(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KernelFallbackWarning)
        _, pullback = bind(kernel, X).gram()
    _, gradient = kernel(X, eval_gradient=True)
    found = pullback(torch.ones(6, 6, dtype=torch.float64))
    np.testing.assert_allclose(found, gradient.sum((0, 1)), atol=1e-12)


def test_fallback_warns_once_per_class_and_only_where_a_cure_exists():
    class Fresh(Halved):
        pass

    with pytest.warns(KernelFallbackWarning, match="register_kernel"):
        bind(Fresh(1.0), rows(3))
    bind(Fresh(1.0), rows(3))  # a second warning would be an error here
    bind(MiniSeqKernel(), np.array(["A", "AB"]))


def test_lists_of_strings():
    X = np.array(["A", "AB", "B"])
    kernel = 2.0 * MiniSeqKernel() + WhiteKernel(0.1)
    K, _ = bind(kernel, X).gram()
    np.testing.assert_allclose(np.tril(K), np.tril(kernel(X)))


def test_unknown_metric_options_are_left_to_scikit_learn():
    kernel = PairwiseKernel(metric=lambda x, z, gamma=None: float(x @ z))
    assert registry.lookup(kernel) is None


def test_compound_kernel_is_refused_with_the_cure():
    with pytest.raises(ValueError, match=r"CompoundKernel.*combine"):
        bind(CompoundKernel([RBF(), RBF()]), rows(3))


@pytest.mark.parametrize("kernel", [RBF([1.0, 2.0]), Matern([1.0, 2.0])])
def test_length_scale_of_wrong_length(kernel):
    with pytest.raises(ValueError, match=r"Anisotropic.*\(2!=3\)"):
        bind(kernel, rows(4))


def test_chi2_refuses_negative_entries():
    with pytest.raises(ValueError, match="chi2"):
        bind(PairwiseKernel(metric="chi2"), rows(4) - 1).gram()


class Cosh(RBF):
    """A user's kernel whose NumPy code must never run."""

    def __call__(self, X, Y=None, eval_gradient=False):
        raise AssertionError("the torch function should have been used")

    def diag(self, X):
        raise AssertionError("the torch function should have been used")


def cosh(params, X, Z):
    scaled = (X[:, None] - Z[None]) / params["length_scale"]
    return (1 / torch.cosh(scaled)).prod(-1)


@pytest.fixture
def clean_table():
    before = registry.registered()
    yield
    registry._TABLE.clear()
    registry._TABLE.update(before)


@pytest.mark.usefixtures("clean_table")
@pytest.mark.parametrize("length_scale", [0.8, [0.5, 0.8, 1.1]])
def test_registered_function_gets_its_gradient_from_autograd(length_scale):
    register_kernel(Cosh, cosh, stationary=True)
    kernel = 1.3 * Cosh(length_scale) + WhiteKernel(0.1)
    X = rows(7)
    cov = bind(kernel, X)
    assert not any(isinstance(leaf, Fallback) for leaf in cov._leaves)
    G = torch.ones(7, 7, dtype=torch.float64)
    theta = kernel.theta
    gradient = cov.gram(theta)[1](G)
    np.testing.assert_allclose(cov.diag(X), 1.4)
    for i in range(len(theta)):
        e = 1e-6 * np.eye(len(theta))[i]
        slope = (cov.full(theta=theta + e) - cov.full(theta=theta - e)).sum() / 2e-6
        assert gradient[i] == pytest.approx(slope.item(), rel=1e-7)


@pytest.mark.usefixtures("clean_table")
def test_registered_function_with_its_own_pullback_and_diag():
    def linear(params, X, Z):
        K = params["length_scale"] * (X @ Z.T)
        return K, lambda G: {"length_scale": (G * K).sum()}

    class Linear(Cosh):
        pass

    register_kernel(
        Linear, linear, diag=lambda params, X: params["length_scale"] * (X**2).sum(1)
    )
    X = rows(5)
    K, pullback = bind(Linear(2.0), X).gram()
    np.testing.assert_allclose(np.tril(K), np.tril(2 * X @ X.T))
    total = 2 * (X @ X.T).sum()
    found = pullback(torch.ones(5, 5, dtype=torch.float64))
    np.testing.assert_allclose(found, [total])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((int, cosh), "kernel_class"),
        ((Cosh, 3), "function"),
        ((Cosh(), cosh), "kernel"),
    ],
)
def test_register_kernel_names_the_bad_argument(arguments, name):
    with pytest.raises(TypeError, match=name):
        register_kernel(*arguments)


def test_register_kernel_names_a_bad_diag():
    with pytest.raises(TypeError, match="diag"):
        register_kernel(Cosh, cosh, diag="diag")


class UnitScale(RBF):
    """Fewer parameters than its parent."""

    def __init__(self):
        super().__init__(0.3, "fixed")


class Width(RBF):
    """Another parameter than its parent's."""

    def __init__(self, width=1.0, width_bounds=(1e-3, 1e3)):
        self.width, self.width_bounds = width, width_bounds

    @property
    def length_scale(self):
        return self.width / 2

    @property
    def hyperparameter_length_scale(self):
        return Hyperparameter("width", "numeric", self.width_bounds)


@pytest.mark.parametrize("kernel", [UnitScale(), Width()])
@pytest.mark.filterwarnings("ignore::sklearn_torchgp.exceptions.KernelFallbackWarning")
def test_subclasses_with_other_parameters_run_their_own_code(kernel):
    assert registry.lookup(kernel) is None
    X = np.linspace(0, 1, 12)[:, None]
    K, _ = bind(kernel, X).gram()
    np.testing.assert_allclose(np.tril(K), np.tril(kernel(X)), rtol=1e-13)


def squared_exponential(params, X, Z):
    apart = (X[:, None] - Z) / params["length_scale"]
    return torch.exp(-0.5 * apart.square().sum(-1))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda p, X, Z: squared_exponential(p, X, Z)[:, 0], r"shape \(m, n\)"),
        (lambda p, X, Z: squared_exponential(p, X, Z)[:1], r"shape \(m, n\)"),
        (lambda p, X, Z: 0.5, "Got 0.5"),
        (lambda p, X, Z: None, "Got None"),
        (lambda p, X, Z: squared_exponential(p, X, Z).detach(), "torch operations"),
        (lambda p, X, Z: (squared_exponential(p, X, Z), lambda G: {}), "length_scale"),
        (lambda p, X, Z: (squared_exponential(p, X, Z), lambda G: [1.0]), r"\[1.0\]"),
        (
            lambda p, X, Z: (
                squared_exponential(p, X, Z),
                lambda G: {"length_scale": torch.tensor(1.0)},
            ),
            "'length_scale': 2",
        ),
    ],
    ids=["vector", "one row", "float", "None", "no graph", "empty", "list", "scalar"],
)
def test_a_function_that_breaks_its_promise_is_named(function, message, monkeypatch):
    monkeypatch.setattr(registry, "_TABLE", dict(registry._TABLE))

    class Promise(RBF):
        def __call__(self, X, Y=None, eval_gradient=False):
            raise NotImplementedError

    register_kernel(Promise, function)
    X = rows(6)[:, :2]
    model = TorchGPRegressor(Promise([1.0, 2.0]) + WhiteKernel())
    with pytest.raises(ValueError, match=f"Promise.*{message}"):
        model.fit(X, X[:, 0])


def test_the_diagonal_of_a_registered_kernel_is_checked(monkeypatch):
    monkeypatch.setattr(registry, "_TABLE", dict(registry._TABLE))

    class Promise(RBF):
        pass

    register_kernel(Promise, squared_exponential, diag=lambda p, X: torch.ones(2))
    with pytest.raises(ValueError, match=r"diag of Promise.*\(m,\)"):
        bind(Promise(), rows(6)).gram()


def gradient_by_differences(kernel, X, G, step=1e-6):
    cov = bind(kernel, X)
    sums = [
        [(G * cov.full(theta=kernel.theta + s)).sum().item() for s in (e, -e)]
        for e in step * np.eye(kernel.n_dims)
    ]
    return [(up - down) / (2 * step) for up, down in sums]


@pytest.mark.parametrize(
    "kernel",
    [
        PairwiseKernel(0.4, metric="rbf") * (RBF(0.8) + WhiteKernel(0.2)),
        (PairwiseKernel(0.4, metric="poly") + WhiteKernel(0.3)) ** 2,
        OWN["derived-times-noise"],
    ],
    ids=str,
)
@pytest.mark.parametrize("n", [1, 5, 150])
def test_noise_in_a_product_has_the_gradient_of_the_diagonal(kernel, n):
    """Also of a kernel that has a pullback of its own and no diagonal."""
    X = rows(n)
    G = torch.from_numpy(np.random.RandomState(0).randn(n, n))
    G = G + G.mT
    found = bind(kernel, X).gram(kernel.theta)[1](G)
    expected = gradient_by_differences(kernel, X, G)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_noise_in_a_product_is_fitted():
    X = rows(30)
    kernel = PairwiseKernel(0.4, metric="rbf") * (RBF(0.8) + WhiteKernel(0.2))
    model = TorchGPRegressor(kernel).fit(X, np.sin(5 * X[:, 0]))
    assert np.isfinite(model.log_marginal_likelihood_value_)


def half(params, X, Z):
    """Not the squared exponential: what a user registers in its place."""
    return squared_exponential(params, X, Z) ** 2


@pytest.fixture
def rbf_of_a_user():
    before = registry.registered()
    register_kernel(RBF, half, stationary=True)
    yield
    registry._TABLE.clear()
    registry._TABLE.update(before)


@pytest.mark.usefixtures("rbf_of_a_user")
class TestAnOverriddenBuiltIn:
    """Every path asks for the user's function, or steps aside."""

    kernel = 1.5 * RBF(0.8) + WhiteKernel(0.1)

    def test_few_rows(self):
        X = rows(8)
        cov = bind(self.kernel, X)
        assert cov.few is None
        K, pullback = cov.gram(self.kernel.theta)
        expected = 1.5 * RBF(0.8 / 2**0.5)(X) + 0.1 * np.eye(8)
        np.testing.assert_allclose(np.tril(K), np.tril(expected))
        G = torch.ones(8, 8, dtype=torch.float64)
        np.testing.assert_allclose(
            pullback(G), gradient_by_differences(self.kernel, X, G), rtol=1e-6
        )

    def test_slopes(self):
        X, Z = rows(8), rows(3, seed=2)
        gp = TorchGPRegressor(self.kernel, optimizer=None).fit(X, np.sin(4 * X[:, 0]))
        found = gp.predict_gradient(Z)
        for k, e in enumerate(1e-5 * np.eye(3)):
            change = (gp.predict(Z + e) - gp.predict(Z - e)) / 2e-5
            np.testing.assert_allclose(found[:, k], change, rtol=1e-5, atol=1e-7)

    def test_sample_paths(self):
        X = rows(8)
        gp = TorchGPRegressor(self.kernel, optimizer=None).fit(X, np.sin(4 * X[:, 0]))
        with pytest.raises(ValueError, match="without random features"):
            gp.sample_paths()

    def test_matern_is_still_its_own(self):
        K = bind(Matern(0.8), rows(8)).cross(rows(8))
        np.testing.assert_allclose(K, Matern(0.8)(rows(8)))


class Inherited(RBF):
    """A subclass that overrides nothing."""


def test_a_subclass_that_overrides_nothing_has_every_fast_path():
    cov = bind(Inherited(0.8), rows(8))
    assert cov.few is not None
    assert cov._leaves[0].entry.slope is not None
