"""Known noise of each row: in the fit, under scaling, at new rows, through routing."""

import numpy as np
import pytest
import sklearn
import torch
from dense_formulas import log_normal, posterior
from helpers import KERNEL, fixed, numeric_gradient
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_torchgp import TorchGPRegressor

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (25, 2))
NOISE = RNG.uniform(0.01, 0.5, 25)
Y = np.sin(X[:, 0]) + X[:, 1] + np.sqrt(NOISE) * RNG.randn(25)
Y2 = np.c_[Y, 100 + 30 * np.cos(X[:, 0]) + RNG.randn(25)]
Z = RNG.uniform(-2, 2, (7, 2))


def test_matches_the_dense_formula():
    gp = fixed(alpha=1e-3).fit(X, Y, noise_variance=NOISE)
    mean, cov = posterior(KERNEL, X, Y, NOISE + 1e-3, Z)
    got, std = gp.predict(Z, return_std=True)
    assert_allclose(got, mean, rtol=1e-10)
    assert_allclose(std, np.sqrt(np.diag(cov) + 0.05), rtol=1e-10)
    lml = log_normal(Y, 0, KERNEL(X) + np.diag(NOISE + 1e-3))
    assert_allclose(gp.log_marginal_likelihood_value_, lml, rtol=1e-12)
    assert gp.L_.shape == (25, 25)


def test_constant_noise_is_alpha():
    known = fixed().fit(X, Y, noise_variance=np.full(25, 0.2))
    alpha = fixed(alpha=0.2 + 1e-10).fit(X, Y)
    assert_allclose(known.predict(Z), alpha.predict(Z), rtol=1e-12)
    assert_allclose(known.L_, alpha.L_, rtol=1e-12)


def test_constructor_array_alpha_adds_up():
    both = fixed(alpha=NOISE / 2).fit(X, Y, noise_variance=NOISE / 2)
    assert_allclose(both.predict(Z), fixed(alpha=NOISE).fit(X, Y).predict(Z))


def test_normalised_targets_take_noise_in_units_of_y():
    gp = fixed(normalize_y=True).fit(X, 1e4 * Y + 7, noise_variance=1e8 * NOISE)
    mean, std = (1e4 * Y + 7).mean(), (1e4 * Y).std()
    want, cov = posterior(
        KERNEL, X, (1e4 * Y + 7 - mean) / std, NOISE * 1e8 / std**2, Z
    )
    got, got_cov = gp.predict(Z, return_cov=True, include_noise=False)
    assert_allclose(got, want * std + mean, rtol=1e-9)
    assert_allclose(got_cov, cov * std**2, rtol=1e-7, atol=1e-6 * std**2)


@pytest.mark.parametrize("normalize_y", [False, True])
def test_each_target_has_its_factor(normalize_y):
    noise = np.c_[NOISE, 20 * NOISE[::-1]]
    gp = fixed(normalize_y=normalize_y).fit(X, Y2, noise_variance=noise)
    assert gp.L_.shape == (2, 25, 25)
    mean, std = gp.predict(Z, return_std=True)
    _, cov = gp.predict(Z, return_cov=True)
    lml = 0.0
    for j in range(2):
        one = fixed(normalize_y=normalize_y)
        one.fit(X, Y2[:, j], noise_variance=noise[:, j])
        lml += one.log_marginal_likelihood_value_
        assert_allclose(mean[:, j], one.predict(Z), rtol=1e-12)
        assert_allclose(std[:, j], one.predict(Z, return_std=True)[1], rtol=1e-10)
        assert_allclose(cov[..., j], one.predict(Z, return_cov=True)[1], atol=1e-9)
        assert_allclose(gp.L_[j], one.L_, rtol=1e-12)
    assert_allclose(gp.log_marginal_likelihood_value_, lml, rtol=1e-12)


def test_normalised_targets_share_rows_but_not_factors():
    gp = fixed(normalize_y=True).fit(X, Y2, noise_variance=NOISE)
    assert gp.L_.shape == (2, 25, 25)
    alone = fixed(normalize_y=True).fit(X, Y2[:, 1], noise_variance=NOISE)
    assert_allclose(gp.predict(Z)[:, 1], alone.predict(Z), rtol=1e-12)


@pytest.mark.parametrize("noise", [NOISE, np.c_[NOISE, 20 * NOISE[::-1]]])
@pytest.mark.parametrize("alpha", [1e-10, np.linspace(0.1, 0.2, 25)])
def test_gradient(noise, alpha):
    gp = fixed(alpha=alpha).fit(X, Y2, noise_variance=noise)
    theta = KERNEL.theta + 0.1
    _, gradient = gp.log_marginal_likelihood(theta, eval_gradient=True)
    numeric = numeric_gradient(gp.log_marginal_likelihood, theta)
    assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


