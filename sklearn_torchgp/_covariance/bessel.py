"""Matern functions of the orders that have no closed form (GPML 4.14)."""

import math

import numpy as np
import torch
from scipy.special import gammaln, kve

# Above this order K_nu is taken by an expansion, which has 10 digits there; below it
# Bessel functions stay in the range of floats until k is 1 to as many digits.
LARGE_ORDER = 100


def bessel(nu, t):
    """2^(1-nu) / Gamma(nu) t^nu K_nu(t), which is 1 at t = 0."""
    if nu > LARGE_ORDER:
        return _large_order(nu, t)
    x = t.cpu().numpy().astype(np.float64)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_k = (1 - nu) * math.log(2) - gammaln(nu) + nu * np.log(x) - x
        K = np.exp(log_k + np.log(kve(nu, x)))
    # K_nu overflows near 0, where k = 1 - O(x^2) (nu > 1) and 1 - O(x^(2 nu)) below.
    near = 1 - x**2 / (4 * (nu - 1)) if nu > 1 else 1.0
    K = np.where(np.isfinite(K), K, np.clip(near, 0.0, 1.0))
    return torch.from_numpy(K).to(t)


def _large_order(nu, t):
    """The same by Debye's expansion of K_nu(nu z) (DLMF 10.41.4), z = t / nu.

    With q = sqrt(1 + z^2) and Stirling's series for Gamma what is large cancels,

        k = exp(nu (log(1 + u / 2) - u)) q^(-1/2) S(1 / q) / S(1),  u = q - 1,

    where S is the series in 1 / nu. As nu grows nu u goes to r^2 and k to the RBF.
    """
    z2 = (t / nu).square_()
    q = (1 + z2).sqrt_()
    u = z2 / (1 + q)
    log_k = (u / 2).log1p_().sub_(u).mul_(nu)
    return log_k.exp_().div_(q.sqrt()).mul_(_debye(1 / q, nu)).div_(_debye(1.0, nu))


def _debye(p, nu):
    """1 - U_1(p) / nu + U_2(p) / nu^2 - U_3(p) / nu^3 (DLMF 10.41.10)."""
    p2 = p * p
    U1 = p * (3 - 5 * p2) / 24
    U2 = p2 * (81 - 462 * p2 + 385 * p2 * p2) / 1152
    U3 = 30375 - 369603 * p2 + 765765 * p2**2 - 425425 * p2**3
    return 1 - U1 / nu + U2 / nu**2 - p * p2 * U3 / 414720 / nu**3


def rough_weight(nu, t):
    """-k'(r) / r for nu <= 1, unbounded at 0, where s_k^2 = 0 makes the product 0."""
    x = t.cpu().numpy().astype(np.float64)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_w = (1 - nu) * math.log(2) - gammaln(nu) + (nu - 1) * np.log(x) - x
        weight = 2 * nu * np.exp(log_w + np.log(kve(abs(nu - 1), x)))
    return torch.from_numpy(weight).to(t).masked_fill_(t == 0, 0.0)
