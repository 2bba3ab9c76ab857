"""The gaussian posterior by integration: quadrature, marginals, independent draws."""
