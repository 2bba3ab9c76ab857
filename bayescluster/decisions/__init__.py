"""Decisions: the expected losses of acting and of waiting."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
