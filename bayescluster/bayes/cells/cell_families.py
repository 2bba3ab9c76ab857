"""The outcome families that are fitted to cells: their log-densities, links and draws.

Each function works on NumPy arrays and on PyTensor variables alike: `xp` is the module that holds
exp, log and so on (``numpy`` or ``pytensor.tensor``), so that the density which PyMC samples is the
one that tests evaluate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._support.arrays import Floats

#: Parameter that a family has besides the linear predictor.
EXTRA_PARAMETER = {"negative_binomial": "overdispersion", "student_t": "degrees_of_freedom"}
#: What exp(coefficient) is, in families whose link makes it a ratio.
RATIOS = {
    "bernoulli": "odds ratio",
    "poisson": "rate ratio",
    "negative_binomial": "rate ratio",
    "lognormal": "ratio of medians",
}

#: Rates are counted up to exp of this: what is larger overflows when multiplied.
MAX_LOG_RATE = 600.0
#: From here on Stirling's series with three terms is exact to double precision.
STIRLING = 100.0


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
            return total * eta - (total + n / shape) * _softplus(xp, eta + xp.log(shape))
        case "student_t":
            z = (total / xp.maximum(n, 1) - eta) / scale  # a cell that pads a cluster has n = 0
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
            return _log_rising(xp, value, shape, gammaln) - gammaln(value + 1)
        case "student_t":
            half = shape / 2
            constant = gammaln(half + 0.5) - gammaln(half) - 0.5 * xp.log(np.pi * shape)
            return constant - xp.log(scale) + 0.0 * value
    raise ValueError(f"no cells for family {family!r}")


def score_and_information(
    family: str, eta: Any, n: Any, total: Any, shape: Any, scale: Any
) -> tuple[Any, Any]:
    """Return first and negative second derivative of `cell_log_likelihood` in eta.

    For student_t, whose density is not log-concave, the expected information takes the place of the
    observed one.
    """
    match family:
        case "bernoulli":
            mean = mean_of(family, eta)
            return total - n * mean, n * mean * (1 - mean)
        case "poisson":
            mean = n * mean_of(family, eta)
            return total - mean, mean
        case "negative_binomial":
            rising = shape * mean_of(family, eta)
            share = rising / (1 + rising)
            weight = total + n / shape
            return total - weight * share, weight * share * (1 - share)
        case "student_t":
            z = (total / np.maximum(n, 1) - eta) / scale
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
            half = np.exp(-np.abs(eta))
            return np.where(eta > 0, 1.0, half) / (1 + half)
        case "poisson" | "negative_binomial":
            return np.exp(np.minimum(eta, MAX_LOG_RATE))
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
            return n * eta + scale * _t_sums(rng, n, shape, np.shape(eta))
    rate = n * mean
    far = rate > 1e15
    return np.where(far, np.inf, rng.poisson(np.where(far, 0.0, rate)).astype(float))


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


def _log_rising(xp: Any, value: Any, shape: Any, gammaln: Any) -> Any:
    """Return log(Gamma(value + s) / (Gamma(s) s^value)) for s = 1 / shape.

    Where s is large, the difference of Stirling's series (Abramowitz & Stegun 1964, 6.1.41): that
    of the log-gammas would lose all digits near the Poisson distribution, s = infinity.
    """
    s = 1 / shape
    direct = gammaln(value + s) - gammaln(s) + value * xp.log(shape)

    def rest(x: Any) -> Any:
        return 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5)

    series = (s + value - 0.5) * xp.log1p(value * shape) - value + rest(s + value) - rest(s)
    return xp.where(s > STIRLING, series, direct)


def _softplus(xp: Any, eta: Any) -> Any:
    return np.logaddexp(0.0, eta) if xp is np else xp.softplus(eta)
