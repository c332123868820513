"""A factor that grows is the factor of the grown matrix."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sklearn_torchgp._linalg.extend import extend_cholesky
from sklearn_torchgp.exceptions import NotPositiveDefiniteError


@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 3), (300, 1), (300, 290)])
def test_is_the_factor_of_the_whole(n, k):
    A = np.random.RandomState(0).randn(n + k, n + k + 5)
    A = torch.from_numpy(A @ A.T)
    L = torch.linalg.cholesky(A[:n, :n])
    L_before, C = L.clone(), A[n:, n:].clone()
    C[np.triu_indices(k, 1)] = np.nan  # the upper triangle is not read
    grown = extend_cholesky(L, A[n:, :n], C)
    assert_allclose(grown, torch.linalg.cholesky(A), rtol=1e-9, atol=1e-10)
    assert torch.equal(L, L_before)


def test_not_positive_definite():
    one = torch.ones(1, 1, dtype=torch.float64)
    with pytest.raises(NotPositiveDefiniteError):
        extend_cholesky(one, 2 * one, one.clone())
