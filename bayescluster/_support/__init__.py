"""What every room may use: display, whole files, progress, the door to figures and reports."""
