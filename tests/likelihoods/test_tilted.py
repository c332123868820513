"""Gaussian integrals of the links: EP's moments, VI's expectations, probabilities."""

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.special import log_expit, log_ndtr

from sklearn_torchgp._likelihoods import LINKS, Bernoulli, class_log_probabilities
from sklearn_torchgp._likelihoods.tilted import tilted

LOG_P = {"logit": log_expit, "probit": log_ndtr}
MEANS = (-30.0, -3.0, -0.5, 0.0, 1.0, 5.0, 40.0)
VARIANCES = (1e-4, 0.1, 1.0, 10.0, 1e3, 1e6)


def brute_force(name, m, v, power):
    """log Z, tilted mean and variance by a trapezoid rule with a million nodes."""
    sd = np.sqrt(v)
    # Both scales of the integrand: the Gaussian's (wide enough for the probit's tilt),
    # and that of the bend of the sigmoid.
    wide = m + (20 * sd + max(0.0, -m)) * np.linspace(-1, 1, 600_001)
    f = np.unique(np.concatenate([wide, m + 12 * sd * np.linspace(-1, 1, 200_001),
                                  np.linspace(-50, 50, 400_001)]))  # fmt: skip
    log_h = power * LOG_P[name](f) - (f - m) ** 2 / (2 * v)
    top = log_h.max()
    h = np.exp(log_h - top)
    Z = trapezoid(h, f)
    mean = trapezoid(h * f, f) / Z
    variance = trapezoid(h * (f - mean) ** 2, f) / Z
    return np.log(Z / (sd * np.sqrt(2 * np.pi))) + top, mean, variance


@pytest.mark.parametrize("power", [None, 0.3])
@pytest.mark.parametrize("name", LINKS)
def test_tilted_moments_at_any_variance(name, power):
    for m in MEANS:
        for v in VARIANCES:
            given = [torch.tensor([x], dtype=torch.float64) for x in (m, v)]
            e = None if power is None else torch.full_like(given[0], power)
            log_z, slope, bend, shrinkage = tilted(LINKS[name], *given, e)
            expected = brute_force(name, m, v, power or 1.0)
            assert log_z.item() == pytest.approx(expected[0], rel=1e-8, abs=1e-9)
            mean = m + v * slope.item()
            assert mean == pytest.approx(expected[1], abs=1e-7 * np.sqrt(v) + 1e-9)
            assert shrinkage.item() == pytest.approx(expected[2] / v, rel=1e-6)
            assert 1 - v * bend.item() == pytest.approx(expected[2] / v, rel=1e-6)


def test_probit_quadrature_is_the_closed_form():
    m = torch.linspace(-20, 20, 41, dtype=torch.float64)
    for v in (0.01, 1.0, 50.0, 1e4):
        variance = torch.full_like(m, v)
        closed = tilted(LINKS["probit"], m, variance)
        numeric = tilted(LINKS["probit"], m, variance, torch.ones_like(m))
        for a, b in zip(numeric, closed, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", LINKS)
def test_expectations_against_gauss_hermite(name):
    rng = np.random.RandomState(0)
    m, v = torch.tensor(rng.randn(30) * 2), torch.tensor(rng.uniform(0.01, 1.5, 30))
    y = torch.tensor(rng.choice([-1.0, 1.0], 30))
    weight = torch.tensor(rng.uniform(0.2, 3, 30))
    x, w = np.polynomial.hermite_e.hermegauss(180)
    f = m[:, None] + v.sqrt()[:, None] * torch.tensor(x)
    w = torch.tensor(w / w.sum())
    one = Bernoulli(name, y[:, None], weight[:, None])
    third, h = one.derivatives(f)[2], 1e-4
    fourth = (one.derivatives(f + h)[2] - one.derivatives(f - h)[2]) / (2 * h)
    expected = [one.log_p(f), *one.derivatives(f)[:2], third, fourth]
    found = Bernoulli(name, y, weight).expectations(m, v)
    for value, reference in zip(found[:4], expected[:4], strict=True):
        np.testing.assert_allclose(value, reference @ w, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found[4], expected[4] @ w, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LINKS)
def test_class_probabilities(name):
    m = torch.tensor([-1e3, -4.0, -1e-13, 0.0, 1e-13, 0.3, 1e3], dtype=torch.float64)
    for v in (0.0, 1e-12, 1.0, 1e5):
        p = class_log_probabilities(name, m, torch.full_like(m, v)).exp()
        np.testing.assert_allclose(p.sum(dim=1), 1, rtol=1e-14)
        flipped = class_log_probabilities(name, -m, torch.full_like(m, v)).exp()
        np.testing.assert_allclose(p, flipped.flip(1), rtol=1e-12)
        assert torch.equal(p[:, 1] >= 0.5, m > 0)
        assert torch.equal(p.argmax(dim=1), (m > 0).long())
        np.testing.assert_allclose(p[3], 0.5, rtol=1e-14)
    exact = class_log_probabilities(name, m, torch.zeros_like(m))[:, 1]
    np.testing.assert_allclose(exact, LOG_P[name](m.numpy()), rtol=1e-9, atol=1e-11)


def test_a_weight_is_a_power_and_counts_copies():
    y = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    weight = torch.tensor([3.0, 0.5, 1.0], dtype=torch.float64)
    f = torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64)
    weighted, plain = Bernoulli("logit", y, weight), Bernoulli("logit", y)
    np.testing.assert_allclose(weighted.log_p(f), weight * plain.log_p(f))
    for a, b in zip(weighted.derivatives(f), plain.derivatives(f), strict=True):
        np.testing.assert_allclose(a, weight * b)
    assert weighted.copies.tolist() == [3.0, 1.0, 1.0]
    assert weighted.power.tolist() == [1.0, 0.5, 1.0]
    assert plain.copies is None
    assert Bernoulli("probit", y, torch.ceil(weight)).power is None
