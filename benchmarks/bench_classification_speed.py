"""What does Gaussian-process classification cost, beside scikit-learn and by method?

Two questions: a whole binary fit with Laplace's approximation, ours and scikit-learn's
to the same optimum; and one evidence with its gradient for each inference and link, in
units of Laplace's with the same link, from no start at all (a fit starts each
evaluation from the last one, and takes fewer iterations).
"""

import warnings

import numpy as np
from harness import Contender, NotConverged, compete, options, problem, save
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from sklearn_torchgp import TorchGPClassifier

CLASSES = {
    "TorchGPClassifier": TorchGPClassifier,
    "scikit-learn": GaussianProcessClassifier,
}


def labels(n, d):
    """Rows (n, d), and the sign of a smooth function of them with noise."""
    X, f = problem(n, d)
    noise = np.random.RandomState(1).logistic(scale=0.3, size=n)
    return X, f - np.median(f) + noise > 0


def fit_contenders(X, y, kernel):
    """Both classes on one problem; scikit-learn's evidence judges both."""
    referee = GaussianProcessClassifier(kernel, optimizer=None).fit(X, y)

    def quality(model):
        theta = model.kernel_.theta
        lml, gradient = referee.log_marginal_likelihood(theta, eval_gradient=True)
        free = np.clip(theta + gradient, *kernel.bounds.T) - theta
        if np.abs(free).max() > 1e-3 * max(1.0, abs(lml)):
            raise NotConverged(f"gradient of {np.abs(free).max():.3g} at {lml:.6g}")
        return {"lml": float(lml)}

    def fit(cls):
        with warnings.catch_warnings():  # `quality` decides
            warnings.simplefilter("ignore", ConvergenceWarning)
            return cls(kernel).fit(X, y)

    return [
        Contender(name, lambda cls=cls: fit(cls), quality)
        for name, cls in CLASSES.items()
    ]


def evaluation_contenders(X, y, kernel, link):
    """One evidence with gradient by each inference."""
    contenders = []
    for inference in ("laplace", "ep", "vi"):
        model = TorchGPClassifier(
            kernel, optimizer=None, inference=inference, link=link
        ).fit(X, y)

        def evaluate(model=model):
            return model.log_marginal_likelihood(kernel.theta, eval_gradient=True)

        contenders.append(
            Contender(
                f"{inference} {link}",
                evaluate,
                lambda answer: {
                    "lml": float(answer[0]),
                    "gradient": float(np.linalg.norm(answer[1])),
                },
            )
        )
    return contenders


def main():
    args = options(__doc__)
    rows = []
    n, d = (200, 4) if args.quick else (600, 8)
    X, y = labels(n, d)
    for shape, length_scale in (("one scale", 1.0), ("a scale each", np.ones(d))):
        kernel = ConstantKernel(1.0) * RBF(length_scale)
        case = {"fit": shape, "n": n, "d": d}
        rows += compete(case, fit_contenders(X, y, kernel), rounds=5, block=0)
    for variance in (1.0, 9.0, 100.0):
        kernel = ConstantKernel(variance) * RBF(1.5)
        for link in ("logit", "probit"):
            case = {"evaluation": variance, "n": n, "d": d}
            contenders = evaluation_contenders(X, y, kernel, link)
            rows += compete(case, contenders, rounds=5, block=0.2)
    save("classification_speed", rows, args)


if __name__ == "__main__":
    main()
