"""The cluster-robust path: least squares from moments, and the cluster bootstrap."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
