"""Packages that take any scikit-learn regressor with `return_std` take ours.

Where a package is absent its tests are skipped, but with ``-m clients`` they fail.
"""

import importlib
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from sklearn_torchgp import TorchGPRegressor

KERNEL = 1.0 * Matern(nu=2.5) + WhiteKernel(1e-2)


def regressor(**params):
    return TorchGPRegressor(KERNEL, normalize_y=True, random_state=0, **params)


def bowl(x, noise=0.0, rng=None):
    value = (x[0] - 0.3) ** 2 + (x[1] + 0.2) ** 2
    return value + (0.0 if rng is None else noise * rng.randn())


@pytest.fixture
def client(request):
    """Imports a package that uses regressors."""
    wanted = request.config.getoption("markexpr") == "clients"

    def imported(name):
        with warnings.catch_warnings():  # of what is not ours
            warnings.simplefilter("ignore")
            return (
                importlib.import_module(name) if wanted else pytest.importorskip(name)
            )

    return imported


class TestGradientsOfOneRow:
    """What scikit-optimize asks `predict` for, without scikit-optimize."""

    X = np.random.RandomState(0).uniform(-1, 1, (15, 2))
    y = np.array([bowl(x) for x in X])

    def test_are_those_of_predict_gradient(self):
        gp = regressor(optimizer=None).fit(self.X, self.y)
        row = np.array([[0.1, 0.4]])
        found = gp.predict(
            row, return_std=True, return_mean_grad=True, return_std_grad=True
        )
        mean, std = gp.predict(row, return_std=True)
        d_mean, d_std = gp.predict_gradient(row, return_std=True)
        for got, want in zip(found, (mean, std, d_mean[0], d_std[0]), strict=True):
            assert_allclose(got, want)
        only_mean = gp.predict(row, return_mean_grad=True)
        assert_allclose(only_mean[1], d_mean[0])

    def test_refused(self):
        gp = regressor(optimizer=None).fit(self.X, self.y)
        with pytest.raises(ValueError, match="'return_mean_grad' .*Got 2 rows"):
            gp.predict(self.X[:2], return_std=True, return_mean_grad=True)
        with pytest.raises(ValueError, match="'return_std_grad' .*'return_std'"):
            gp.predict(self.X[:1], return_std_grad=True)


@pytest.mark.clients
class TestScikitOptimize:
    @pytest.fixture(autouse=True)
    def installed(self, client):
        self.skopt = client("skopt")

    @pytest.mark.parametrize("acq_func", ["EI", "LCB", "PI"])
    def test_gradient_based_acquisition(self, acq_func):
        optimizer = self.skopt.Optimizer(
            [(-1.0, 1.0), (-1.0, 1.0)],
            base_estimator=regressor(),
            n_initial_points=5,
            acq_func=acq_func,
            acq_optimizer="lbfgs",
            acq_optimizer_kwargs={"n_points": 300, "n_restarts_optimizer": 1},
            random_state=0,
        )
        for _ in range(11):
            x = optimizer.ask()
            optimizer.tell(x, bowl(x))
        assert min(optimizer.yi) < 0.05
        assert isinstance(optimizer.models[-1], TorchGPRegressor)

    def test_sampled_acquisition(self):
        optimizer = self.skopt.Optimizer(
            [(-2.0, 2.0)],
            base_estimator=TorchGPRegressor(Matern(nu=2.5) + WhiteKernel(1e-4)),
            acq_optimizer="sampling",
            n_initial_points=4,
            random_state=0,
        )
        for _ in range(12):
            x = optimizer.ask()
            optimizer.tell(x, float((x[0] - 0.5) ** 2))
        assert min(optimizer.yi) < 0.02

    def test_acquisition_gradients_are_right(self):
        from skopt.acquisition import _gaussian_acquisition

        data = TestGradientsOfOneRow
        gp = regressor(optimizer=None).fit(data.X, data.y)  # well conditioned
        x = np.array([0.15, 0.05])

        def value(x):
            found = _gaussian_acquisition(x[None], gp, y_opt=0.1, acq_func="EI")
            return float(np.ravel(found)[0])

        _, gradient = _gaussian_acquisition(
            x[None], gp, y_opt=0.1, acq_func="EI", return_grad=True
        )
        steps = 1e-5 * np.eye(2)
        numeric = [(value(x + s) - value(x - s)) / 2e-5 for s in steps]
        assert_allclose(np.ravel(gradient), numeric, rtol=1e-4, atol=1e-8)

    def test_noisy_objective(self):
        rng = np.random.RandomState(0)
        result = self.skopt.gp_minimize(
            lambda x: bowl(x, 0.05, rng),
            [(-1.0, 1.0), (-1.0, 1.0)],
            base_estimator=regressor(),
            noise="gaussian",
            n_calls=11,
            n_initial_points=7,
            n_points=300,
            n_restarts_optimizer=1,
            random_state=0,
        )
        assert bowl(result.x) < 0.2
        assert all(isinstance(gp, TorchGPRegressor) for gp in result.models)

    def test_search(self):
        from skopt import BayesSearchCV

        data = TestGradientsOfOneRow
        search = BayesSearchCV(
            regressor(optimizer=None),
            {"alpha": (1e-6, 1e-1, "log-uniform")},
            n_iter=3,
            cv=3,
            random_state=0,
        )
        assert search.fit(data.X, data.y).best_score_ > 0.5


