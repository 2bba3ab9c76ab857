"""What to do: the expected losses of acting and of waiting."""
