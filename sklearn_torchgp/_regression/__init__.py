"""What only a regressor says."""
