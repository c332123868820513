"""The contract of `_inference.contract`, for every entry of `contract_tables`."""

import numpy as np
import pytest
import torch
from contract_tables import LIKELIHOODS, MODELS, N, PlainBernoulli, X, model_of
from helpers import numeric_gradient
from numpy.testing import assert_allclose

from sklearn_torchgp._linalg import memory
from sklearn_torchgp._linalg.memory import Workspace

Z = np.random.RandomState(1).uniform(-2, 2, (9, 2))
# Exact inference, by itself and as a limit.
EXACT = [
    name
    for name in MODELS
    if name.startswith(("exact", "vecchia", "inducing"))
    and ("few" not in name or name.startswith("inducing"))
    and "drawn" not in name
    and "loo" not in name
]
LIMITS = [name for name, entry in MODELS.items() if entry[3] is not None]

every_model = pytest.mark.parametrize("name", MODELS)


def value_at(model, vector, **options):
    return model.infer(model.parameters.split(vector), **options)


def theta_of(name):
    return MODELS[name][1].theta


# --- methods -----------------------------------------------------------------------


@every_model
def test_gradient_by_differences(name):
    model, theta = model_of(name), theta_of(name)
    found = value_at(model, theta).gradient()
    gradient = model.parameters.join(found)
    wanted = numeric_gradient(lambda t: value_at(model, t).value, theta, step=1e-4)
    tolerance = 1e-2 if name == "mixed" else 1e-5
    assert_allclose(gradient, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", LIMITS)
def test_value_in_closed_form(name):
    _, kernel, _, formula, tolerance = MODELS[name]
    assert model_of(name).infer().value == pytest.approx(
        formula(kernel(X)), rel=tolerance
    )


@every_model
def test_theta_none_stands_for_the_kernels_own(name):
    model = model_of(name)
    own = model.infer()
    assert own.converged
    assert own.value == pytest.approx(value_at(model, theta_of(name)).value, rel=1e-8)


@every_model
def test_a_workspace_and_a_start_change_nothing(name):
    model, theta = model_of(name), theta_of(name)
    plain = value_at(model, theta)
    points = model.covariance.points
    work, start = Workspace(points.dtype, points.device), None
    for _ in range(2):
        found = value_at(model, theta, work=work, start=start)
        assert found.value == pytest.approx(plain.value, rel=1e-7)
        start = found.start
    assert found.n_iterations <= plain.n_iterations
    assert work.buffer("K", N, N) is work.buffer("K", N, N)


@every_model
def test_arrays_go_there_and_back(name):
    model = model_of(name)
    posterior = model.infer().posterior()
    again = model.posterior(dict(posterior.arrays))
    for one, other in zip(
        posterior.moments(Z, "var"), again.moments(Z, "var"), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", EXACT)
def test_extending_equals_inferring_anew(name):
    model = model_of(name)
    few = model.rows(np.arange(N - 4))
    if name in ("exact-constant", "exact-linear"):
        few.likelihood.basis.columns = model.likelihood.basis.columns
    grown = model.extend(few.infer().posterior())
    whole = model.infer()
    assert grown.value == pytest.approx(whole.value, rel=1e-9)
    moments = (found.posterior().moments(Z, "var") for found in (grown, whole))
    for one, other in zip(*moments, strict=True):
        assert_allclose(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["exact", "exact-targets", "exact-number"])
def test_a_batch_equals_its_members(name):
    model, theta = model_of(name), theta_of(name)
    thetas = [model.parameters.split(theta + shift) for shift in (0.0, 0.3)]
    found = model.method.infer_all(model.covariance, model.likelihood, thetas)
    for (value, gradient), at in zip(found, thetas, strict=True):
        single = model.infer(at)
        assert value == pytest.approx(single.value, rel=1e-10)
        assert_allclose(gradient["kernel"], single.gradient()["kernel"], rtol=1e-7)


# --- posteriors --------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("noise", [True, False])
def test_spreads_of_one_posterior_agree(name, noise):
    posterior = model_of(name).infer().posterior()
    mean, nothing = posterior.moments(Z, noise=noise)
    assert nothing is None
    assert mean.shape == (len(Z), posterior.n_functions)
    assert mean.dtype == torch.float64
    same_mean, variance = posterior.moments(Z, "var", noise=noise)
    assert_allclose(same_mean, mean, rtol=1e-12)
    joint_mean, cov = posterior.moments(Z, "cov", noise=noise)
    assert_allclose(joint_mean, mean, rtol=1e-10, atol=1e-12)
    assert_allclose(np.einsum("iiq->iq", cov), variance, rtol=1e-9, atol=1e-12)
    for one in cov.unbind(-1):
        assert_allclose(one, one.mT, atol=1e-14)
        assert torch.linalg.eigvalsh(one).min() > -1e-9


@every_model
@pytest.mark.parametrize("noise", [True, False])
def test_few_rows_in_numpy_say_the_same(name, noise, monkeypatch):
    """Where there is such a path, which all but Vecchia's and trends have."""
    posterior = model_of(name).infer().posterior()
    found = [posterior.few_moments(Z, one, noise=noise) for one in (None, "var", "cov")]
    slow = name.startswith(("vecchia", "softmax", "multiclass"))
    if slow or name.endswith(("constant", "linear")):
        assert found == [None] * 3
        return
    (mean, nothing), (same, variance), joint = found
    assert nothing is joint is None
    monkeypatch.setattr(type(posterior), "few_moments", lambda *_, **__: None)
    wanted, spread = posterior.moments(Z, "var", noise=noise)
    assert_allclose(mean, wanted, rtol=1e-9, atol=1e-12)
    assert_allclose(same, mean, rtol=1e-12)
    assert_allclose(variance, spread, rtol=1e-9, atol=1e-12)


@every_model
def test_answers_do_not_depend_on_the_blocks(name, monkeypatch):
    posterior = model_of(name).infer().posterior()
    many = np.random.RandomState(2).uniform(-2, 2, (600, 2))
    whole = posterior.moments(many, "var")
    monkeypatch.setattr(memory, "BLOCK_BYTES", dict.fromkeys(memory.BLOCK_BYTES, 1))
    for one, other in zip(whole, posterior.moments(many, "var"), strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@every_model
def test_slopes_by_differences(name):
    posterior = model_of(name).infer().posterior()
    if name.startswith(("softmax", "multiclass")):
        with pytest.raises(NotImplementedError):
            posterior.slopes(Z)
        return
    slopes, step = posterior.slopes(Z, variance=True), 1e-5
    for k in range(Z.shape[1]):
        shift = np.eye(Z.shape[1])[k] * step
        up, down = (posterior.moments(Z + s, "var") for s in (shift, -shift))
        for slope, high, low in zip(slopes, up, down, strict=True):
            wanted = (high - low) / (2 * step)
            assert_allclose(slope[:, k], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in EXACT if "weights" not in n])
def test_leave_one_out_by_refitting(name):
    model = model_of(name)
    mean, variance = model.infer().posterior().leave_one_out()
    for i in (0, N // 2):
        rest = model.rows(np.flatnonzero(np.arange(N) != i))
        if model.likelihood.basis is not None:
            rest.likelihood.basis.columns = model.likelihood.basis.columns
        moments = rest.infer().posterior().moments(X[[i]], "var")
        noise = model.likelihood.noise
        noise = noise if isinstance(noise, float) else noise[i]
        assert_allclose(mean[i], moments[0][0], rtol=1e-8, atol=1e-10)
        assert_allclose(variance[i], moments[1][0] + noise, rtol=1e-8)


@pytest.mark.parametrize("name", ["laplace", "ep", "vi"])
def test_cavities_by_refitting(name):
    """Under a Gaussian likelihood sites do not move, and cavities are exact."""
    model = model_of(name)
    mean, variance = model.infer().posterior().leave_one_out()
    exact = model_of("exact")
    exact = type(exact)(model.covariance, exact.likelihood, exact.method)
    for i in (0, N // 2):
        rest = exact.rows(np.flatnonzero(np.arange(N) != i))
        moments = rest.infer().posterior().moments(X[[i]], "var")
        assert_allclose(mean[i], moments[0][0], rtol=1e-6)
        assert_allclose(variance[i], moments[1][0], rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in EXACT if "by-target" not in n])
def test_conditioning_on_the_observations_changes_nothing(name):
    model = model_of(name)
    posterior = model.infer().posterior()
    again = posterior.condition(model.likelihood.y)
    assert_allclose(again.moments(Z)[0], posterior.moments(Z)[0], rtol=1e-10)
    twice = posterior.condition(2 * model.likelihood.y)
    assert_allclose(twice.moments(Z)[0], 2 * posterior.moments(Z)[0], rtol=1e-9)


# --- likelihoods -------------------------------------------------------------------

F = torch.linspace(-6, 6, N, dtype=torch.float64)
V = torch.linspace(0.01, 30, N, dtype=torch.float64)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_closed_forms_equal_the_defaults(name):
    closed = LIKELIHOODS[name]
    plain = PlainBernoulli(closed)
    for one, other in zip(closed.derivatives(F), plain.derivatives(F), strict=True):
        assert_allclose(one, other, rtol=1e-6, atol=1e-9)
    for what in ("expectations", "tilted"):
        pairs = zip(
            getattr(closed, what)(F, V), getattr(plain, what)(F, V), strict=True
        )
        for one, other in pairs:
            assert_allclose(one, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_derivatives_by_differences(name):
    likelihood, step = LIKELIHOODS[name], 1e-5
    for order in range(3):
        below = likelihood.log_p if order == 0 else (
            lambda f, order=order: likelihood.derivatives(f)[order - 1]
        )  # fmt: skip
        wanted = (below(F + step) - below(F - step)) / (2 * step)
        assert_allclose(likelihood.derivatives(F)[order], wanted, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_class_probabilities_sum_to_one(name):
    p = LIKELIHOODS[name].log_proba(F[:, None], V[:, None]).exp()
    assert_allclose(p.sum(1), 1.0, rtol=1e-12)
    assert ((p[:, 1] > 0.5) == (F > 0)).all()
