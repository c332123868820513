"""Vecchia's approximation: each row given its nearest earlier rows (Vecchia 1988)."""
