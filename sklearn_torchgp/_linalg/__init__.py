"""Dense linear algebra on torch tensors, in place wherever n is large."""
