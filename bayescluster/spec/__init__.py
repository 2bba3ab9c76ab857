"""What is asked: a frozen, hashed specification, its priors and the outcome families."""
