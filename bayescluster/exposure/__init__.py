"""From a collaboration graph and an assignment of clusters to each user's exposure."""
