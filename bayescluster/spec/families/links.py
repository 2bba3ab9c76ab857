"""Link functions, from the mean of an outcome to its linear predictor and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Rates are capped at exp of this, because larger ones overflow when multiplied.
MAX_LOG_RATE = 600.0


@dataclass(frozen=True)
class Link:
    """A link function.

    Parameters
    ----------
    name : str
        Name of the link.
    of_mean : callable
        Function from a mean to its linear predictor.
    mean : callable
        Function from a linear predictor to its mean.
    unit : str
        Unit of the linear predictor, in words; empty if it is the outcome's.
    lowest, highest : float
        Limits of the mean; outside, the link is undefined.
    latent_variance : float, optional
        Variance of the latent outcome within clusters, if the link implies one.
    """

    name: str
    of_mean: Callable[[Any], Any]
    mean: Callable[[Any], Any]
    unit: str = ""
    lowest: float = -np.inf
    highest: float = np.inf
    latent_variance: float | None = None

    def __bool__(self) -> bool:
        """Whether the linear predictor and the mean are on different scales."""
        return self is not IDENTITY

    def inside(self, mean: Any, margin: float) -> Any:
        """Return means clipped to the link's limits, at least `margin` away from them."""
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
