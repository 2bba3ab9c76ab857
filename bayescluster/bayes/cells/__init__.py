"""Outcomes that are counted in cells: families, and likelihoods, sampled or integrated."""
