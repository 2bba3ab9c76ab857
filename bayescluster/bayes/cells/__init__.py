"""Models of outcomes that are counted in cells, with cluster intercepts sampled or integrated."""
