"""A model for reading: equations, graph, priors in words."""
