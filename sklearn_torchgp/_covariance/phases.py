"""Sums over pairs of rows of functions of phase differences, by addition theorems.

With phases phi (..., m, d) of rows and psi (..., n, d) of others, cos and sin of
phi_ik - psi_jk are sums of two products, so that weighted sums over pairs are matrix
products: no (m, n) matrix of sines for each feature.
"""

import torch


def cosine(phi, psi):
    """cos(phi_i - psi_j) of one feature: phi (..., m, 1), psi (..., n, 1)."""
    left = torch.cat([phi.cos(), phi.sin()], -1)
    return left @ torch.cat([psi.cos(), psi.sin()], -1).mT


def sines_of_rows(W, phi, psi):
    """sum_j W_ij sin(phi_ik - psi_jk): (..., m, d)."""
    return phi.sin() * (W @ psi.cos()) - phi.cos() * (W @ psi.sin())


def weighted_sines(W, phi, psi):
    """sum_ij W_ij sin(phi_ik - psi_jk) (phi_ik - psi_jk): (d,)."""
    d = phi.shape[-1]
    by_rows = phi * sines_of_rows(W, phi, psi)
    by_columns = psi * sines_of_rows(W.mT, psi, phi)
    return by_rows.reshape(-1, d).sum(0) + by_columns.reshape(-1, d).sum(0)
