"""The control baseline, and effects relative to it, by the posterior and by least squares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.tidy import Tidy
from ..data.experiment import Experiment
from ..errors import DataError
from ..frequentist.average_regression import named_moments
from ..frequentist.ols import ols
from ..spec.size_terms import LOG_SIZE
from .estimands import DIFFERENCE_OF_MEANS, FULL_ROLLOUT, Estimand

#: Why there is no percentage.
NO_BASELINE = "the baseline may be zero or negative, so there is no percentage"
#: A lift with the limits of its interval.
Lifted = tuple[float, float, float] | None
POSTERIOR, FIELLER = "posterior", "OLS, CR2, Fieller"


@dataclass(frozen=True, eq=False)
class Lift(Tidy):
    """Effects relative to the mean outcome had nobody been treated.

    Parameters
    ----------
    table : DataFrame
        One row per effect and method (posterior; OLS, CR2, Fieller): effect, average (user or
        cluster), method, baseline, baseline_lower, baseline_upper (in the outcome's unit), lift,
        ci_lower, ci_upper (shares: 0.1 is 10%; NaN where the baseline is not clear of zero),
        ci_prob, note (why there is no lift; empty otherwise).
    """

    table: pd.DataFrame

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def of(self, effect: str, method: str = POSTERIOR) -> pd.Series:
        """Return the row of an effect."""
        rows = self.table[(self.table["effect"] == effect) & (self.table["method"] == method)]
        return rows.iloc[0]


def lift_of(exp: Experiment, draws: Mapping[Estimand, Floats], baseline: Floats) -> Lift:
    """Return the lift of every effect, as the average that the specification names.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    draws : mapping of Estimand to ndarray, shape (S,)
        Draws of the estimands of the named average; see
        :func:`bayescluster.answers.estimands.draws_by_average`.
    baseline : ndarray, shape (S,)
        Draws of the mean outcome had nobody been treated, as the same average.

    Notes
    -----
    By the posterior: equal-tailed interval of the ratio of effect and baseline, draw by draw; for
    the lognormal family, of the difference of means. By least squares: the ratio of the effect to
    the fitted mean outcome without treatment, with Fieller's interval and the smaller of both
    degrees of freedom; with strata, from the weighted regression without their intercepts, which is
    conservative. Not for the lognormal family, whose least squares is about logarithms.
    """
    scale = DIFFERENCE_OF_MEANS if exp.spec.family.log_outcome else ""
    by_name = {(one.name, one.scale): values for one, values in draws.items()}
    names = [*exp.spec.design.effects, FULL_ROLLOUT.name]
    rows = [
        _posterior_row(name, by_name[name, scale], baseline, exp)
        for name in names
        if (name, scale) in by_name
    ]
    if not exp.spec.family.log_outcome:
        rows += _least_squares_rows(exp)
    return Lift(pd.DataFrame(rows))


def _row(
    exp: Experiment, effect: str, method: str, baseline: tuple[float, float, float], lift: Lifted
) -> dict[str, Any]:
    """Return a row of the table; `lift` is None where there is no percentage."""
    middle, low, high = lift or (np.nan, np.nan, np.nan)
    return {
        "effect": effect,
        "average": exp.spec.report.estimand,
        "method": method,
        "baseline": baseline[0],
        "baseline_lower": baseline[1],
        "baseline_upper": baseline[2],
        "lift": middle,
        "ci_lower": low,
        "ci_upper": high,
        "ci_prob": exp.spec.report.ci_prob,
        "note": NO_BASELINE if lift is None else "",
    }


def _posterior_row(
    effect: str, values: Floats, baseline: Floats, exp: Experiment
) -> dict[str, Any]:
    tail = (1 - exp.spec.report.ci_prob) / 2
    low, high = (float(x) for x in np.quantile(baseline, [tail, 1 - tail]))
    lift = None
    if low > 0:
        middle, *ends = np.quantile(values / baseline, [0.5, tail, 1 - tail])
        lift = (float(middle), float(ends[0]), float(ends[1]))
    return _row(exp, effect, POSTERIOR, (float(baseline.mean()), low, high), lift)


def _least_squares_rows(exp: Experiment) -> list[dict[str, Any]]:
    """Return the lifts by least squares; none where it has no baseline or standard error."""
    from scipy import special

    moments = replace(named_moments(exp), strata=None)
    effects = exp.spec.design.effects
    at_mean = {
        name: float(value)
        for name, value in zip(moments.names, moments.grand_means, strict=False)
        if name in exp.covariates or name == LOG_SIZE
    }
    contrasts = {"baseline": {"intercept": 1.0} | at_mean}
    contrasts |= {f"effect {name}": {name: 1.0} for name in effects}
    try:
        found = ols(moments, contrasts=contrasts, ci_prob=exp.spec.report.ci_prob)
    except DataError:
        return []
    at = found.terms.index("baseline")
    baseline = (float(found.estimate[at]), float(found.ci[at, 0]), float(found.ci[at, 1]))
    rows = []
    for effect in (*effects, FULL_ROLLOUT.name):
        name = "direct" if effect == FULL_ROLLOUT.name else effect
        pair = [found.terms.index(f"effect {name}"), at]
        t = float(special.stdtrit(np.nanmin(found.df[pair]), 0.5 + exp.spec.report.ci_prob / 2))
        ends = fieller(found.estimate[pair], found.cov[np.ix_(pair, pair)], t)
        lift = None
        if ends is not None and baseline[0] > 0:
            lift = (float(found.estimate[pair[0]]) / baseline[0], *ends)
        rows.append(_row(exp, effect, FIELLER, baseline, lift))
    return rows


def fieller(estimate: Floats, cov: Floats, quantile: float) -> tuple[float, float] | None:
    """Return Fieller's interval of the ratio of two estimates; None if it is unbounded.

    Parameters
    ----------
    estimate : ndarray, shape (2,)
        Numerator and denominator.
    cov : ndarray, shape (2, 2)
        Their covariance matrix.
    quantile : float
        Quantile of the reference distribution, such as 1.96.

    Notes
    -----
    The ratios r for which (a - r b)^2 <= quantile^2 var(a - r b): Fieller (1954), Journal of the
    Royal Statistical Society B 16: 175-185. It is bounded if the denominator differs from zero at
    that level.
    """
    a, b = (float(x) for x in estimate)
    square = quantile**2
    lead = b**2 - square * float(cov[1, 1])
    if not lead > 0:
        return None
    middle = a * b - square * float(cov[0, 1])
    rest = a**2 - square * float(cov[0, 0])
    root = np.sqrt(max(middle**2 - lead * rest, 0.0))
    return float((middle - root) / lead), float((middle + root) / lead)
