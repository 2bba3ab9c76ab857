"""Overdispersed counts, with variance mu + overdispersion x mu^2 and a log link.

The parametrisation is NB2 (Cameron & Trivedi 2013, Regression Analysis of Count Data, section 3.3).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bernoulli import softplus
from .family import LINK_PRIORS, CellDensity, ExtraParameter, Family, FamilyWords
from .links import LOG
from .poisson import COUNTS, MAX_COUNT, poisson_totals

#: From this value on, three terms of Stirling's series are exact to double precision.
STIRLING = 100.0


def log_density(xp: Any, eta: Any, n: Any, total: Any, shape: Any, scale: Any) -> Any:
    """Return the part of cells' log-density that depends on the linear predictor."""
    return total * eta - (total + n / shape) * softplus(xp, eta + xp.log(shape))


def score_and_information(eta: Any, n: Any, total: Any, shape: Any, scale: Any) -> tuple[Any, Any]:
    """Return the derivatives of `log_density` in eta."""
    rising = shape * LOG.mean(eta)
    share = rising / (1 + rising)
    weight = total + n / shape
    return total - weight * share, weight * share * (1 - share)


def outcome_term(xp: Any, value: Any, shape: Any, scale: Any, gammaln: Any) -> Any:
    """Return the part of one unit's log-density that depends only on its outcome."""
    return _log_rising(xp, value, shape, gammaln) - gammaln(value + 1)


def _log_rising(xp: Any, value: Any, shape: Any, gammaln: Any) -> Any:
    """Return log(Gamma(value + s) / (Gamma(s) s^value)) for s = 1 / shape.

    For large s it is computed from Stirling's series (Abramowitz & Stegun 1964, 6.1.41): the
    difference of log-gammas would lose all digits near the Poisson distribution, s = infinity.
    """
    s = 1 / shape
    direct = gammaln(value + s) - gammaln(s) + value * xp.log(shape)

    def rest(x: Any) -> Any:
        return 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5)

    series = (s + value - 0.5) * xp.log1p(value * shape) - value + rest(s + value) - rest(s)
    return xp.where(s > STIRLING, series, direct)


def density_kernel(eta: float, n: float, total: float, phi: float) -> tuple[float, float, float]:
    """Return one cell's log-density with its derivatives in eta and phi."""
    mean = np.exp(eta)
    rising = phi * mean
    weight = total + n / phi
    log = np.log1p(rising) if rising < 1e300 else eta + np.log(phi)
    share = rising / (1 + rising) if rising < 1e300 else 1.0
    return (
        total * eta - weight * log,
        total - weight * share,
        n / phi**2 * log - weight * share / phi,
    )


def derivatives_kernel(eta: float, n: float, total: float, phi: float) -> tuple[float, float]:
    """Return one cell's score and information."""
    rising = phi * np.exp(eta)
    share = rising / (1 + rising) if rising < 1e300 else 1.0
    weight = total + n / phi
    return total - weight * share, weight * share * (1 - share)


def draw_units(rng: np.random.Generator, eta: Any, shape: Any, scale: Any) -> Any:
    """Draw outcomes of single units: Poisson variables with gamma-distributed rates."""
    rate = LOG.mean(eta) * shape * rng.standard_gamma(1 / shape, np.shape(eta))
    return rng.poisson(np.minimum(rate, MAX_COUNT))


def draw_totals(rng: np.random.Generator, eta: Any, n: Any, shape: Any, scale: Any) -> Any:
    """Draw sums of the outcomes of n units: Poisson, at rate mu x phi x Gamma(n / phi)."""
    mean = LOG.mean(eta) * shape * rng.standard_gamma(n / shape) / n
    return poisson_totals(rng, n * mean)


FAMILY = Family(
    name="negative_binomial",
    words=FamilyWords(
        equation=(
            r"y_{ij} &\sim \mathrm{NegativeBinomial}(\mathrm{mean}\ \lambda_{ij},\ "
            r"\mathrm{variance}\ \lambda_{ij} + \mathrm{overdispersion}\ \lambda_{ij}^2)"
        ),
        link_equation=r"\log \lambda_{ij} &= \eta_{ij}",
        contrast="a difference of means",
        too_variable=(
            "one overdispersion does not describe all users; if many can never have the event, "
            "model separately whether they have any (bernoulli) and how many"
        ),
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
    extra=ExtraParameter("overdispersion"),
    support=COUNTS,
    is_discrete=True,
    is_count=True,
    variance=lambda mean, shape: mean + shape * mean**2,
    ratio="rate ratio",
    default_priors=LINK_PRIORS,
)
