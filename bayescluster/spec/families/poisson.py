"""Counts whose variance equals their mean, with a log link."""

from __future__ import annotations

from typing import Any

import numpy as np

from .family import LINK_PRIORS, CellDensity, Family, FamilyWords, Support
from .links import LOG, MAX_LOG_RATE

#: Largest count; float64 represents all whole numbers up to 9e15 exactly.
MAX_COUNT = 1e15
#: The support of counts: non-negative whole numbers.
COUNTS = Support(
    outside=lambda outcome: (outcome < 0) | (outcome > MAX_COUNT) | (outcome % 1 != 0),
    fault="not a whole number from 0 to 1e15",
    remedy="use counts, or the gaussian family, which takes any number",
)


def log_density(xp: Any, eta: Any, n: Any, total: Any, shape: Any, scale: Any) -> Any:
    """Return the part of cells' log-density that depends on the linear predictor."""
    return total * eta - n * xp.exp(eta)


def score_and_information(eta: Any, n: Any, total: Any, shape: Any, scale: Any) -> tuple[Any, Any]:
    """Return the derivatives of `log_density` in eta."""
    mean = n * LOG.mean(eta)
    return total - mean, mean


def outcome_term(xp: Any, value: Any, shape: Any, scale: Any, gammaln: Any) -> Any:
    """Return the part of one unit's log-density that depends only on its outcome."""
    return -gammaln(value + 1)


def density_kernel(eta: float, n: float, total: float, phi: float) -> tuple[float, float, float]:
    """Return one cell's log-density with its derivatives in eta and phi."""
    mean = n * np.exp(eta)
    return total * eta - mean, total - mean, 0.0


def derivatives_kernel(eta: float, n: float, total: float, phi: float) -> tuple[float, float]:
    """Return one cell's score and information."""
    mean = n * np.exp(min(eta, MAX_LOG_RATE))
    return total - mean, mean


def draw_units(rng: np.random.Generator, eta: Any, shape: Any, scale: Any) -> Any:
    """Draw outcomes of single units."""
    return rng.poisson(np.minimum(LOG.mean(eta), MAX_COUNT))


def draw_totals(rng: np.random.Generator, eta: Any, n: Any, shape: Any, scale: Any) -> Any:
    """Draw sums of the outcomes of n units."""
    return poisson_totals(rng, n * LOG.mean(eta))


def poisson_totals(rng: np.random.Generator, rate: Any) -> Any:
    """Draw Poisson variables; rates above MAX_COUNT give infinite totals.

    Only draws from a wide prior reach such rates.
    """
    far = rate > MAX_COUNT
    return np.where(far, np.inf, rng.poisson(np.where(far, 0.0, rate)).astype(float))


FAMILY = Family(
    name="poisson",
    words=FamilyWords(
        equation=r"y_{ij} &\sim \mathrm{Poisson}(\lambda_{ij})",
        link_equation=r"\log \lambda_{ij} &= \eta_{ij}",
        contrast="a difference of means",
        too_variable="the counts are not poisson; use family = 'negative_binomial'",
    ),
    draw_units=draw_units,
    draw_totals=draw_totals,
    link=LOG,
    cells=CellDensity(
        log_density,
        score_and_information,
        outcome_term,
        kernel=(density_kernel, derivatives_kernel),
    ),
    support=COUNTS,
    is_discrete=True,
    is_count=True,
    variance=lambda mean, shape: mean,
    ratio="rate ratio",
    default_priors=LINK_PRIORS,
)
