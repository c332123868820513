"""Length scales that are fixed one by one, or that move together."""

from sklearn.base import clone
from sklearn.gaussian_process import kernels

from .._covariance.registry import register, registered
from ._base import Kernel
from ._forms import is_mixed


class PartlyFixedRBF(Kernel, kernels.RBF):
    """RBF some of whose length scales are no part of theta."""

    parameters = per_feature = ("length_scale",)
    stationary = True


class PartlyFixedMatern(Kernel, kernels.Matern):
    """Matern some of whose length scales are no part of theta."""

    parameters = per_feature = ("length_scale",)
    stationary = True


class TiedMatern(Kernel, kernels.Matern):
    """Matern whose length scales keep their ratios (GPML 4.14).

    One number is learned, their geometric mean, which is what stands in theta, and
    what bounds and priors are for: isotropic in features divided by the length scales
    that are given.

    Parameters
    ----------
    length_scale : float or array-like of shape (d,), default=1.0
    length_scale_bounds : pair or "fixed", default=(1e-5, 1e5)
        Of the geometric mean.
    nu : float, default=1.5
        Smoothness; ``inf`` is RBF.

    Examples
    --------
    >>> from sklearn_torchgp.kernels import TiedMatern
    >>> kernel = TiedMatern([1.0, 100.0], nu=2.5)
    >>> kernel.clone_with_theta([0.0])
    TiedMatern(length_scale=[0.1, 10], nu=2.5)
    """

    parameters = per_feature = tied = ("length_scale",)
    stationary = True


# scikit-learn's kernels that have a length scale for each feature.
PARTLY_FIXED = {kernels.RBF: PartlyFixedRBF, kernels.Matern: PartlyFixedMatern}

for theirs, ours in PARTLY_FIXED.items():
    register(ours, registered()[theirs])
register(TiedMatern, registered()[kernels.Matern])


def with_bounds(kernel, **bounds):
    """A copy of a kernel with other bounds, for each element of a hyperparameter.

    The kernels of `sklearn_torchgp.kernels` take such bounds in their constructors;
    this is for scikit-learn's `RBF` and `Matern`, also within sums and products, which
    know bounds for each element but "fixed" for all or none.

    Parameters
    ----------
    kernel : kernel
    **bounds : pair, "fixed", or a list with one of these for each element
        By the names that ``kernel.get_params()`` has for them.

    Returns
    -------
    kernel : kernel
        Still an `RBF` (`Matern`, ...); what is fixed is no part of `theta`.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sklearn_torchgp.kernels import with_bounds
    >>> kernel = with_bounds(
    ...     2.0 * RBF([1.0, 5.0, 1.0]),
    ...     k2__length_scale_bounds=[(0.1, 10.0), "fixed", (0.5, 2.0)],
    ... )
    >>> kernel.n_dims
    3
    >>> kernel.bounds.round(1)
    array([[-11.5,  11.5],
           [ -2.3,   2.3],
           [ -0.7,   0.7]])
    """
    kernel = clone(kernel)
    for name, value in bounds.items():
        if not name.endswith("_bounds") or name not in kernel.get_params():
            allowed = [n for n in kernel.get_params() if n.endswith("_bounds")]
            raise ValueError(
                f"with_bounds got {name!r}, which is no bounds parameter of {kernel}; "
                f"these are: {allowed}."
            )
        *path, own = name.split("__")
        path = "__".join(path)
        owner = kernel.get_params()[path] if path else kernel
        if is_mixed(value) and not isinstance(owner, Kernel):
            changed = _partly_fixed(owner, own)
            kernel = kernel.set_params(**{path: changed}) if path else changed
        kernel.set_params(**{name: value})
        kernel.bounds  # noqa: B018 (raises for bounds that are none)
    return kernel


def _partly_fixed(owner, parameter):
    """The kernel of ours for one of scikit-learn's."""
    ours = PARTLY_FIXED.get(type(owner))
    if ours is None or parameter != "length_scale_bounds":
        raise ValueError(
            f"The {parameter!r} parameter of {owner} must be a pair (lower, upper) or "
            "'fixed': 'fixed' for some elements is for the length scales of RBF and "
            "Matern, and for kernels of sklearn_torchgp.kernels."
        )
    return ours(**owner.get_params())
