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
