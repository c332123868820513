"""What the estimators share: theta, found and kept."""
