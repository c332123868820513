"""Log probabilities of the links and their derivatives."""

import numpy as np
import pytest
import torch
from scipy.special import log_expit, log_ndtr

from sklearn_torchgp._likelihoods import LINKS

ORACLE = {"logit": log_expit, "probit": log_ndtr}
F = torch.cat(
    [
        torch.linspace(-8, 8, 65, dtype=torch.float64),
        torch.tensor([-300.0, -60.0, -25.0, 25.0], dtype=torch.float64),
    ]
)


@pytest.mark.parametrize("name", LINKS)
def test_log_p(name):
    expected = ORACLE[name](F.numpy())
    np.testing.assert_allclose(LINKS[name].log_p(F), expected, rtol=1e-13)


@pytest.mark.parametrize("name", LINKS)
def test_three_derivatives_are_those_of_the_one_before(name):
    link = LINKS[name]
    h = 1e-3

    def difference(order):
        def value(f):
            return link.log_p(f) if order == 0 else link.derivatives(f)[order - 1]

        near, far = value(F + h) - value(F - h), value(F + 2 * h) - value(F - 2 * h)
        return (8 * near - far) / (12 * h)

    for order, derivative in enumerate(link.derivatives(F)):
        np.testing.assert_allclose(derivative, difference(order), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_probit_far_left_follows_its_series(dtype):
    f = -torch.logspace(0.5, 8, 200, dtype=torch.float64)
    x2 = f**-2
    series = -(1 - x2 + 6 * x2**2 - 50 * x2**3)
    d1, d2, d3 = LINKS["probit"].derivatives(f.to(dtype))
    tail = f < -20
    eps = torch.finfo(dtype).eps
    np.testing.assert_allclose(d1[tail], (-f)[tail], rtol=3e-3)
    np.testing.assert_allclose(d2[tail], series[tail], rtol=max(1e-5, 50 * eps))
    assert torch.all((d2 <= 0) & (d2 >= -1))
    assert torch.all(torch.isfinite(d3))
    np.testing.assert_allclose(d3[tail], 2 * (-f[tail]) ** -3, rtol=0.05, atol=1e-9)


@pytest.mark.parametrize("name", LINKS)
def test_log_concave_everywhere(name):
    f = torch.linspace(-1e4, 1e4, 4001, dtype=torch.float64)
    for dtype in (torch.float64, torch.float32):
        assert torch.all(LINKS[name].derivatives(f.to(dtype))[1] <= 0)
