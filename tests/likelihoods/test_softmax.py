"""Softmax likelihood and its Gaussian averages."""

import numpy as np
import pytest
import torch
from classification_cases import REFERENCE, tensor
from scipy.special import expit
from scipy.stats import norm, qmc

from sklearn_torchgp._likelihoods import (
    MultinomialProbit,
    Softmax,
    class_log_probabilities,
    probit_average,
    softmax_average,
)
from sklearn_torchgp._likelihoods.race_average import difference_root, independent
from sklearn_torchgp._likelihoods.softmax_average import (
    LOGISTIC,
    _average,
    logistic_average,
    on_a_line,
)

AVERAGES = (softmax_average, probit_average)


def random_gaussians(n_classes, sd, m=4, seed=0):
    rng = np.random.RandomState(seed)
    A = rng.randn(m, n_classes, n_classes) * sd / np.sqrt(n_classes)
    return tensor(rng.randn(m, n_classes) * sd), tensor(A @ A.transpose(0, 2, 1))


@pytest.mark.parametrize("setting", REFERENCE["iris30"]["settings"])
def test_three_classes_against_two_dimensional_quadrature(setting):
    values = setting["laplace_softmax"]
    p = softmax_average(
        tensor(values["test_latent_mean"]), tensor(values["test_latent_cov"])
    )
    np.testing.assert_allclose(p, values["test_prob"], rtol=1e-7)


@pytest.mark.parametrize(("sd", "atol"), [(0.5, 1e-3), (2.0, 1.5e-3), (5.0, 4e-3)])
@pytest.mark.parametrize("n_classes", [4, 10])
def test_against_many_random_points(n_classes, sd, atol):
    """These err by 6e-4 at most."""
    mean, cov = random_gaussians(n_classes, sd)
    z = norm.ppf(qmc.Sobol(n_classes, seed=3).random(2**16))
    L = torch.linalg.cholesky(cov)
    f = mean[:, None] + tensor(z) @ L.mT
    expected = torch.softmax(f, dim=2).mean(dim=1)
    np.testing.assert_allclose(softmax_average(mean, cov), expected, atol=atol)


@pytest.mark.parametrize(("sd", "atol"), [(0.5, 1e-8), (5.0, 1e-8), (30.0, 5e-7)])
def test_three_classes_against_a_fine_grid(sd, atol):
    """Differences from the first class, on the axes of their covariance."""
    mean, cov = random_gaussians(3, sd)
    x = np.linspace(-9, 9, 1201)
    w = np.exp(-0.5 * (x[:, None] ** 2 + x**2))
    T = np.array([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]])
    for m, S, found in zip(mean, cov, softmax_average(mean, cov), strict=True):
        values, vectors = np.linalg.eigh(T @ S.numpy() @ T.T)
        u = np.meshgrid(*(x[:, None] * np.sqrt(values)).T, indexing="ij")
        f = np.tensordot(vectors, u, 1) + (T @ m.numpy())[:, None, None]
        f = np.concatenate([np.zeros_like(f[:1]), f])
        p = np.exp(f - f.max(axis=0))
        expected = (w * p / p.sum(axis=0)).sum(axis=(1, 2)) / w.sum()
        np.testing.assert_allclose(found, expected, atol=atol)


def test_two_classes_are_the_logistic_of_the_difference():
    mean, cov = random_gaussians(2, 2.0)
    difference = mean[:, 1] - mean[:, 0]
    variance = cov[:, 0, 0] + cov[:, 1, 1] - 2 * cov[:, 0, 1]
    expected = class_log_probabilities("logit", difference, variance).exp()
    np.testing.assert_allclose(softmax_average(mean, cov), expected, rtol=1e-7)


@pytest.mark.parametrize("n_classes", [3, 5])
def test_deterministic_and_row_by_row(n_classes):
    mean, cov = random_gaussians(n_classes, 3.0)
    cov[1] *= 100
    together = softmax_average(mean, cov)
    assert torch.equal(together, softmax_average(mean, cov))
    alone = torch.cat([softmax_average(mean[[i]], cov[[i]]) for i in range(4)])
    np.testing.assert_allclose(together, alone, rtol=1e-13)


@pytest.mark.parametrize("n_classes", [3, 5])
def test_no_variance_and_singular_covariance(n_classes):
    mean, _ = random_gaussians(n_classes, 1.0)
    nothing = torch.zeros(4, n_classes, n_classes, dtype=torch.float64)
    common = torch.ones_like(nothing)  # a common shift of all classes
    for cov in (nothing, common, 1e8 * common):
        p = softmax_average(mean, cov)
        np.testing.assert_allclose(p, torch.softmax(mean, dim=1), atol=1e-5)


