"""Outcomes with a normal distribution within clusters."""

from __future__ import annotations

from typing import Any

import numpy as np

from .family import Family, FamilyWords


def draw_units(rng: np.random.Generator, eta: Any, shape: Any, scale: Any) -> Any:
    """Draw outcomes of single units."""
    return rng.normal(eta, scale)


def draw_totals(rng: np.random.Generator, eta: Any, n: Any, shape: Any, scale: Any) -> Any:
    """Draw sums of the outcomes of n units."""
    return n * eta + np.sqrt(n) * scale * rng.standard_normal(eta.shape)


FAMILY = Family(
    name="gaussian",
    words=FamilyWords(equation=r"y_{ij} &\sim \mathrm{Normal}(\eta_{ij},\ \mathrm{within\_sd})"),
    draw_units=draw_units,
    draw_totals=draw_totals,
    has_within_sd=True,
)
