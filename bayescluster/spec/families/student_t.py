"""Outcomes with heavy tails: a Student t distribution within clusters."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._support.arrays import Floats
from .family import CellDensity, ExtraParameter, Family, FamilyWords


def log_density(xp: Any, eta: Any, n: Any, total: Any, shape: Any, scale: Any) -> Any:
    """Return the part of cells' log-density that depends on the linear predictor."""
    z = (total / xp.maximum(n, 1) - eta) / scale  # padding cells have n = 0
    return -n * (shape + 1) / 2 * xp.log1p(z**2 / shape)


def score_and_information(eta: Any, n: Any, total: Any, shape: Any, scale: Any) -> tuple[Any, Any]:
    """Return the score and the expected information, because the density is not log-concave."""
    z = (total / np.maximum(n, 1) - eta) / scale
    return (
        n * (shape + 1) * z / (shape + z**2) / scale,
        n * (shape + 1) / (shape + 3) / scale**2 + 0.0 * eta,
    )


def outcome_term(xp: Any, value: Any, shape: Any, scale: Any, gammaln: Any) -> Any:
    """Return the normalising constant of one unit's log-density."""
    half = shape / 2
    constant = gammaln(half + 0.5) - gammaln(half) - 0.5 * xp.log(np.pi * shape)
    return constant - xp.log(scale) + 0.0 * value


def draw_units(rng: np.random.Generator, eta: Any, shape: Any, scale: Any) -> Any:
    """Draw outcomes of single units."""
    return eta + scale * rng.standard_t(shape, np.shape(eta))


def draw_totals(rng: np.random.Generator, eta: Any, n: Any, shape: Any, scale: Any) -> Any:
    """Draw sums of the outcomes of n units."""
    return n * eta + scale * _t_sums(rng, n, shape, np.shape(eta))


def _t_sums(
    rng: np.random.Generator, n: Floats, degrees_of_freedom: Any, size: tuple[int, ...]
) -> Floats:
    """Draw sums of n standard t variables: normals whose variances are sums of nu / chi2."""
    df = np.broadcast_to(degrees_of_freedom, size)
    variance = np.zeros(size)
    for unit in range(int(np.max(n))):
        active = np.broadcast_to(n > unit, size)
        variance[active] += df[active] / rng.chisquare(df[active])
    return np.sqrt(variance) * rng.standard_normal(size)


FAMILY = Family(
    name="student_t",
    words=FamilyWords(
        equation=(
            r"y_{ij} &\sim \mathrm{StudentT}(\mathrm{degrees\_of\_freedom},\ \eta_{ij},\ "
            r"\mathrm{within\_sd})"
        ),
        within_sd="scale of units within a cluster",
    ),
    draw_units=draw_units,
    draw_totals=draw_totals,
    cells=CellDensity(
        log_density,
        score_and_information,
        outcome_term,
        outcome_term_varies=False,
        kernel=None,
        by_value=True,
    ),
    has_within_sd=True,
    extra=ExtraParameter("degrees_of_freedom", typical_value=4.0),
)
