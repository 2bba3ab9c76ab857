"""The outcome families that are fitted to cells: their log-densities, links and draws.

Each function works on NumPy arrays and on PyTensor variables alike: `xp` is the module that holds
exp, log and so on (``numpy`` or ``pytensor.tensor``), so that the density which PyMC samples is the
one that tests evaluate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Parameter that a family has besides the linear predictor.
EXTRA_PARAMETER = {"negative_binomial": "overdispersion", "student_t": "degrees_of_freedom"}
#: What exp(coefficient) is, in families whose link makes it a ratio.
RATIOS = {
    "bernoulli": "odds ratio",
    "poisson": "rate ratio",
    "negative_binomial": "rate ratio",
    "lognormal": "ratio of medians",
}


def cell_log_likelihood(
    xp: Any, family: str, eta: Any, n: Any, total: Any, shape: Any, scale: Any
) -> Any:
    """Return the part of cells' log-density that depends on the linear predictor.

    Parameters
    ----------
    xp : module
        ``numpy`` or ``pytensor.tensor``.
    family : str
        bernoulli (logit), poisson, negative_binomial (log) or student_t (identity).
    eta : array
        Linear predictor of each cell.
    n, total : array
        Units of each cell, and the sum of their outcomes.
    shape : array
        overdispersion of negative_binomial, degrees_of_freedom of student_t; else unused.
    scale : array
        within_sd of student_t; else unused.

    Returns
    -------
    array
        With `value_log_likelihood` summed over the outcomes, the log-density of all units. The
        negative binomial has variance mu + overdispersion x mu^2 (NB2; Cameron & Trivedi 2013,
        Regression Analysis of Count Data, section 3.3).
    """
    match family:
        case "bernoulli":
            return total * eta - n * _softplus(xp, eta)
        case "poisson":
            return total * eta - n * xp.exp(eta)
        case "negative_binomial":
            return total * eta - (total + n / shape) * xp.log1p(shape * xp.exp(eta))
        case "student_t":
            z = (total / n - eta) / scale
            return -n * (shape + 1) / 2 * xp.log1p(z**2 / shape)
    raise ValueError(f"no cells for family {family!r}")


def value_log_likelihood(
    xp: Any, family: str, value: Any, shape: Any, scale: Any, gammaln: Any
) -> Any:
    """Return the part of one unit's log-density that depends on its outcome `value` alone."""
    match family:
        case "bernoulli":
            return 0.0 * value
        case "poisson":
            return -gammaln(value + 1)
        case "negative_binomial":
            size = 1 / shape
            return (
                gammaln(value + size) - gammaln(size) + value * xp.log(shape) - gammaln(value + 1)
            )
        case "student_t":
            half = shape / 2
            constant = gammaln(half + 0.5) - gammaln(half) - 0.5 * xp.log(np.pi * shape)
            return constant - xp.log(scale) + 0.0 * value
    raise ValueError(f"no cells for family {family!r}")


def score_and_information(
    xp: Any, family: str, eta: Any, n: Any, total: Any, shape: Any, scale: Any
) -> tuple[Any, Any]:
    """Return first and negative second derivative of `cell_log_likelihood` in eta.

    For student_t, whose density is not log-concave, the expected information takes the place of the
    observed one.
    """
    match family:
        case "bernoulli":
            mean = 1 / (1 + xp.exp(-eta))
            return total - n * mean, n * mean * (1 - mean)
        case "poisson":
            mean = n * xp.exp(eta)
            return total - mean, mean
        case "negative_binomial":
            rising = shape * xp.exp(eta)
            share = rising / (1 + rising)
            weight = total + n / shape
            return total - weight * share, weight * share * (1 - share)
        case "student_t":
            z = (total / n - eta) / scale
            return (
                n * (shape + 1) * z / (shape + z**2) / scale,
                n * (shape + 1) / (shape + 3) / scale**2 + 0.0 * eta,
            )
    raise ValueError(f"no cells for family {family!r}")


def link(family: str, mean: Floats | float) -> Any:
    """Return the linear predictor of a mean."""
    match family:
        case "bernoulli":
            return np.log(mean) - np.log1p(-np.asarray(mean))
        case "poisson" | "negative_binomial":
            return np.log(mean)
    return mean


def mean_of(family: str, eta: Floats) -> Floats:
    """Return the mean of the outcome at a linear predictor."""
    match family:
        case "bernoulli":
            return 1 / (1 + np.exp(-eta))
        case "poisson" | "negative_binomial":
            return np.exp(eta)
    return eta


def draw_totals(
    rng: np.random.Generator, family: str, eta: Floats, n: Floats, shape: Any, scale: Any
) -> Floats:
    """Draw the sum of the outcomes of `n` new units at each linear predictor.

    Means beyond what 64-bit counts hold, which only a wide prior reaches, give infinite totals.
    """
    mean = mean_of(family, eta)
    match family:
        case "bernoulli":
            return rng.binomial(n.astype(np.int64), mean).astype(float)
        case "negative_binomial":
            # A sum of n NB(mu, phi) is a Poisson whose rate is mu x phi x Gamma(n / phi).
            mean = mean * shape * rng.standard_gamma(n / shape) / n
        case "student_t":
            # The mean of n t variables: their own sum, exact for cells of single units.
            return n * eta + n * scale * rng.standard_t(shape, size=np.shape(eta))
    rate = n * mean
    far = rate > 1e15
    return np.where(far, np.inf, rng.poisson(np.where(far, 0.0, rate)).astype(float))


def _softplus(xp: Any, eta: Any) -> Any:
    return np.logaddexp(0.0, eta) if xp is np else xp.softplus(eta)
