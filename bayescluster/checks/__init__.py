"""Whether the answer can be believed: assumptions, balance, model, priors, exposure."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
