"""Coregion: how much the outputs of several have in common."""

from numbers import Integral

import numpy as np
import torch

from .._covariance.registry import KernelRecord, register
from ._base import Kernel


class Coregion(Kernel):
    """k(i, j) = B_ij of outputs i and j, with B = W W' + diag(kappa).

    Rows hold one number, that of an output: 0 .. n_outputs - 1. Times a kernel of the
    features it is the intrinsic coregionalisation model: outputs that are mixtures of
    `rank` functions, each with a function of its own beside them (Bonilla, Chai and
    Williams 2008, "Multi-task Gaussian process prediction"). A sum of such products is
    the linear model of coregionalisation; rank 0 under a WhiteKernel is noise of each
    output. `TorchGPRegressor` with ``multi_output="icm"`` builds it.

    Parameters
    ----------
    n_outputs : int
        t
    rank : int, default=1
        R, columns of W: 0 (outputs that know nothing of each other) to t.
    W : array-like of shape (t, R), default=None
        Any numbers. None: waves of the output's number, a constant first; B then has
        the diagonal 1 about.
    kappa : array-like of shape (t,), default=None
        Positive; 0 is allowed where it is fixed. None: 0.5 (1 where `rank` is 0).
    W_bounds : pair, "fixed", or a list with one of these for each element, row by \
            row, default=(-10, 10)
    kappa_bounds : pair, "fixed", or a list with one of these for each output, \
            default=(1e-5, 1e5)

    Notes
    -----
    kappa stands in `theta` by its logarithm. W, whose signs are what the outputs
    correlate by, stands there as it is, in units of a twentieth of the width of its
    bounds (1 by default): bounds of ten times the scale of the outputs make a step of
    an optimiser the same in all of them. W and -W, or W times a rotation, are the same
    kernel: `B` says what is meant.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sklearn_torchgp.kernels import Columns, Coregion
    >>> outputs = Coregion(2, W=[[1.0], [-0.5]], kappa=[0.1, 0.2])
    >>> outputs.B
    array([[ 1.1 , -0.5 ],
           [-0.5 ,  0.45]])
    >>> kernel = Columns(RBF(), [0]) * Columns(outputs, [1])  # rows (x, output)
    >>> kernel([[0.3, 0.0], [0.3, 1.0]])
    array([[ 1.1 , -0.5 ],
           [-0.5 ,  0.45]])
    """

    parameters = ("W", "kappa")
    linear = ("W",)
    unit_shares = {"W": 1 / 20}
    may_be_zero = ("kappa",)

    def __init__(
        self,
        n_outputs,
        rank=1,
        W=None,
        kappa=None,
        W_bounds=(-10.0, 10.0),
        kappa_bounds=(1e-5, 1e5),
    ):
        self.n_outputs = n_outputs
        self.rank = rank
        self.W = W
        self.kappa = kappa
        self.W_bounds = W_bounds
        self.kappa_bounds = kappa_bounds

    @property
    def B(self):
        """The covariance of the outputs: ndarray (t, t)."""
        forms = self.forms()
        B = np.diag(forms["kappa"].value.reshape(self.n_outputs))
        if self.rank:
            W = forms["W"].value
            B = B + W @ W.T
        return B

    def forms(self):
        self._check_numbers()
        forms = super().forms()
        t, R = self.n_outputs, self.rank
        for name, shape in (("W", (t, R)), ("kappa", (t,))):
            if forms[name].value.shape != shape:
                raise ValueError(
                    f"The {name!r} parameter of Coregion must be of shape {shape}, for "
                    f"{t} outputs{f' and rank {R}' if name == 'W' else ''}. Got "
                    f"{forms[name].value.shape}: {getattr(self, name)!r}."
                )
        return forms if R else {"kappa": forms["kappa"]}

    def _value(self, name):
        given, t, R = getattr(self, name), self.n_outputs, self.rank
        if given is not None:
            return given
        if name == "kappa":
            return np.full(t, 0.5 if R else 1.0)
        waves = np.cos(np.pi * np.outer(np.arange(t) + 0.5, np.arange(R)) / t)
        return waves * np.sqrt(0.5 / max(R, 1))

    def bounds_of(self, name):
        nothing = name == "W" and not self.rank
        return "fixed" if nothing else super().bounds_of(name)

    def check(self, n_features):
        if n_features != 1:
            raise ValueError(
                "Coregion sees one column, which holds the number of an output; rows "
                f"here have {n_features}. Give it its own by Columns(Coregion(...), "
                "-1), and the features to another kernel."
            )
        self.forms()

    def _check_numbers(self):
        t, R = self.n_outputs, self.rank
        if not _is_integer(t) or t < 1:
            raise ValueError(
                "The 'n_outputs' parameter of Coregion must be an integer of at least "
                f"1. Got {t!r} instead."
            )
        if not _is_integer(R) or not 0 <= R <= t:
            raise ValueError(
                f"The 'rank' parameter of Coregion must be an integer from 0 to {t}, "
                f"the number of outputs. Got {R!r} instead."
            )


def _is_integer(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def _indicators(X, t):
    """Which output each row is of: (..., n, t), one 1 in each row.

    Products with them take entries of B, on any device and without an index. Rows may
    be out by a little: slopes of what is made of this are taken by differences, too.
    """
    outputs = torch.arange(t, dtype=X.dtype, device=X.device)
    found = (X - outputs).abs() < 0.1
    known = found.any(-1, keepdim=True)
    if X.device.type == "cpu" and not known.all():  # elsewhere the host would wait
        raise ValueError(
            "A row of Coregion must hold the number of an output, a whole number from "
            f"0 to {t - 1}. Got {X[~known].flatten()[0].item()!r}."
        )
    return found.to(X.dtype).masked_fill(~known, torch.nan)


def _covariance(params):
    """B, and its pullback from weights (t, t)."""
    t, R = params["n_outputs"], params["rank"]
    kappa = params["kappa"].reshape(t)
    if not R:
        return kappa.diag(), lambda G: {"kappa": G.diagonal() * kappa}
    W = params["W"].reshape(t, R)

    def pullback(G):
        return {"W": (G + G.mT) @ W, "kappa": G.diagonal() * kappa}

    return W @ W.mT + kappa.diag(), pullback


def _dense(params, X, Z):
    t = params["n_outputs"]
    E = _indicators(X, t)
    F = E if Z is X else _indicators(Z, t)
    B, pull = _covariance(params)
    return E @ B @ F.mT, lambda G: pull((E.mT @ G @ F).reshape(-1, t, t).sum(0))


def _diag(params, X):
    E = _indicators(X, params["n_outputs"])
    B, pull = _covariance(params)

    def pullback(g):
        by_output = (E * g[..., None]).reshape(-1, len(B)).sum(0)
        return pull(by_output.diag())

    return E @ B.diagonal(), pullback


def _slope(params, X, Z):
    return _dense(params, X, Z)[0], lambda G: torch.zeros_like(X)


register(
    Coregion,
    KernelRecord(_dense, _diag, slope=_slope, tensors=True, check=Coregion.check),
)
