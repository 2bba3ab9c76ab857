"""What follows from both paths, as facts: estimands, comparison, rollout, interval to read."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