def test_white_kernel_learns_the_additional_noise():
    rng = np.random.RandomState(1)
    x = rng.uniform(-3, 3, (150, 1))
    known = rng.uniform(0.05, 0.4, 150)
    y = np.sin(x[:, 0]) + rng.randn(150) * np.sqrt(known + 0.1)
    kernel = ConstantKernel(1.0) * RBF(1.0) + WhiteKernel(0.5)
    learnt = TorchGPRegressor(kernel).fit(x, y, noise_variance=known).kernel_
    assert 0.04 < learnt.k2.noise_level < 0.2
    without = TorchGPRegressor(kernel).fit(x, y).kernel_
    assert without.k2.noise_level > learnt.k2.noise_level + 0.1


class TestNewRows:
    alpha = 0.03
    white = 0.05

    def variances(self, **options):
        gp = fixed(alpha=self.alpha, normalize_y=True).fit(X, 10 * Y)
        scale = (10 * Y).std() ** 2
        _, std = gp.predict(Z, return_std=True, **options)
        _, cov = gp.predict(Z, return_cov=True, **options)
        assert_allclose(std, np.sqrt(np.diag(cov)), rtol=1e-9)
        return std**2 / scale, scale

    def test_include_noise(self):
        default, _ = self.variances()
        noisy, _ = self.variances(include_noise=True)
        latent, _ = self.variances(include_noise=False)
        assert_allclose(noisy - latent, self.alpha + self.white, rtol=1e-9)
        assert_allclose(default - latent, self.white, rtol=1e-9)

    @pytest.mark.parametrize("include", [None, True, False])
    def test_known_noise_is_added_on_top(self, include):
        without, scale = self.variances(include_noise=include)
        known = np.linspace(0, 3, len(Z))
        with_known, _ = self.variances(include_noise=include, noise_variance=known)
        assert_allclose(with_known - without, known / scale, rtol=1e-7, atol=1e-12)

    def test_array_alpha_is_of_the_training_rows_only(self):
        gp = fixed(alpha=NOISE).fit(X, Y)
        _, default = gp.predict(Z, return_std=True)
        _, noisy = gp.predict(Z, return_std=True, include_noise=True)
        assert_allclose(noisy, default)

    def test_off_diagonal_is_left_alone(self):
        gp = fixed(alpha=0.1).fit(X, Y)
        _, latent = gp.predict(Z, return_cov=True, include_noise=False)
        _, noisy = gp.predict(Z, return_cov=True, include_noise=True, noise_variance=2)
        assert_allclose(noisy - latent, np.eye(len(Z)) * 2.15, atol=1e-12)

    def test_prior(self):
        gp = TorchGPRegressor(KERNEL, alpha=0.1)
        _, std = gp.predict(Z, return_std=True, include_noise=True)
        assert_allclose(std**2, 1.3 + 0.05 + 0.1)
        _, std = gp.predict(Z, return_std=True, include_noise=False, noise_variance=1)
        assert_allclose(std**2, 1.3 + 1)

    def test_columns_for_targets(self):
        gp = fixed().fit(X, Y2)
        known = np.c_[np.ones(len(Z)), np.zeros(len(Z))]
        _, without = gp.predict(Z, return_std=True)
        _, std = gp.predict(Z, return_std=True, noise_variance=known)
        assert_allclose(std**2 - without**2, known, atol=1e-12)


