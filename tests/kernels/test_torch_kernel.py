"""TorchKernel: what a subclass gets, and what is wrong with one."""

import numpy as np
import pytest
import torch
from kernel_zoo import rows
from numpy.testing import assert_allclose
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    Hyperparameter,
    Matern,
    WhiteKernel,
)

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp.kernels import (
    TorchKernel,
)

X = rows(14)
Y = np.sin(4 * X[:, 0]) + X[:, 1]


class Two(TorchKernel):
    parameters = {"scales": [1.0, 2.0]}

    def forward(self, X, Z):
        return torch.exp(-((X[:, None] - Z)[..., :2] / self.scales).square().sum(-1))


class FromProperty(TorchKernel):
    """With scikit-learn's way to declare a hyperparameter, and its own constructor."""

    def __init__(self, power=2.0, power_bounds=(0.1, 10.0)):
        self.power = power
        self.power_bounds = power_bounds

    @property
    def hyperparameter_power(self):
        return Hyperparameter("power", "numeric", self.power_bounds)

    def forward(self, X, Z):
        return (1 + X @ Z.mT) ** self.power


def test_constructor_of_a_torch_kernel():
    kernel = Two(scales_bounds=[(0.1, 10), "fixed"])
    assert kernel.get_params() == {
        "scales": [1.0, 2.0], "scales_bounds": [(0.1, 10), "fixed"]
    }  # fmt: skip
    assert kernel.n_dims == 1
    assert Two([3.0, 4.0]).theta.tolist() == np.log([3.0, 4.0]).tolist()
    with pytest.raises(TypeError, match="scale"):
        Two(scale=1.0)
    model = TorchGPRegressor(kernel + WhiteKernel(0.1)).fit(X, Y)
    assert model.kernel_.k1.scales[1] == 2.0


def test_hyperparameters_as_scikit_learn_declares_them():
    kernel = FromProperty(2.0)
    assert_allclose(kernel.bounds, np.log([[0.1, 10.0]]))
    K, gradient = kernel(X, eval_gradient=True)
    assert_allclose(K, (1 + X @ X.T) ** 2)
    assert_allclose(gradient[..., 0], 2 * K * np.log(1 + X @ X.T))
    fixed = FromProperty(2.0, "fixed")
    assert fixed.n_dims == 0
    theirs, ours = (
        m(kernel + WhiteKernel(0.1), optimizer=None).fit(X, Y)
        for m in (GaussianProcessRegressor, TorchGPRegressor)
    )
    theta = [0.3, -1.0]
    for one, other in zip(
        ours.log_marginal_likelihood(theta, eval_gradient=True),
        theirs.log_marginal_likelihood(theta, eval_gradient=True),
        strict=True,
    ):
        assert_allclose(one, other, rtol=1e-8)


def test_a_torch_kernel_with_cdist_has_its_gradient_array():
    """The derivative of which torch does not know how to differentiate again."""

    class Decay(TorchKernel):
        parameters = {"length_scale": 1.0}

        def forward(self, X, Z):
            return torch.exp(-torch.cdist(X / self.length_scale, Z / self.length_scale))

    _, gradient = Decay(0.7)(X, eval_gradient=True)
    _, wanted = Matern(0.7, nu=0.5)(X, eval_gradient=True)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-9)


def test_what_is_wrong_with_a_forward():
    class Nothing(TorchKernel):
        parameters = {"scale": 1.0}

    class Column(TorchKernel):
        parameters = {"scale": 1.0}

        def forward(self, X, Z):
            return self.scale * X[:, 0]

    class Detached(TorchKernel):
        parameters = {"scale": 1.0}

        def forward(self, X, Z):
            return self.scale.item() * X @ Z.mT

    with pytest.raises(NotImplementedError, match=r"Nothing has no method forward"):
        Nothing()(X)
    with pytest.raises(ValueError, match=r"forward of Column .*\(14, 14\).*\[14\]"):
        Column()(X)
    with pytest.raises(ValueError, match=r"Detached.*does not depend"):
        TorchGPRegressor(Detached() + WhiteKernel(0.1)).fit(X, Y)
