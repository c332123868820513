"""Other likelihoods: a Gaussian site in place of each term."""
