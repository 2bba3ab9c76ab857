"""The gaussian model: likelihood from moments, and locations given the standard deviations."""
