"""Gaussian-process classification."""

from dataclasses import fields

import numpy as np
import torch
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import CompoundKernel, Kernel
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ._classification.elsewhere import coded, shards_elsewhere
from ._classification.latent import LatentOutputs
from ._classification.latent_gp import LatentGP, Settings
from ._classification.multiclass import OneVsOne, OneVsRest
from ._classification.weights import TIE_BREAK, check_no_white, class_factors
from ._data.arrays import (
    NUMPY,
    ArrayKind,
    as_numpy,
    check_same_kind,
    resolve_device,
)
from ._data.rows import check_weights
from ._data.shards import weights_of_all
from ._model.base import GPEstimator
from ._model.default import AUTO
from ._model.elsewhere import brought
from ._model.methods import (
    METHODS_OF_CLASSIFIERS,
    check_method,
    choose_classification,
)
from ._model.plans.inducing import points_given
from ._model.plans.plan import check_numbers

_CHOICES = {
    "multi_class": ("one_vs_rest", "one_vs_one", "softmax"),
    "inference": ("laplace", "ep", "vi"),
    "link": ("logit", "probit"),
}


# Log probabilities closer than this are equal.
TIE = 1e-12


class TorchGPClassifier(LatentOutputs, GPEstimator, GaussianProcessClassifier):
    """Gaussian-process classification on PyTorch linear algebra, CPU or GPU.

    A drop-in for :class:`sklearn.gaussian_process.GaussianProcessClassifier`: same
    parameters, same attributes, by default the same numbers; with more methods of
    inference, a joint model of several classes, and weights.

    Parameters
    ----------
    kernel : scikit-learn kernel or "auto", default=None
        The covariance function of the latent functions. None means ``1.0 * RBF(1.0)``,
        not optimised. "auto" is a good start for a table of numbers in any units:
        amplitude times an anisotropic Matern kernel (nu = 5/2), as in
        :class:`TorchGPRegressor`, with priors that keep a separable problem from
        growing without bound.
    optimizer : "fmin_l_bfgs_b", callable or None, default="fmin_l_bfgs_b"
        Maximiser of the (approximate) log marginal likelihood, as in
        :class:`TorchGPRegressor`. None keeps the kernel as it is.
    n_restarts_optimizer : int, default=0
        Further starts, drawn log-uniformly within the kernel's bounds.
    max_iter_predict : int, default=100
        Most iterations of inference at one set of hyperparameters: Newton steps of
        Laplace, factorisations of EP and VI.
    warm_start : bool, default=False
        Whether inference on two classes starts from the solution of the last call
        with this `inference`. (Within one `fit` it always does, for any number of
        classes; the solution is the same.)
    copy_X_train : bool, default=True
        Whether the training rows are copied or only referred to.
    random_state : int, RandomState instance or None, default=None
        Draws the starts.
    multi_class : {"one_vs_rest", "one_vs_one", "softmax"}, default="one_vs_rest"
        What to do with more than two classes. "one_vs_rest": a binary problem for each
        class; "one_vs_one": one for each pair, probabilities by pairwise coupling;
        "softmax": one joint problem with a latent function for each class and one
        kernel for all: the best probabilities, with ``inference="ep"``. It also goes
        with ``inference="laplace"`` and ``link="logit"``, which is faster; its
        probabilities are those of the mode, overconfident far from the data. No other
        pairs, and no weights with ``link="probit"``.
    n_jobs : int, default=None
        Processes that share the binary problems. None means 1.
    inference : {"laplace", "ep", "vi"}, default="laplace"
        "laplace": Gaussian at the mode, the fastest. "ep": expectation propagation,
        the most accurate evidence and probabilities. "vi": the best Gaussian in
        KL(q, posterior), with a lower bound for evidence.
    link : {"logit", "probit"}, default="logit"
        p(y = 1 | f): logistic, or normal distribution function.
    class_weight : dict {label: weight}, "balanced" or None, default=None
        Positive; multiplies `sample_weight`. "balanced": inversely proportional to the
        weighted frequency of the class. Where the data say nothing, the heavier class
        wins: log probabilities are raised by 1e-5 times the log weight.
    priors : dict, default=None
        Names of ``kernel.get_params()`` -> a distribution of
        :mod:`sklearn_torchgp.priors`, whose log density is added to what `fit`
        maximises, in every problem: as in :class:`TorchGPRegressor`.
    method : {"exact", "inducing", "auto"}, default="exact"
        How the covariance of the rows is treated. "exact": Cholesky factors of whole
        matrices, O(n^2) memory and O(n^3) time. "inducing": all rows seen through m
        inducing points, O(m^2) memory and O(n m^2) time, with ``inference="vi"`` and
        not with ``multi_class="softmax"``. Where structure is local boosted trees are
        better. "auto": inducing points for more than 3000 rows where these go, else
        exact; `method_` and `method_reason_` say what it was.
    inducing_points : int or array of shape (m, n_features), default=512
        As in :class:`TorchGPRegressor`, for each binary problem.
    optimizer_rows : int or None, default=5000
        With method="inducing" hyperparameters and points are learned on twice as many
        rows, drawn at random; then a few steps are taken on all. None: on all from the
        start.
    device : {"auto", "cpu", "cuda", "cuda:<index>"} or torch.device, default="auto"
        Where the linear algebra runs. "auto" takes the GPU if there is one and the
        training set is large enough to gain from it.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the linear algebra; answers are float64.
    verbose : int, default=0
        1 prints a line for each iteration of the optimiser; scikit-learn's callbacks
        hear of these, too: both as in :class:`TorchGPRegressor`. They are given the
        classifier as it would be had the fit ended there; of several binary problems,
        of which one then says nothing of the others, and of method="inducing", at the
        end only.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    n_classes_ : int
    kernel_ : kernel
        With optimised hyperparameters; for several binary problems a CompoundKernel of
        theirs.
    base_estimator_ : LatentGP, OneVsRest or OneVsOne
        The fitted problem or problems, with what prediction needs.
    inducing_points_ : array of shape (m, n_features), or list of these
        Where they are, of several problems for each. Only with method="inducing".
    method_ : {"exact", "inducing"}
        What `method` came to.
    method_reason_ : str
        A sentence why.
    log_marginal_likelihood_value_ : float
        At ``kernel_.theta``; the mean over several binary problems.
    log_posterior_ : float
        The same plus the log density of the priors.
    optimizer_results_ : list of Bunch
        One record for each start of each problem, as in :class:`TorchGPRegressor`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had string column names.

    Notes
    -----
    Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006): algorithms
    3.1, 3.2 and 5.1 (Laplace), 3.3 and 3.4 (softmax, with the determinant term that the
    listing drops), 3.5, 3.6 and 5.2 (EP, all sites at once). Probabilities are averages
    over the latent posterior by quadrature; `predict` is always the first of the most
    probable classes. NumPy's and SciPy's OpenBLAS has one thread meanwhile, for the
    whole process, and as many as before afterwards: see `TorchGPRegressor`.

    Few rows of nearly separable classes may leave the kernel's variance open: on 75
    rows of iris (four splits) the evidence of joint EP gains 0.28, -6.31, -0.35 and
    0.03 nats from a variance of 1,100 to one of 100,000, while held-out log loss goes
    from 0.157, 0.063, 0.126 and 0.141 to 0.207, 0.119, 0.230 and 0.175. A prior
    decides: with ``priors={"k1__constant_value":
    LogNormal(log(25), 2)}`` it is 0.115 on average, without 0.141. ``kernel="auto"``
    brings priors of its own.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sklearn_torchgp import TorchGPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> joint = TorchGPClassifier(
    ...     1.0 * RBF(1.0), multi_class="softmax", inference="ep", link="probit"
    ... )
    >>> round(joint.fit(X, y).score(X, y), 3)
    0.987
    >>> joint.predict_proba(X[[70]]).round(1)
    array([[0. , 0.5, 0.5]])
    """

    _methods = METHODS_OF_CLASSIFIERS

    _parameter_constraints: dict = {
        **GaussianProcessClassifier._parameter_constraints,
        "kernel": [StrOptions({AUTO}), Kernel, None],
        "priors": "no_validation",
        "multi_class": [str],
        "inference": [str],
        "link": [str],
        "class_weight": [dict, str, None],
        "method": [str],
        "inducing_points": "no_validation",
        "optimizer_rows": "no_validation",
        "device": [str, torch.device],
        "dtype": [str],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        kernel=None,
        *,
        optimizer="fmin_l_bfgs_b",
        n_restarts_optimizer=0,
        max_iter_predict=100,
        warm_start=False,
        copy_X_train=True,
        random_state=None,
        multi_class="one_vs_rest",
        n_jobs=None,
        inference="laplace",
        link="logit",
        class_weight=None,
        priors=None,
        method="exact",
        inducing_points=512,
        optimizer_rows=5000,
        device="auto",
        dtype="float64",
        verbose=0,
    ):
        super().__init__(
            kernel=kernel,
            optimizer=optimizer,
            n_restarts_optimizer=n_restarts_optimizer,
            max_iter_predict=max_iter_predict,
            warm_start=warm_start,
            copy_X_train=copy_X_train,
            random_state=random_state,
            multi_class=multi_class,
            n_jobs=n_jobs,
        )
        self.inference = inference
        self.link = link
        self.class_weight = class_weight
        self.priors = priors
        self.method = method
        self.inducing_points = inducing_points
        self.optimizer_rows = optimizer_rows
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None):
        """Fit the model: optimise the hyperparameters, find the posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
            Training rows. Dask arrays, with method="inducing" and classes against the
            rest: as in :class:`TorchGPRegressor`.
        y : array-like of shape (n_samples,)
            Class labels of any type.
        sample_weight : array-like of shape (n_samples,), default=None
            Not negative. A row's likelihood term is raised to this power: weight 2
            is the row twice, weight 0 is the row left out.

        Returns
        -------
        self : TorchGPClassifier

        Raises
        ------
        ValueError, TypeError
            For bad parameters or data, before any work; also if only one class has
            positive weight. After any exception the estimator is as it was.
        """
        with self._all_or_nothing(X=X, y=y, sample_weight=sample_weight):
            self._check_params()
            if isinstance(self.kernel, CompoundKernel):
                raise ValueError(
                    "kernel cannot be a CompoundKernel: give one kernel, of which "
                    "every binary problem optimises its own copy."
                )
            X, y, weight, shards = self._training_set(X, y, sample_weight)
            chosen = choose_classification(self, X, self._is_softmax())
            self.method_, self.method_reason_ = chosen
            problem, options = self._problem(), {}
            if isinstance(problem, LatentGP):
                last = getattr(self, "base_estimator_", None)
                options["before"] = last if isinstance(last, LatentGP) else None
                options["shards"] = shards and shards(1)
            else:
                options["shards"] = shards
            self.base_estimator_ = problem
            problem.fit(X, y, weight, watch=self._watch, **options)
            self.log_marginal_likelihood_value_ = problem.log_marginal_likelihood()
        return self

    def _check_params(self):
        super()._check_params()
        check_method(self.method, self._methods)
        points_given(self.inducing_points)
        check_numbers(self, "optimizer_rows")
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(
                    f"The {name!r} parameter must be one of {list(allowed)}. "
                    f"Got {value!r} instead."
                )
        given = (self.inference, self.link)
        allowed = (("laplace", "logit"), ("ep", "logit"), ("ep", "probit"))
        if self.multi_class == "softmax" and given not in allowed:
            raise ValueError(
                "multi_class='softmax' goes with inference='ep', and with "
                "inference='laplace' and link='logit', only. Got "
                f"inference={self.inference!r} and link={self.link!r}; "
                "'one_vs_rest' and 'one_vs_one' go with all of them."
            )

    def _training_set(self, X, y, sample_weight):
        """Rows of positive weight, their class codes and weights (None: all 1).

        Last come the `shards_elsewhere` of rows of Dask arrays.
        """
        (X, y, sample_weight, _), others = brought(self, X, y, sample_weight)
        y_kind = ArrayKind(y)
        X, y, kind = self._validate_training_data(X, y, multi_output=False)
        self._no_rows = kind(np.empty(0))
        check_classification_targets(y)
        resolve_device(self.device, len(y), dtype=self.dtype)
        weight = check_weights(sample_weight, len(y))
        if weight is not None and not weight.all():
            rows = np.flatnonzero(weight)
            X = X[rows] if isinstance(X, np.ndarray) else [X[i] for i in rows]
            y, weight = y[rows], weight[rows]
        elif self.copy_X_train:
            X = np.copy(X)
        classes, codes, frequency = coded(y, weight, others)
        if len(classes) == 1:
            raise ValueError(
                f"{type(self).__name__} requires at least 2 distinct classes in y, "
                f"with positive weight; got only one class, {classes[0]!r}."
            )
        factors = class_factors(self.class_weight, classes, frequency)
        self._tie_break = None
        if factors is not None:
            weight = factors[codes] * (1.0 if weight is None else weight)
            self._tie_break = TIE_BREAK * np.log(factors)
        if sample_weight is not None and weight is not None:
            check_no_white(self.kernel, weights_of_all(weight, others))
        if weight is not None and self._is_probit_race(len(classes)):
            raise ValueError(
                "multi_class='softmax' with link='probit' knows neither sample_weight "
                "nor class_weight. Use link='logit' with these."
            )
        self.classes_ = y_kind(classes) if classes.dtype.kind in "biuf" else classes
        self.n_classes_ = len(classes)
        return X, codes, weight, shards_elsewhere(self, others, classes, factors)

    def _attributes_at(self, vector):
        """Those of one problem; None of one of several, which says nothing of the
        others, and of inducing points, which the fit keeps at its end only.
        """
        problem = self.base_estimator_
        if not isinstance(problem, LatentGP) or problem.method_ != "exact":
            return None
        problem = problem.at(vector)
        return {
            "base_estimator_": problem,
            "log_marginal_likelihood_value_": problem.log_marginal_likelihood(),
        }

    def _problem(self):
        """The unfitted estimator of these classes."""
        shared = [field.name for field in fields(Settings) if field.name != "softmax"]
        values = {name: getattr(self, name) for name in shared}
        if isinstance(self.kernel, Kernel):
            values["kernel"] = kernel = clone(self.kernel)
            self._acquaint(kernel)
        settings = Settings(softmax=self._is_softmax(), **values)
        if self._is_softmax() or self.n_classes_ == 2:
            return LatentGP(settings)
        several = OneVsRest if self.multi_class == "one_vs_rest" else OneVsOne
        labels = as_numpy(self.classes_).tolist()
        return several(settings, n_jobs=self.n_jobs, labels=labels)

    def _is_probit_race(self, n_classes):
        several = self.multi_class == "softmax" and n_classes > 2
        return several and self.link == "probit"

    def _is_softmax(self):
        return self.multi_class == "softmax" and self.n_classes_ > 2

    @property
    def kernel_(self):
        """The optimised kernel; a CompoundKernel of those of several problems."""
        return self.base_estimator_.kernel_

    @property
    def log_posterior_(self):
        """Evidence plus log prior at `kernel_`; the mean over several problems."""
        return self.base_estimator_.log_posterior_

    @property
    def inducing_points_(self):
        """Where they are; a list of such arrays for several binary problems."""
        problem = self.base_estimator_
        several = getattr(problem, "estimators_", None)
        if several is None:
            return problem.inducing_points_
        return [one.inducing_points_ for one in several]

    @property
    def optimizer_results_(self):
        """One record for each start of each problem, as `TorchGPRegressor` has them."""
        return self.base_estimator_.optimizer_results_

    def predict(self, X):
        """The most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object

        Returns
        -------
        y : array of shape (n_samples,)
            ``classes_[argmax(predict_proba(X))]``, the first of equals.
        """
        X, kind = self._rows(X, "predict")
        if self.n_classes_ == 2 and self._tie_break is None:
            # The sign of the mean decides, without a variance.
            winner = (self.base_estimator_.latent_moments(X, None)[0][:, 0] > 0).long()
        else:
            log_p = self._log_proba(X)
            # Round-off separates no classes: the first of equals wins.
            best = log_p >= log_p.amax(dim=1, keepdim=True) - TIE
            winner = best.int().argmax(dim=1)
        labels = as_numpy(self.classes_)[as_numpy(winner)]
        return kind(labels) if labels.dtype.kind in "biuf" else labels

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object

        Returns
        -------
        p : array of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        X, kind = self._rows(X, "predict_proba")
        return kind(self._log_proba(X).exp())

    def decision_function(self, X):
        """Scores whose order is that of the probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object

        Returns
        -------
        scores : array of shape (n_samples,) or (n_samples, n_classes)
            Two classes: log odds of the second class. More: log probabilities, whose
            largest belongs to `predict`.
        """
        X, kind = self._rows(X, "decision_function")
        log_p = self._log_proba(X)
        return kind(log_p[:, 1] - log_p[:, 0] if self.n_classes_ == 2 else log_p)

    def loo_predict_proba(self):
        """Class probabilities of each training row, from all other rows.

        Closed form, at the fitted hyperparameters: nothing is fitted again. Exact
        cavities of EP; for Laplace and VI the same with their Gaussian sites.

        Returns
        -------
        p : array of shape (n_train, n_classes)
            Rows as in ``fit``, less those of zero weight. Of a row of weight w >= 1
            one copy is left out, of a smaller weight all.
        """
        check_is_fitted(self)
        log_p = self._tilted_to_weights(self.base_estimator_.loo_log_proba())
        return ArrayKind(self._no_rows)(log_p.exp())

    def log_marginal_likelihood(
        self, theta=None, eval_gradient=False, clone_kernel=True
    ):
        """Approximate log marginal likelihood of the training data at theta.

        Parameters
        ----------
        theta : array-like of shape (n_kernel_params,), default=None
            Logarithms of the free hyperparameters. None returns the value found in
            `fit`. For several binary problems one theta for all of them, or that of
            the compound `kernel_`.
        eval_gradient : bool, default=False
            Whether the gradient with respect to theta is returned, too.
        clone_kernel : bool, default=True
            If False, `kernel_` takes on theta.

        Returns
        -------
        log_likelihood : float
            Laplace's or EP's approximation, or the lower bound of VI. Of
            ``one_vs_rest`` and ``one_vs_one`` the mean over the binary problems.
        log_likelihood_gradient : ndarray of shape (n_kernel_params,), optional
            Only if `eval_gradient`.

        Raises
        ------
        ValueError
            If the gradient is asked for without theta, or theta has the wrong length.
        """
        check_is_fitted(self)
        return self.base_estimator_.log_marginal_likelihood(
            as_numpy(theta), eval_gradient, clone_kernel
        )

    def score(self, X, y, sample_weight=None):
        """Mean accuracy of `predict`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of object
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float
        """
        y_pred = as_numpy(self.predict(X))
        return accuracy_score(
            as_numpy(y), y_pred, sample_weight=as_numpy(sample_weight)
        )

    def _rows(self, X, method):
        """Validated new rows, and their kind of array, which must be that of `fit`."""
        if self._is_valid(X):
            return X, NUMPY
        check_is_fitted(self)
        check_same_kind(X, self._no_rows, f"{type(self).__name__}.{method}()")
        return self._validate_rows(X, method)

    def _log_proba(self, X):
        return self._tilted_to_weights(self.base_estimator_.log_proba(X))

    def _tilted_to_weights(self, log_p):
        """log_p (m, C), where class weights break ties; see `TIE_BREAK`."""
        if self._tie_break is None:
            return log_p
        return torch.log_softmax(log_p + torch.as_tensor(self._tie_break).to(log_p), 1)
