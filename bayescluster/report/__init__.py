"""The report: text, tables and plots, as HTML, Markdown or JSON."""
