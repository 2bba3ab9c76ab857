"""The hierarchical model: its sufficient statistics, its PyMC code and its posterior."""
