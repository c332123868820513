"""r^2 by matrix products: as exact as differences in more digits than float64's."""

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, RationalQuadratic

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._covariance import Covariance, grid
from sklearn_torchgp._covariance.distance import Separation

CPU = torch.device("cpu")


def near_rows(d, scale=1.0, seed=0):
    """Rows of which many are next to, or equal to, one of the others: two tensors."""
    rng = np.random.RandomState(seed)
    X = scale * rng.uniform(-1, 1, (150, d))
    Z = scale * rng.uniform(-1, 1, (250, d))
    for i in range(100):
        Z[i] = X[i] + 10.0 ** -(i % 18) * rng.standard_normal(d) * (i > 5)
    return torch.from_numpy(X), torch.from_numpy(Z)


def squares(X, Z):
    """From differences of 64 bits: the oracle."""
    X, Z = (one.numpy().astype(np.longdouble) for one in (X, Z))
    return ((X[:, None] - Z) ** 2).sum(-1)


@pytest.fixture
def products_only(monkeypatch):
    """A test in which no distance may be taken."""

    def refuse(*args):
        raise AssertionError("a distance was taken")

    monkeypatch.setattr("sklearn_torchgp._covariance.distance.distance", refuse)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 8, 13, 32, 100])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 127.0])
def test_squares_are_as_exact_as_differences(products_only, d, scale):
    X, Z = near_rows(d, scale)
    exact = squares(X, Z)
    found = Separation(X, Z).squared(1.0).numpy()
    # Of the least change of exp(-r^2 / 2) near 1, and of r^2 itself.
    assert np.all(np.abs(found - exact) <= 1.1e-16 * np.maximum(0.5, 4 * exact))
    minus = Separation(X, Z).squared(1.0, -0.25).numpy()
    np.testing.assert_allclose(minus, -0.25 * found, rtol=1e-14, atol=1e-16)


def test_one_product_without_a_grid_would_not_do():
    X, Z = near_rows(8, 30.0)
    plain = (X**2).sum(1)[:, None] + (Z**2).sum(1) - 2 * X @ Z.mT
    error = np.abs(plain.numpy() - squares(X, Z))
    assert error.max() > 1e-12


@pytest.mark.parametrize("d", [1, 3, 8, 31, 32, 33, 500])
def test_the_first_product_is_exact(d):
    """Also where all entries are as large as allowed and signs are the worst."""
    signs = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    X = signs * (grid.LARGEST - 1e-7 * torch.arange(d, dtype=torch.float64))
    on = grid.OnGrid(X)
    whole = on.left[0] @ on.right[0].mT
    g = on.grid / grid.spacing_for(d)
    assert torch.equal(g, g.round())
    exact = [
        [sum(int(a - b) ** 2 for a, b in zip(x, z, strict=True)) for z in g] for x in g
    ]
    exact = [[value * grid.spacing_for(d) ** 2 for value in row] for row in exact]
    assert whole.tolist() == exact


@pytest.mark.parametrize("case", ["large", "nan", "float32", "few", "no columns"])
def test_what_the_grid_does_not_serve_is_taken_by_differences(case):
    X, Z = near_rows(3)
    if case == "large":
        Z[7, 1] = 2 * grid.LARGEST
    elif case == "nan":
        Z[7, 1] = np.nan
    elif case == "float32":
        X, Z = X.float(), Z.float()
    elif case == "few":
        X = X[:3]
    else:
        X, Z = X[:, :0], Z[:, :0]
    apart = Separation(X, Z)
    assert torch.equal(
        apart.squared(1.0).nan_to_num(-1), apart.distance(1.0).square_().nan_to_num(-1)
    )


def test_rounding_is_kept_from_autograd():
    """Its derivative is 0, which would be taken for an answer."""
    X, Z = near_rows(3)
    scale = torch.tensor(2.0, dtype=torch.float64)
    assert grid.serves(X, Z, scale)
    assert not grid.serves(X, Z, scale.clone().requires_grad_())
    assert not grid.serves(X.clone().requires_grad_(), Z, scale)


KERNELS = {
    "each": lambda: ConstantKernel(1.7) * RBF([0.5, 1.0, 2.0]) + RationalQuadratic(2.0),
    "one": lambda: ConstantKernel(1.7) * RBF(0.5),
    "factor behind": lambda: RBF(0.5) * RBF(2.0) * ConstantKernel(0.3),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_kernels_of_shifted_rows(products_only, name, shift):
    """The shift itself costs digits of the rows, but nothing beyond."""
    X, Z = (one.numpy() + shift for one in near_rows(3))
    cov = Covariance(KERNELS[name](), X, dtype=torch.float64, device=CPU)
    X, Z = (one.astype(np.longdouble) for one in (X, Z))

    def squared(length_scale):
        return (((Z[:, None] - X) / np.longdouble(length_scale)) ** 2).sum(-1)

    exact = {
        "each": lambda: (
            1.7 * np.exp(-squared([0.5, 1.0, 2.0]) / 2) + 1 / (1 + squared(2.0) / 2)
        ),
        "one": lambda: 1.7 * np.exp(-squared(0.5) / 2),
        "factor behind": lambda: 0.3 * np.exp(-(squared(0.5) + squared(2.0)) / 2),
    }[name]()
    Z = Z.astype(np.float64)
    for found in (cov.cross(Z), cov.times(Z, torch.eye(len(X), dtype=torch.float64))):
        error = np.abs(found.numpy() / exact - 1)
        assert np.all(error <= 1e-15 - 4e-16 * np.log(exact / 1.7))


def test_views_share_what_is_kept_for_all_rows(monkeypatch):
    made, plain = [], grid.OnGrid
    monkeypatch.setattr(grid, "OnGrid", lambda X: made.append(len(X)) or plain(X))
    X = np.random.RandomState(0).uniform(-1, 1, (600, 2))
    cov = Covariance(RBF([1.0, 2.0]), X, dtype=torch.float64, device=CPU)
    K = cov.gram(np.log([1.0, 2.0]))[0]
    assert made == [600]
    cov.gram(np.log([1.0, 3.0]))
    cov.gram(np.log([1.0, 2.0]))
    assert made == [600, 600]
    exact = squares(*(torch.from_numpy(X / [1.0, 2.0]),) * 2)
    exact = np.tril(np.exp(-exact / 2).astype(float))
    np.testing.assert_allclose(K.tril().numpy(), exact, rtol=1e-15)


def test_no_more_is_kept_than_said():
    X = torch.zeros(5, 2, dtype=torch.float64)
    grids = grid.Grids(X)
    for length_scale in range(1, 20):
        grids.on_grid("left", float(length_scale), 1.0)
    assert len(grids._found) == grid.MOST_KEPT


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_means_of_many_rows_are_those_of_each(shift):
    """Without noise weights are large: what r^2 lost would show."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (300, 2))
    y, X = np.sin(3 * X[:, 0]) + X[:, 1], X + shift
    model = TorchGPRegressor(2.0 * RBF([0.5, 1.0]), optimizer=None, alpha=1e-8)
    model.fit(X, y)
    Z = np.vstack([X + 1e-9, rng.uniform(-1, 1, (700, 2)) + shift])
    single = np.concatenate([model.predict(rows) for rows in np.split(Z, 200)])
    size = np.abs(model.alpha_).sum()
    np.testing.assert_allclose(model.predict(Z), single, rtol=0, atol=4e-16 * size)
    assert np.abs(model.predict(Z[:300]) - y).max() < 1e-4
