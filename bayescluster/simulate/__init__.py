"""Data with a known truth: scenarios, any specification, the gallery's examples, graphs."""
