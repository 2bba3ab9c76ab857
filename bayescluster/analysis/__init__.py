"""All of it in one call: the analysis of one metric, and the scorecard of many."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
