"""Whether the answer can be believed: assumptions, balance, model, priors, exposure."""
