"""Outcomes that are 0 or 1, with a logit link."""

from __future__ import annotations

from typing import Any

import numpy as np

from .family import LINK_PRIORS, CellDensity, Family, FamilyWords, Support
from .links import LOGIT


def log_density(xp: Any, eta: Any, n: Any, total: Any, shape: Any, scale: Any) -> Any:
    """Return the log-density of cells."""
    return total * eta - n * softplus(xp, eta)


def score_and_information(eta: Any, n: Any, total: Any, shape: Any, scale: Any) -> tuple[Any, Any]:
    """Return the derivatives of `log_density` in eta."""
    mean = LOGIT.mean(eta)
    return total - n * mean, n * mean * (1 - mean)


def softplus(xp: Any, eta: Any) -> Any:
    """Return log(1 + exp(eta))."""
    return np.logaddexp(0.0, eta) if xp is np else xp.softplus(eta)


def density_kernel(eta: float, n: float, total: float, phi: float) -> tuple[float, float, float]:
    """Return one cell's log-density with its derivatives in eta and phi."""
    rising = np.exp(-abs(eta))
    mean = 1 / (1 + rising) if eta > 0 else rising / (1 + rising)
    return total * eta - n * (max(eta, 0.0) + np.log1p(rising)), total - n * mean, 0.0


def derivatives_kernel(eta: float, n: float, total: float, phi: float) -> tuple[float, float]:
    """Return one cell's score and information."""
    rising = np.exp(-abs(eta))
    mean = 1 / (1 + rising) if eta > 0 else rising / (1 + rising)
    return total - n * mean, n * mean * (1 - mean)


def draw_units(rng: np.random.Generator, eta: Any, shape: Any, scale: Any) -> Any:
    """Draw outcomes of single units."""
    return rng.binomial(1, LOGIT.mean(eta))


def draw_totals(rng: np.random.Generator, eta: Any, n: Any, shape: Any, scale: Any) -> Any:
    """Draw sums of the outcomes of n units."""
    return rng.binomial(n.astype(np.int64), LOGIT.mean(eta)).astype(float)


FAMILY = Family(
    name="bernoulli",
    words=FamilyWords(
        equation=r"y_{ij} &\sim \mathrm{Bernoulli}(p_{ij})",
        link_equation=r"\log \frac{p_{ij}}{1 - p_{ij}} &= \eta_{ij}",
        cluster_mean="rate of a cluster",
        contrast="a difference of shares",
    ),
    draw_units=draw_units,
    draw_totals=draw_totals,
    link=LOGIT,
    cells=CellDensity(
        log_density, score_and_information, kernel=(density_kernel, derivatives_kernel)
    ),
    support=Support(
        outside=lambda outcome: (outcome != 0) & (outcome != 1),
        fault="neither 0 nor 1",
        remedy="code the outcome as 0 and 1",
    ),
    is_discrete=True,
    variance=lambda mean, shape: mean * (1 - mean),
    ratio="odds ratio",
    default_priors=LINK_PRIORS,
)
