"""Positive outcomes whose logarithms have a normal distribution within clusters."""

from __future__ import annotations

from typing import Any

import numpy as np

from .family import Family, FamilyWords, Support
from .gaussian import draw_totals


def draw_units(rng: np.random.Generator, eta: Any, shape: Any, scale: Any) -> Any:
    """Draw outcomes of single units."""
    return np.exp(rng.normal(eta, scale))


FAMILY = Family(
    name="lognormal",
    words=FamilyWords(
        equation=r"\log y_{ij} &\sim \mathrm{Normal}(\eta_{ij},\ \mathrm{within\_sd})",
        cluster_mean="geometric mean of a cluster",
        contrast="on the log scale",
    ),
    draw_units=draw_units,
    draw_totals=draw_totals,
    log_outcome=True,
    has_within_sd=True,
    support=Support(
        outside=lambda outcome: outcome <= 0,
        fault="not positive",
        remedy="model zeros separately (bernoulli: any or none), or use gaussian or student_t",
    ),
    ratio="ratio of medians",
)
