"""The report: words, plots and one self-contained HTML page."""
