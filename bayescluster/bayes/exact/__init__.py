"""The gaussian posterior without a sampler: an exact integral over two standard deviations."""
