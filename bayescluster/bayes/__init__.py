"""The hierarchical model: its sufficient statistics, its PyMC code and its posterior."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
