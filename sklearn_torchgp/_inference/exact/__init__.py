"""Gaussian likelihood: one Cholesky factor, no approximation."""
