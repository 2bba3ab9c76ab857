"""From any source to a validated experiment and its exact sufficient statistics."""
