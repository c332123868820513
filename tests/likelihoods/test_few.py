"""Probabilities at few rows in NumPy are those of torch."""

import numpy as np
import pytest
import torch

from sklearn_torchgp._likelihoods import Bernoulli

MEANS = np.array([0.0, -0.0, 1e-300, 0.3, -2.0, 35.9, -80.0, 1e4, -1e6])


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("variance", [0.0, 1e-210, 1e-8, 0.5, 40.0, 1e6, 1e12, -1e-9])
def test_few_rows_equal_torch(link, variance):
    likelihood = Bernoulli(link, torch.ones(1))
    mean = MEANS[:, None]
    variances = np.full_like(mean, variance)
    found = likelihood.few_log_proba(mean, variances)
    expected = likelihood.log_proba(*map(torch.from_numpy, (mean, variances)))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)
    assert np.array_equal(found.argmax(axis=1), (mean[:, 0] > 0).astype(int))


@pytest.mark.parametrize("weighted", [False, True])
def test_terms_of_few_rows_equal_torch(weighted):
    f = np.concatenate([MEANS, MEANS + 1e-3])
    y = torch.ones(len(f), dtype=torch.float64)
    y[::3] = -1
    weight = torch.linspace(0.2, 3, len(f), dtype=torch.float64) if weighted else None
    likelihood = Bernoulli("logit", y, weight)
    found = [likelihood.few.log_p(f), *likelihood.few.derivatives(f)]
    tensor = torch.from_numpy(f)
    expected = [likelihood.log_p(tensor), *likelihood.derivatives(tensor)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-300)


def test_a_link_without_terms_for_arrays_says_so():
    assert Bernoulli("probit", torch.ones(3)).few is None
