"""What only a classifier says."""
