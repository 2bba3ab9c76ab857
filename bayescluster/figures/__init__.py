"""Every plot; results reach them by name."""