def test_gradient_against_differences():
    rng = np.random.RandomState(0)
    f = tensor(rng.randn(3, 5))
    y = tensor(np.eye(3)[rng.randint(3, size=5)].T)
    likelihood = Softmax(y, tensor(rng.uniform(0.5, 2, 5)))
    gradient = likelihood.gradient(likelihood.probabilities(f))
    f.requires_grad_()
    likelihood.log_p(f).sum().backward()
    np.testing.assert_allclose(gradient, f.grad, rtol=1e-12)


def posterior_like(n_classes, sd, m=6, seed=0):
    """Nearly independent latent values, as the posteriors of several classes have."""
    rng = np.random.RandomState(seed)
    own = rng.uniform(0.05, 1, (m, n_classes)) * sd**2
    A = rng.randn(m, n_classes, 2) * 0.2 * sd
    cov = A @ A.transpose(0, 2, 1) + sd**2 * 5  # and a common shift
    cov[:, range(n_classes), range(n_classes)] += own
    return tensor(rng.randn(m, n_classes) * sd), tensor(cov)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("gaussians", [random_gaussians, posterior_like])
@pytest.mark.parametrize("sd", [0.3, 3.0, 100.0])
@pytest.mark.parametrize("n_classes", [2, 3, 5, 10])
def test_order_of_labels_does_not_matter(average, gaussians, n_classes, sd):
    mean, cov = gaussians(n_classes, sd)
    p = average(mean, cov)
    for seed in range(3):
        order = torch.as_tensor(np.random.RandomState(seed).permutation(n_classes))
        renamed = average(mean[:, order], cov[:, order][:, :, order])
        np.testing.assert_allclose(renamed, p[:, order], atol=1e-7)


@pytest.mark.parametrize("average", AVERAGES)
def test_equal_classes_have_equal_chances(average):
    cov = torch.full((1, 7, 7), 2.0).double() + 5 * torch.eye(7).double()
    p = average(torch.zeros(1, 7).double(), cov)
    np.testing.assert_allclose(p, 1 / 7, rtol=1e-12)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("sd", [0.5, 3.0, 20.0])
@pytest.mark.parametrize("n_classes", [3, 4, 10])
def test_posteriors_against_many_random_points(average, n_classes, sd):
    mean, cov = posterior_like(n_classes, sd)
    z = norm.ppf(qmc.Sobol(2 * n_classes, seed=3).random(2**15))
    noise = z[:, n_classes:]
    if average is softmax_average:
        noise = -np.log(-norm.logcdf(noise))  # Gumbel
    f = mean[:, None] + tensor(z[:, :n_classes]) @ torch.linalg.cholesky(cov).mT
    winner = (f + tensor(noise)).argmax(dim=2)
    expected = torch.nn.functional.one_hot(winner, n_classes).double().mean(dim=1)
    np.testing.assert_allclose(average(mean, cov), expected, atol=6e-3)


def test_few_wide_classes_where_no_grid_can_follow():
    mean, cov = random_gaussians(2, 300.0)
    difference = mean[:, 1] - mean[:, 0]
    variance = cov[:, 0, 0] + cov[:, 1, 1] - 2 * cov[:, 0, 1]
    expected = class_log_probabilities("logit", difference, variance).exp()
    np.testing.assert_allclose(softmax_average(mean, cov), expected, atol=1e-5)


@pytest.mark.parametrize("sd", [0.1, 2.0, 300.0])
def test_two_classes_of_the_probit(sd):
    mean, cov = random_gaussians(2, sd)
    difference = mean[:, 1] - mean[:, 0]
    variance = cov[:, 0, 0] + cov[:, 1, 1] - 2 * cov[:, 0, 1]
    expected = norm.cdf(difference / (2 + variance).sqrt())
    np.testing.assert_allclose(probit_average(mean, cov)[:, 1], expected, atol=1e-8)


def test_independent_values_have_the_variances_of_differences():
    _, cov = posterior_like(3, 2.0)
    d, left_over = independent(cov)
    np.testing.assert_allclose(left_over, 0, atol=1e-12)
    own = cov.diagonal(dim1=1, dim2=2)
    spread = own[:, 0] + own[:, 1] - 2 * cov[:, 0, 1]
    np.testing.assert_allclose(d[:, 0] + d[:, 1], spread)


