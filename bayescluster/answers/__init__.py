"""What follows from both paths, as facts: estimands, comparison, rollout, interval to read."""
