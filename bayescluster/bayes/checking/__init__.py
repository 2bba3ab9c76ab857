"""Whether to believe a posterior: convergence, predictive checks, LOO, sensitivity to priors."""
