"""Expectation propagation for several classes."""

import numpy as np
import pytest
import torch
from classification_cases import REFERENCE, gram_of, tensor, two_moons
from helpers import numeric_gradient
from sklearn.datasets import load_digits, load_iris
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from softmax_oracle import (
    annealed_evidence,
    elliptical_slice_samples,
    sampled_probabilities,
)

from sklearn_torchgp._inference import SITE_ALGORITHMS
from sklearn_torchgp._inference.sites.multiclass_ep import multiclass_ep
from sklearn_torchgp._inference.sites.multiclass_posterior import (
    latent_moments,
    leave_one_out,
)
from sklearn_torchgp._inference.sites.softmax_laplace import softmax_laplace
from sklearn_torchgp._likelihoods import (
    Bernoulli,
    MultinomialProbit,
    Softmax,
    mode_probabilities,
    probit_average,
    softmax_average,
)

LIKELIHOODS = (Softmax, MultinomialProbit)
X, labels = (part[::5] for part in load_iris(return_X_y=True))
SETTINGS = [s for s in REFERENCE["iris30"]["settings"] if s["kernels"] == "shared"]


def one_hot(y, n_classes=None):
    return tensor(np.eye(n_classes or y.max() + 1)[y].T)


def gram(variance, length_scale, rows=X):
    return gram_of(ConstantKernel(variance) * RBF(length_scale), rows)[0][None]


def conflicting(variance):
    """Duplicates with different labels."""
    return gram(variance, 1.0, np.repeat(X[:10], 2, axis=0)), np.arange(20) % 3


