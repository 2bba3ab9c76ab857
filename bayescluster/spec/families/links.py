"""Links: from the mean of an outcome to its linear predictor and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Rates are counted up to exp of this: what is larger overflows when multiplied.
MAX_LOG_RATE = 600.0


@dataclass(frozen=True)
class Link:
    """A link function.

    Parameters
    ----------
    name : str
        Its name.
    of_mean : callable
        The linear predictor of a mean.
    mean : callable
        The mean at a linear predictor.
    unit : str
        Unit of the linear predictor, in words; empty for that of the outcome.
    lowest, highest : float
        Ends of the means that have a linear predictor.
    latent_variance : float, optional
        Variance of the latent outcome within clusters, where the link implies one.
    """

    name: str
    of_mean: Callable[[Any], Any]
    mean: Callable[[Any], Any]
    unit: str = ""
    lowest: float = -np.inf
    highest: float = np.inf
    latent_variance: float | None = None

    def __bool__(self) -> bool:
        """Whether the linear predictor is on another scale than the mean."""
        return self is not IDENTITY

    def inside(self, mean: Any, margin: float) -> Any:
        """Return means that have a linear predictor: at least `margin` from the ends."""
        return np.clip(mean, self.lowest + margin, self.highest - margin)


def _unchanged(value: Any) -> Any:
    return value


def _log_odds(mean: Any) -> Any:
    return np.log(mean) - np.log1p(-np.asarray(mean))


def _probability(eta: Any) -> Any:
    half = np.exp(-np.abs(eta))
    return np.where(eta > 0, 1.0, half) / (1 + half)


def _rate(eta: Any) -> Any:
    return np.exp(np.minimum(eta, MAX_LOG_RATE))


IDENTITY = Link("identity", _unchanged, _unchanged)
LOG = Link("log", np.log, _rate, "log rate", lowest=0.0)
LOGIT = Link("logit", _log_odds, _probability, "log odds", 0.0, 1.0, latent_variance=np.pi**2 / 3)