class TestRouting:
    """A search slices the noise with the rows."""

    @pytest.fixture(autouse=True)
    def routing(self):
        with sklearn.config_context(enable_metadata_routing=True):
            yield

    def test_cross_validate(self):
        gp = fixed().set_fit_request(noise_variance=True)
        params = {"noise_variance": NOISE}
        found = cross_validate(gp, X, Y, cv=3, params=params)["test_score"]
        tests = [slice(0, 9), slice(9, 17), slice(17, 25)]
        for score, test in zip(found, tests, strict=True):
            train = np.delete(np.arange(25), test)
            fold = fixed().fit(X[train], Y[train], noise_variance=NOISE[train])
            assert_allclose(score, fold.score(X[test], Y[test]))

    def test_grid_search_of_a_pipeline(self):
        gp = TorchGPRegressor(RBF(1.0), optimizer=None)
        gp.set_fit_request(noise_variance=True)
        pipe = make_pipeline(StandardScaler(), gp)
        grid = {"torchgpregressor__kernel__length_scale": [0.5, 1.0, 2.0]}
        search = GridSearchCV(pipe, grid, cv=3).fit(X, Y, noise_variance=NOISE)
        again = clone(search.best_estimator_).fit(X, Y, noise_variance=NOISE)
        assert_allclose(search.predict(Z), again.predict(Z))
        plain = clone(search.best_estimator_).fit(X, Y)
        assert abs(search.predict(Z) - plain.predict(Z)).max() > 0.01

    def test_columns_are_sliced_too(self):
        gp = fixed().set_fit_request(noise_variance=True)
        params = {"noise_variance": np.c_[NOISE, NOISE]}
        assert np.isfinite(cross_val_score(gp, X, Y2, cv=3, params=params)).all()

    def test_unrequested_noise_is_refused_by_scikit_learn(self):
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            cross_validate(fixed(), X, Y, params={"noise_variance": NOISE})

    def test_std_and_cov_pass_a_pipeline(self):
        pipe = make_pipeline(StandardScaler(), fixed()).fit(X, Y)
        assert len(pipe.predict(Z, return_std=True)) == 2
        assert pipe.predict(Z, return_cov=True)[1].shape == (len(Z), len(Z))
        _, latent = pipe.predict(Z, return_std=True, include_noise=False)
        assert (latent < pipe.predict(Z, return_std=True)[1]).all()


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (
            NOISE[:-1],
            r"'noise_variance' .*\(24,\); allowed .*\(25,\)",
        ),
        (np.ones((25, 3)), r"'noise_variance' .*\(25, 3\)"),
        (-NOISE, "'noise_variance' .*not negative"),
        (np.where(NOISE > 0.2, np.nan, NOISE), "'noise_variance' .*finite"),
        (np.where(NOISE > 0.2, np.inf, NOISE), "'noise_variance' .*finite"),
        (["a"] * 25, "'noise_variance' .*real numbers"),
    ],
)
def test_bad_noise(noise, message):
    gp = fixed()
    with pytest.raises(ValueError, match=message):
        gp.fit(X, Y, noise_variance=noise)
    assert vars(gp).keys() == vars(fixed()).keys()
    gp.fit(X, Y)
    before = dict(vars(gp))
    with pytest.raises(ValueError, match=message):
        gp.fit(X, Y, noise_variance=noise)
    assert all(vars(gp)[name] is value for name, value in before.items())
    if np.shape(noise) != (24,):
        new = np.asarray(noise, dtype=object)[: len(Z)]
        with pytest.raises(ValueError, match="'noise_variance'"):
            gp.predict(Z, return_std=True, noise_variance=new)


def test_bad_include_noise():
    with pytest.raises(ValueError, match="'include_noise' .*Got 'yes'"):
        fixed().fit(X, Y).predict(Z, include_noise="yes")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tensors_in_tensors_out(dtype):
    t = torch.as_tensor
    gp = fixed(dtype=dtype).fit(t(X), t(Y2), noise_variance=t(np.c_[NOISE, NOISE]))
    mean, std = gp.predict(t(Z), return_std=True, noise_variance=t(np.ones(len(Z))))
    assert isinstance(gp.L_, torch.Tensor)
    assert isinstance(std, torch.Tensor)
    assert isinstance(gp.noise_variance_train_, torch.Tensor)
    want = fixed().fit(X, Y2, noise_variance=NOISE)
    tolerance = 1e-9 if dtype == "float64" else 2e-3
    assert_allclose(mean, want.predict(Z), rtol=tolerance, atol=tolerance)
    want_std = want.predict(Z, return_std=True, noise_variance=1)[1]
    assert_allclose(std, want_std, rtol=tolerance)


def test_zero_noise_and_one_row():
    gp = fixed(alpha=0.0).fit(X[:1], Y[:1], noise_variance=[0.0])
    assert_allclose(gp.predict(X[:1]), Y[:1] * 1.3 / 1.35)


def test_equal_rows_of_unequal_noise_stay_apart_while_optimising():
    """Merged into one they would share a noise, and the evidence would be another."""
    twice = np.r_[X, X], np.r_[Y, Y]
    gp = TorchGPRegressor(KERNEL).fit(*twice, noise_variance=np.r_[NOISE, 9 * NOISE])
    value = gp.log_marginal_likelihood(gp.kernel_.theta)
    assert_allclose(gp.log_marginal_likelihood_value_, value, rtol=1e-9)