@pytest.mark.clients
class TestBayesianOptimization:
    def test_finds_the_minimum(self, client):
        bayes_opt = client("bayes_opt")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = bayes_opt.BayesianOptimization(
                lambda x, y: -bowl([x, y]),
                {"x": (-1, 1), "y": (-1, 1)},
                random_state=0,
                verbose=0,
            )
            optimizer._gp = regressor(alpha=1e-6)
            optimizer.maximize(init_points=5, n_iter=5)
        assert optimizer.max["target"] > -0.05
        assert hasattr(optimizer._gp, "kernel_")
        mean, std = optimizer._gp.predict(np.zeros((1, 2)), return_std=True)
        assert abs(mean[0] + bowl([0, 0])) < 4 * std[0] + 0.05

    def test_suggests_what_it_does_with_scikit_learn(self, client):
        """Our class in the optimiser's own place, and then it gets on."""
        bayes_opt = client("bayes_opt")

        def optimizer():
            return bayes_opt.BayesianOptimization(
                lambda x, y: -((x - 0.3) ** 2) - (y + 0.2) ** 2,
                {"x": (-1, 1), "y": (-1, 1)},
                random_state=0,
                verbose=0,
            )

        suggested = []
        for regressor in (GaussianProcessRegressor, TorchGPRegressor):
            search = optimizer()
            search._gp = regressor(
                Matern(nu=2.5), alpha=1e-6, normalize_y=True, random_state=0
            )
            search.maximize(init_points=5, n_iter=0)
            suggested.append([search.suggest()[name] for name in "xy"])
        np.testing.assert_allclose(suggested[1], suggested[0], atol=1e-3)
        initial = search.max["target"]
        search.maximize(init_points=0, n_iter=8)
        assert search.max["target"] > initial
        assert search.max["target"] > -0.05


@pytest.mark.clients
class TestModAL:
    @pytest.fixture(autouse=True)
    def installed(self, client, monkeypatch):
        learners = client("modAL.models.learners")
        # modAL 0.4.2 names a keyword as scikit-learn did before 1.6.
        check = learners.check_X_y

        def renamed(*args, force_all_finite=True, **kwargs):
            return check(*args, ensure_all_finite=force_all_finite, **kwargs)

        monkeypatch.setattr(learners, "check_X_y", renamed)

    def test_uncertainty_sampling(self):
        from modAL.models import ActiveLearner

        rng = np.random.RandomState(0)
        x = rng.uniform(-3, 3, (200, 1))
        y = np.sin(x[:, 0])

        def most_unsure(learner, pool):
            _, std = learner.predict(pool, return_std=True)
            return np.array([np.argmax(std)])

        learner = ActiveLearner(
            estimator=regressor(),
            query_strategy=most_unsure,
            X_training=x[:3],
            y_training=y[:3],
        )
        for _ in range(8):
            index, row = learner.query(x)
            learner.teach(row.reshape(1, -1), y[index])
        assert learner.score(x, y) > 0.95

    def test_bayesian_optimizer(self):
        from modAL.acquisition import max_EI
        from modAL.models import BayesianOptimizer

        grid = np.linspace(-2, 2, 101)[:, None]
        target = -((grid[:, 0] - 0.7) ** 2)
        optimizer = BayesianOptimizer(
            estimator=regressor(),
            X_training=grid[[0, 50, 100]],
            y_training=target[[0, 50, 100]],
            query_strategy=max_EI,
        )
        for _ in range(8):
            index, row = optimizer.query(grid)
            optimizer.teach(row.reshape(1, -1), target[index])
        assert optimizer.get_max()[1] > -0.05
