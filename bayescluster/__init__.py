"""Bayesian analysis of cluster-randomised product experiments.

Start with :func:`analyze`, or go step by step: :class:`Experiment`, then :func:`two_exposure`,
:func:`cluster_bootstrap` and :func:`fit`, then :func:`compare`. The main flow is here, everything
else in its room: ``bc.checks.loo``, ``bc.design.calibrate``. The stub beside each ``__init__``
lists its public names; each is imported when it is first used, so that the frequentist path never
waits for PyMC.
"""

import os

from lazy_loader import attach_stub

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
_ROOMS = {entry.name.removesuffix(".py") for entry in os.scandir(os.path.dirname(__file__))}
__all__ = [name for name in __all__ if name not in _ROOMS]
