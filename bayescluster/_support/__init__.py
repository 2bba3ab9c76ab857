"""Helpers for all packages: array types, display, atomic file writes and progress."""