def dense_posterior(K, d, nu):
    """Mean and covariance of (f, u) by one matrix of order (C + 1) n."""
    C, n = d.shape
    A = torch.cat([torch.eye(C * n), -torch.eye(n).repeat(C, 1)], dim=1).double()
    D = d.flatten()
    precision = A.mT @ (D[:, None] * A)
    for c in range(C):
        rows = slice(c * n, (c + 1) * n)
        precision[rows, rows] += torch.linalg.inv(K[min(c, len(K) - 1)])
    cov = torch.linalg.inv(precision)
    return (cov @ (A.mT @ nu.flatten())), cov, A


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("shared", [True, False])
def test_fixed_point_against_dense_matrices_and_a_line_of_quadrature(
    likelihood, shared
):
    """The moments of every term, its cavity from dense algebra, are the posterior's."""
    kernels = [ConstantKernel(v) * RBF(1.5) for v in (4.0, 2.0, 9.0)]
    K = torch.stack([gram_of(k, X[:12])[0] for k in kernels[: 1 if shared else 3]])
    K.diagonal(dim1=1, dim2=2).add_(1e-2)
    y = np.arange(12) % 3
    result = multiclass_ep(K, likelihood(one_hot(y)))
    d, nu = result.sites
    mean, cov, A = dense_posterior(K, d, nu)
    f = torch.stack([K[min(c, len(K) - 1)] @ a for c, a in enumerate(result.a)])
    np.testing.assert_allclose(f.flatten(), mean[:36], atol=1e-7)
    x, v = A @ mean, (A @ cov * A).sum(dim=1)
    cavity_v = 1 / (1 / v - d.flatten())
    cavity_m = cavity_v * (x / v - nu.flatten())
    z = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    t = cavity_m[:, None] + cavity_v.sqrt()[:, None] * z
    won = one_hot(y).flatten()[:, None] > 0
    if likelihood is Softmax:
        log_t = won * t - t.exp()
    else:
        log_t = torch.where(won, -0.5 * t.square(), torch.special.log_ndtr(-t))
    h = (log_t - 0.5 * z.square()).exp()
    h = h / h.sum(dim=1, keepdim=True)
    np.testing.assert_allclose((h * t).sum(dim=1), x, atol=1e-6)
    second = (h * (t - x[:, None]).square()).sum(dim=1)
    np.testing.assert_allclose(second, v, rtol=1e-6)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_latent_moments_against_dense_matrices(likelihood):
    rows, new = X[:14], X[14:20] + 0.1
    kernel = ConstantKernel(3.0) * RBF(1.5)
    y = np.arange(14) % 3
    K = gram_of(kernel, np.r_[rows, new])[0]
    K.diagonal().add_(1e-6)
    n = len(rows)
    result = multiclass_ep(K[None, :n, :n], likelihood(one_hot(y)))
    d, nu = (torch.cat([s, torch.zeros(3, 6).double()], 1) for s in result.sites)
    # Rows without a site, whose winner is then anyone's: a vague prior for it.
    A_mean, cov, _ = dense_posterior(K[None], d.clamp(min=1e-9), nu)
    k, prior = K[n:, :n], K.diagonal()[n:]
    mean, blocks = latent_moments(k, prior, result.a, result.E, result.M)
    whole = A_mean[: 3 * 20].view(3, 20)[:, n:].mT
    np.testing.assert_allclose(mean, whole, atol=1e-5)
    dense = cov[:60, :60].view(3, 20, 3, 20).diagonal(dim1=1, dim2=3)
    np.testing.assert_allclose(blocks, dense.permute(2, 0, 1)[n:], atol=1e-5)
    each = latent_moments(
        k.expand(3, -1, -1), prior.expand(3, -1), result.a, result.E, result.M
    )
    np.testing.assert_allclose(each[0], mean, atol=1e-12)
    np.testing.assert_allclose(each[1], blocks, atol=1e-12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("variance", [0.1, 30.0, 1e4])
def test_gradient_against_differences(likelihood, n_classes, variance):
    rng = np.random.RandomState(0)
    rows, y = rng.randn(24, 2), np.arange(24) % n_classes
    target = likelihood(one_hot(y))
    if likelihood is Softmax:
        target = Softmax(one_hot(y), tensor(rng.uniform(0.5, 2, 24)))
    kernel = ConstantKernel(variance) * RBF([1.0, 2.0])
    K, pullback = gram_of(kernel, rows)
    result = multiclass_ep(K[None], target)

    def lml(theta):
        K, _ = gram_of(kernel, rows, theta)
        return multiclass_ep(K[None], target, result.start).lml

    expected = numeric_gradient(lml, kernel.theta, step=1e-3)
    gradient = pullback(result.derivative()[0])
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradient_of_one_kernel_a_class(likelihood):
    rng = np.random.RandomState(0)
    rows, y = rng.randn(12, 2), np.arange(12) % 3
    target = likelihood(one_hot(y))
    K = torch.cat([gram(v, 1.0, rows) for v in (1.0, 4.0, 9.0)])
    K.diagonal(dim1=1, dim2=2).add_(0.1)
    result = multiclass_ep(K, target)
    A = tensor(rng.randn(3, 12, 12))
    direction = A @ A.mT / 12
    ends = [
        multiclass_ep(K + step * direction, target, result.start).lml
        for step in (-1e-4, 1e-4)
    ]
    slope = (result.derivative() * direction).sum().item()
    assert slope == pytest.approx((ends[1] - ends[0]) / 2e-4, rel=1e-5)


@pytest.mark.parametrize("variance", [0.1, 9.0, 1e4])
def test_two_classes_of_the_multinomial_probit_are_the_binary_one(variance):
    rows, y = two_moons(30)
    K = gram(variance, 1.0, rows)
    joint = multiclass_ep(K, MultinomialProbit(one_hot((y > 0).astype(int))))
    binary = SITE_ALGORITHMS["ep"](K[0], Bernoulli("probit", tensor(y)))
    assert joint.lml == pytest.approx(binary.lml, rel=1e-9)
    f = joint.a @ K[0]
    np.testing.assert_allclose(
        (f[1] - f[0]) / 2**0.5, K[0] @ binary.alpha, atol=1e-6 * variance**0.5
    )


@pytest.mark.parametrize("variance", [0.1, 9.0, 1e4])
def test_two_classes_of_the_softmax_are_near_the_binary_one(variance):
    """EP of the race, which approximates one integral more: 0.04 nat a row at most."""
    rows, y = two_moons(30)
    K = gram(variance, 1.0, rows)
    joint = multiclass_ep(K, Softmax(one_hot((y > 0).astype(int))))
    binary = SITE_ALGORITHMS["ep"](2 * K[0], Bernoulli("logit", tensor(y)))
    assert -0.04 * 30 < joint.lml - binary.lml < 0
    f, g = joint.a @ K[0], 2 * K[0] @ binary.alpha
    assert (f[1] - f[0] - g).abs().max() < 0.05 * g.abs().max()


@pytest.mark.parametrize("n_classes", [2, 3, 5, 10])
def test_no_variance_leaves_equal_chances(n_classes):
    """What the approximation of a row's integral costs, as the docstrings say."""
    y = np.arange(2 * n_classes) % n_classes
    K = 1e-9 * torch.eye(len(y), dtype=torch.float64)[None]
    cost = {}
    for likelihood in LIKELIHOODS:
        result = multiclass_ep(K, likelihood(one_hot(y)))
        cost[likelihood] = -np.log(n_classes) - result.lml / len(y)
    assert 0.03 < cost[Softmax] < 0.075
    assert -1e-9 < cost[MultinomialProbit] < 0.012
    if n_classes == 2:
        assert abs(cost[MultinomialProbit]) < 1e-9


@pytest.mark.parametrize(("weight", "cost"), [(0.3, 0.137), (1, 0.053), (3, 0.019)])
def test_what_a_weight_costs(weight, cost):
    K = 1e-9 * torch.eye(6, dtype=torch.float64)[None]
    y = one_hot(np.arange(6) % 3)
    lml = multiclass_ep(K, Softmax(y, torch.full((6,), weight).double())).lml
    assert 0 < -weight * np.log(3) - lml / 6 < cost


@pytest.mark.parametrize("setting", SETTINGS)
def test_near_the_exact_evidence(setting):
    K = gram(setting["variance"][0], setting["lengthscale"][0])
    exact = setting["exact_softmax_importance"]["lml"]
    assert -0.035 * 30 < multiclass_ep(K, Softmax(one_hot(labels))).lml - exact < 0


def test_near_the_moments_of_elliptical_slice_sampling():
    K = gram(25.0, 1.5)
    draws = elliptical_slice_samples(K[0].numpy(), labels, 8_000)
    f = np.array([f - f.mean(axis=0) for f in draws])
    result = multiclass_ep(K, Softmax(one_hot(labels)))
    mean, cov = latent_moments(K[0], K[0].diagonal(), result.a, result.E, result.M)
    H = np.eye(3) - 1 / 3
    variance = np.einsum("ab,nbc,ac->na", H, cov.numpy(), H)
    error = mean.numpy() @ H - f.mean(axis=0).T
    assert np.abs(error).max() < 0.35 * f.std(axis=0).max()
    ratio = variance / f.var(axis=0).T
    assert ratio.min() > 0.6
    assert ratio.max() < 1.6
    laplace = softmax_laplace(K, Softmax(one_hot(labels)))
    other, _ = latent_moments(K[0], K[0].diagonal(), laplace.a, laplace.E, laplace.M)
    worse = np.abs(other.numpy() @ H - f.mean(axis=0).T)
    assert np.abs(error).mean() < 0.3 * worse.mean()


def test_weights_are_repeated_rows():
    K, y = gram(9.0, 1.5), labels
    weight = np.r_[3, 2, np.ones(28, int)]
    rows = np.repeat(np.arange(30), weight)
    whole = multiclass_ep(K[:, rows][:, :, rows], Softmax(one_hot(y[rows])))
    weighted = multiclass_ep(K, Softmax(one_hot(y), tensor(weight.astype(float))))
    # Not to the last digit: one integral for three copies is more nearly Gaussian.
    assert weighted.lml == pytest.approx(whole.lml, abs=0.06 * 3)
    f, g = weighted.a @ K[0], whole.a @ K[0][rows]
    np.testing.assert_allclose(f, g, atol=0.03 * g.abs().max().item())


@pytest.mark.parametrize("weight", [1e-3, 1e3])
def test_extreme_weights(weight):
    likelihood = Softmax(one_hot(labels), torch.full((30,), weight).double())
    result = multiclass_ep(gram(9.0, 1.5), likelihood)
    assert result.converged
    assert np.isfinite(result.lml)
    if weight > 1:
        f = result.a @ gram(9.0, 1.5)[0]
        assert (f.argmax(dim=0).numpy() == labels).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("variance", [1e-9, 1.0, 1e6])
def test_conflicting_duplicates(likelihood, variance):
    K, y = conflicting(variance)
    result = multiclass_ep(K, likelihood(one_hot(y)))
    assert result.converged
    assert torch.isfinite(result.derivative()).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_one_row_a_class(likelihood):
    rows = np.random.RandomState(0).randn(6, 2)
    for variance in (1.0, 1e6):
        result = multiclass_ep(
            gram(variance, 1.0, rows), likelihood(one_hot(np.arange(6)))
        )
        assert result.converged


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_order_of_classes_and_rows_does_not_matter(likelihood):
    K = gram(4.0, 1.5)
    result = multiclass_ep(K, likelihood(one_hot(labels)))
    renamed = multiclass_ep(K, likelihood(one_hot((labels + 1) % 3)))
    order = torch.as_tensor(np.random.RandomState(0).permutation(30))
    shuffled = multiclass_ep(
        K[:, order][:, :, order], likelihood(one_hot(labels)[:, order])
    )
    assert renamed.lml == pytest.approx(result.lml, rel=1e-10)
    assert shuffled.lml == pytest.approx(result.lml, rel=1e-10)
    np.testing.assert_allclose(renamed.a.roll(-1, 0), result.a, atol=1e-7)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_start_saves_sweeps_and_changes_nothing(likelihood):
    cold = multiclass_ep(gram(110.0, 1.5), likelihood(one_hot(labels)))
    near = multiclass_ep(gram(100.0, 1.5), likelihood(one_hot(labels)))
    warm = multiclass_ep(gram(110.0, 1.5), likelihood(one_hot(labels)), near.start)
    assert warm.n_iterations < cold.n_iterations
    assert warm.lml == pytest.approx(cold.lml, abs=1e-7)
    hopeless = multiclass_ep(
        gram(110.0, 1.5), likelihood(one_hot(labels)), near.start, max_iter=2
    )
    assert not hopeless.converged
    assert hopeless.residual > 1e-7


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_single_precision(likelihood):
    y = one_hot(labels)
    for variance, length_scale in ((1.0, 1.0), (100.0, 2.0)):
        K = gram(variance, length_scale)
        double = multiclass_ep(K, likelihood(y))
        single = multiclass_ep(K.float(), likelihood(y.float()))
        assert single.converged
        assert single.a.dtype == torch.float32
        assert single.lml == pytest.approx(double.lml, abs=5e-3)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_leave_one_out_without_the_row(likelihood):
    """Against the posterior of the other rows with their sites as they are."""
    K, y = gram(25.0, 1.5), one_hot(labels)
    result = multiclass_ep(K, likelihood(y))
    K0 = K.clone()
    K0.diagonal(dim1=1, dim2=2).add_(1e-8)
    mean, cov = leave_one_out(K, result.a, result.E, result.M, result.sites.precision)
    for i in (0, 13, 29):
        d, nu = (s.clone() for s in result.sites)
        d[:, i], nu[:, i] = 1e-10, 0.0  # vague, but proper for the winner's value
        dense, dense_cov, _ = dense_posterior(K0, d, nu)
        np.testing.assert_allclose(
            centred(mean[i]), centred(dense[:90].view(3, 30)[:, i]), atol=1e-4
        )
        block = dense_cov[:90, :90].view(3, 30, 3, 30)[:, i, :, i]
        H = torch.eye(3).double() - 1 / 3
        np.testing.assert_allclose(H @ cov[i] @ H, H @ block @ H, rtol=1e-4, atol=1e-3)


def centred(f):
    return f - f.mean()


def test_large_variance_where_the_average_over_laplace_is_worse_than_chance():
    rows, y = (part[:150] for part in load_digits(return_X_y=True))
    K = gram(1e4, 30.0, rows)
    prior = K[0].diagonal()

    def accuracy(result, average):
        moments = latent_moments(K[0], prior, result.a, result.E, result.M)
        return (average(*moments).argmax(dim=1).numpy() == y).mean()

    laplace = softmax_laplace(K, Softmax(one_hot(y)))
    assert accuracy(laplace, mode_probabilities) == 1
    assert accuracy(laplace, softmax_average) < 0.1
    for likelihood, average in zip(
        LIKELIHOODS, (softmax_average, probit_average), strict=True
    ):
        assert accuracy(multiclass_ep(K, likelihood(one_hot(y))), average) == 1


def test_probabilities_of_new_rows_against_elliptical_slice_sampling():
    kernel = ConstantKernel(25.0) * RBF(1.5)
    new = load_iris().data[2::9]
    K = torch.tensor(kernel(np.r_[X, new]))
    expected = sampled_probabilities(K.numpy(), labels, 8_000)
    n = len(X)
    result = multiclass_ep(K[None, :n, :n], Softmax(one_hot(labels)))
    k, prior = K[n:, :n], K.diagonal()[n:]
    p = softmax_average(*latent_moments(k, prior, result.a, result.E, result.M))
    assert np.abs(p.numpy() - expected).max() < 0.05
    laplace = softmax_laplace(K[None, :n, :n], Softmax(one_hot(labels)))
    q = softmax_average(*latent_moments(k, prior, laplace.a, laplace.E, laplace.M))
    assert np.abs(q.numpy() - expected).max() > 0.15


def test_the_oracle_of_the_evidence_where_it_is_known():
    """Rows without a tie between them: each class has the same chance."""
    y = np.arange(3)
    found = annealed_evidence(9.0 * np.eye(3), y, 300)
    assert found == pytest.approx(-3 * np.log(3), abs=0.15)