@pytest.mark.parametrize("weight", [0.5, 1.0, 100.0])
@pytest.mark.parametrize(("m", "v"), [(-30.0, 4.0), (0.0, 0.01), (3.0, 1e6)])
def test_terms_of_the_race(weight, m, v):
    """Moments of both terms of both likelihoods by brute force."""
    y = tensor([[1.0], [0.0]])
    m, v = tensor([[m], [m]]), tensor([[v], [v]])
    x = torch.linspace(-1, 1, 400_001, dtype=torch.float64)
    cases = [(Softmax(y, tensor([weight])), lambda x: (weight * x, 0 * x), torch.exp)]
    if weight == 1:
        log_normal = -0.5 * np.log(2 * np.pi)
        terms = lambda x: (log_normal - x**2 / 2, torch.special.log_ndtr(-x))  # noqa: E731
        cases += [(MultinomialProbit(y), terms, torch.zeros_like)]
    for likelihood, terms, minus in cases:
        found = likelihood.race_moments(m, v)
        for c in range(2):
            sd = found.variance[c].sqrt()
            t = found.mean[c] + 40 * sd * x
            log_h = terms(t)[c] - minus(t) - (t - m[c]).square() / (2 * v[c])
            h = log_h.exp()
            total = h.sum()
            mean = (h * t).sum() / total
            variance = (h * (t - mean).square()).sum() / total
            log_z = (total * 40 * sd * (x[1] - x[0])).log()
            log_z = log_z - 0.5 * (2 * np.pi * v[c]).log()
            assert found.log_z[c].item() == pytest.approx(log_z.item(), abs=1e-6)
            assert abs(found.mean[c] - mean) < 1e-6 * sd
            assert found.variance[c].item() == pytest.approx(variance.item(), rel=1e-6)


def test_the_logistic_is_a_mixture_of_normals():
    x = np.linspace(-60, 60, 20001)
    weight, scale = np.array(LOGISTIC).T
    assert weight.sum() == pytest.approx(1, abs=1e-14)
    found = (weight * norm.cdf(x[:, None] * scale)).sum(axis=1)
    np.testing.assert_allclose(found, expit(x), atol=2.2e-9)


@pytest.mark.parametrize("sd", [0.3, 3.0, 20.0])
def test_three_classes_on_a_line_against_a_product_grid(sd):
    """Also for rows of correlated classes, and one that is the mean of the others."""
    mean, cov = random_gaussians(3, sd)
    between = tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    cov[3] = sd**2 * between @ between.mT
    x = torch.linspace(-7, 7, 4001, dtype=torch.float64)
    weights = (-0.5 * x.square()).exp()
    found = on_a_line(mean, cov, x, weights / weights.sum())
    z = torch.linspace(-7, 7, 701, dtype=torch.float64)
    w = (-0.5 * z.square()).exp()
    nodes = torch.cartesian_prod(z, z), torch.cartesian_prod(w, w).prod(dim=1)
    root = difference_root(cov)
    expected = torch.cat(
        [
            _average((mean[:, :-1] - mean[:, -1:])[[i]], root[[i]], nodes)
            for i in range(4)
        ]
    )
    np.testing.assert_allclose(found, expected, atol=5e-9)
    assert found.min() > 0


def product_grid(mean, cov, reach=9.0, n=1201):
    """E softmax of three classes on a fine grid, one row after the other: (m, 3)."""
    z = torch.linspace(-reach, reach, n, dtype=torch.float64)
    w = (-0.5 * z.square()).exp()
    nodes = torch.cartesian_prod(z, z), torch.cartesian_prod(w, w).prod(dim=1)
    difference, root = mean[:, :-1] - mean[:, -1:], difference_root(cov)
    rows = range(len(mean))
    return torch.cat([_average(difference[[i]], root[[i]], nodes) for i in rows])


@pytest.mark.parametrize("sd", [0.0, 0.5, 3.0, 20.0, 100.0])
def test_small_averages_of_the_logistic_are_good_in_proportion(sd):
    x = np.linspace(-12, 12, 200_001)
    w = norm.pdf(x) / norm.pdf(x).sum()
    for m in (-200.0, -60.0, -20.0, -5.0, -0.3, 0.0, 2.0, 50.0):
        above = w @ expit(m + sd * x)
        below = w @ expit(-m - sd * x)
        if min(above, below) < 1e-10:  # round-off of ndtr
            continue
        found = logistic_average(tensor([m]), tensor([sd**2]))
        np.testing.assert_allclose(found[0], above, rtol=1e-5)
        np.testing.assert_allclose(found[1], below, rtol=1e-5)


@pytest.mark.parametrize("sd", [1.5, 6.0, 30.0])
def test_an_unlikely_class_of_three_against_a_product_grid(sd):
    """Not only to 1e-9, as the others: its logarithm is what a score takes."""
    mean, cov = random_gaussians(3, sd, m=8, seed=1)
    mean[:, 0] -= 3 * sd + 4
    expected = product_grid(mean, cov)
    assert (expected.amin(dim=1) < 1e-3).sum() >= 4
    seen = expected > 1e-9
    found = softmax_average(mean, cov)
    np.testing.assert_allclose(found[seen], expected[seen], rtol=1e-5)
