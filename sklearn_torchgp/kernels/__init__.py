"""Kernels that scikit-learn does not have, each a scikit-learn kernel.

They go with ``+``, ``*`` and ``**`` into any other kernel, and into scikit-learn's own
estimators, too.
"""

from .additive import Additive
from .categorical import Categorical
from .change_point import ChangePoint
from .columns import Columns
from .coregion import Coregion
from .deep import DeepKernel
from .dimensions import TiedMatern, with_bounds
from .periodic import Periodic
from .polynomial import Polynomial
from .rational_quadratic import RationalQuadratic
from .spectral_mixture import SpectralMixture
from .tanimoto import Tanimoto
from .torch_kernel import TorchKernel

__all__ = [
    "Additive",
    "Categorical",
    "ChangePoint",
    "Columns",
    "Coregion",
    "DeepKernel",
    "Periodic",
    "Polynomial",
    "RationalQuadratic",
    "SpectralMixture",
    "Tanimoto",
    "TiedMatern",
    "TorchKernel",
    "with_bounds",
]
