"""How clusters are assigned: mechanisms, and exact probabilities within their blocks."""
