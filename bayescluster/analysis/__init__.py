"""The whole analysis in one call: of one metric, or of many as a scorecard."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
