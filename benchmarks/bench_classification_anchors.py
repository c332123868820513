"""Do the classifiers reach published errors, and are their probabilities calibrated?

Three parts. Ten-fold error and information beside Kuss and Rasmussen (2005), "Assessing
approximate inference for binary Gaussian process classification" (isotropic RBF,
probit; information in bits above the class-frequency model). The evidence of USPS 3
against 5 at the hyperparameters of the GPML toolbox's documentation, on smoothed digits
and a split of our own. Error, log loss and expected calibration error (15 bins) of each
inference and of scikit-learn.

``--data`` names the folder with the data sets; what is not there is left out.
"""

import csv
import warnings
from pathlib import Path

import numpy as np
from harness import options, save
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import scale

from sklearn_torchgp import TorchGPClassifier

# Percent of errors, bits of information: Laplace, EP.
PUBLISHED = {
    "ionosphere": ((8.84, 0.591), (7.99, 0.661)),
    "wisconsin": ((3.21, 0.804), (3.21, 0.805)),
    "pima": ((22.77, 0.252), (22.63, 0.253)),
    "crabs": ((2.0, 0.682), (2.0, 0.908)),
    "sonar": ((15.36, 0.439), (13.85, 0.537)),
}
# Log length scale, log signal deviation, published evidence, on the authors' own split.
USPS = (("laplace", 3.0, 0.0, -222), ("ep", 3.0, 0.0, -222),
        ("laplace", 2.75, 2.27, -99), ("ep", 2.55, 3.96, -90))  # fmt: skip
KERNEL = ConstantKernel(4.0, (1e-2, 1e6)) * RBF(4.0, (1e-1, 1e3))


def table(path):
    with open(path, newline="") as file:
        return np.array([row for row in csv.reader(file) if "?" not in row])


def read(folder):
    """name -> standardised rows and labels, of the files that are there."""
    found = {}
    files = {
        "ionosphere": "ionosphere.csv",
        "sonar": "sonar.csv",
        "pima": "pima-indians-diabetes.csv",
        "wisconsin": "breast-cancer-wisconsin.csv",
    }
    for name, file in files.items():
        if folder is not None and (folder / file).exists():
            rows = table(folder / file)
            found[name] = scale(rows[:, :-1].astype(float)), rows[:, -1]
    if folder is not None and (folder / "crabs.csv").exists():
        rows = table(folder / "crabs.csv")[1:]
        species = (rows[:, :1] == "B").astype(float)
        measures = np.c_[rows[:, 3:].astype(float), species]
        found["crabs"] = scale(measures), rows[:, 1]
    return found


def out_of_fold(model, X, y, folds):
    """Probabilities of every row from the folds it is not in."""
    p = np.zeros((len(y), len(np.unique(y))))
    split = StratifiedKFold(folds, shuffle=True, random_state=0).split(X, y)
    for train, test in split:
        with warnings.catch_warnings():
            # Bounds are wide on purpose: EP's evidence often has no interior optimum.
            warnings.simplefilter("ignore", ConvergenceWarning)
            p[test] = clone(model).fit(X[train], y[train]).predict_proba(X[test])
    return p


def scores(p, y):
    """Error in percent, log loss in nats, information in bits, calibration error."""
    codes = np.unique(y, return_inverse=True)[1]
    own = np.clip(p[np.arange(len(y)), codes], 1e-12, 1)
    frequency = np.bincount(codes) / len(y)
    entropy = -(frequency * np.log2(frequency)).sum()
    confidence, right = p.max(axis=1), p.argmax(axis=1) == codes
    bins = np.minimum((15 * confidence).astype(int), 14)
    gaps = [
        abs(confidence[bins == b].sum() - right[bins == b].sum())
        for b in np.unique(bins)
    ]
    return {
        "error": 100 * (1 - right.mean()),
        "log_loss": -np.log(own).mean(),
        "information": entropy + np.log2(own).mean(),
        "calibration": sum(gaps) / len(y),
    }


def row(case, contender, quality, **more):
    quality = {key: float(value) for key, value in quality.items()}
    shown = " ".join(f"{key}={value:.4g}" for key, value in quality.items())
    print(f"{case!s:42} {contender:24} {shown}", *more.items(), flush=True)
    return {"case": case, "contender": contender, "quality": quality, **more}


def published(data, folds):
    for name, pair in PUBLISHED.items():
        if name not in data:
            print(f"{name}: no data, left out")
            continue
        X, y = data[name]
        for inference, (error, bits) in zip(("laplace", "ep"), pair, strict=True):
            model = TorchGPClassifier(KERNEL, inference=inference, link="probit")
            quality = scores(out_of_fold(model, X, y, folds), y)
            there = {"error": error, "information": bits}
            yield row({"folds": name}, f"{inference} probit", quality, published=there)


def usps(folder):
    path = folder / "usps_3v5.npz" if folder is not None else None
    if path is None or not path.exists():
        print("usps_3v5: no data, left out")
        return
    file = np.load(path)
    images = file["X_milli"].reshape(-1, 16, 16) / 1000.0
    X = np.array([gaussian_filter(i, 0.75, mode="constant", cval=-1) for i in images])
    X, y = X.reshape(len(X), -1)[::2], file["y"][::2]
    for inference, log_scale, log_deviation, lml in USPS:
        kernel = ConstantKernel(np.exp(2 * log_deviation)) * RBF(np.exp(log_scale))
        model = TorchGPClassifier(
            kernel, optimizer=None, inference=inference, link="probit"
        ).fit(X, y)
        case = {"usps": f"{log_scale}, {log_deviation}"}
        found = {"lml": model.log_marginal_likelihood()}
        yield row(case, f"{inference} probit", found, published={"lml": lml})


def calibration(data, folds, quick):
    digits = load_digits(return_X_y=True)
    several = {
        "breast_cancer": load_breast_cancer(return_X_y=True),
        "wine": load_wine(return_X_y=True),
        "digits": (digits[0][:300] / 8 - 1, digits[1][:300]),
    }
    if quick:
        data, several = {}, {"wine": several["wine"]}
    for name, (X, y) in {**data, **several}.items():
        X = X if name == "digits" else scale(X)
        contenders = {
            inference: TorchGPClassifier(KERNEL, inference=inference)
            for inference in ("laplace", "ep", "vi")
        }
        if name in several and len(np.unique(y)) > 2:
            joint = TorchGPClassifier(KERNEL, multi_class="softmax")
            contenders["softmax"] = joint
            contenders["softmax ep"] = clone(joint).set_params(inference="ep")
        contenders["scikit-learn"] = GaussianProcessClassifier(KERNEL)
        for contender, model in contenders.items():
            quality = scores(out_of_fold(model, X, y, folds), y)
            yield row({"calibration": name}, contender, quality)


def main():
    args = options(__doc__, data={"type": Path, "default": None}, folds={"type": int})
    folds = args.folds or (3 if args.quick else 10)
    data = read(args.data)
    if args.quick:
        data = {name: data[name] for name in ("crabs", "sonar") if name in data}
    rows = [*published(data, folds), *usps(args.data)]
    fewer = min(folds, 5)
    rows += calibration(data, fewer, args.quick)
    save("classification_anchors", rows, args, folds=folds, calibration_folds=fewer)


if __name__ == "__main__":
    main()
