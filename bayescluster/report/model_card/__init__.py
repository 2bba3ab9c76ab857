"""The model card: equations, graph and priors in words."""
