"""Tests whose statistic is a ratio of polynomials in the null value, with exact inversion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.tidy import Tidy
from .estimates_record import COLUMNS

Tail = Literal["symmetric", "equal"]

#: A statistic this close to the observed one counts as equal to it.
TIE = 1e-9
#: Ends of intervals are looked for within this many standard errors.
REACH = 100.0
#: A smaller square, relative to its average over all draws, is rounding error.
ROUNDING = 1e-20


@dataclass(frozen=True)
class ResamplingTest(Tidy):
    """A test of one coefficient by resampling, with the interval from inverting it.

    Parameters
    ----------
    method : str
        The resampling method.
    term : str
        The coefficient or linear combination.
    estimate, std_error : float
        Estimate, and the standard error that studentises it (CR1 for the wild bootstrap, CR0 for
        the randomisation test).
    null : float
        Value tested.
    p_value : float
        Share of draws whose statistic is at least as extreme as the observed one.
    ci : tuple of float
        Interval of the values not rejected; an end is infinite if no value beyond is rejected.
    ci_prob : float
        Level of the interval.
    draws : int
        Number of draws, or of all patterns if `enumerated`.
    enumerated : bool
        Whether all possible draws were used, which makes the test exact given the data.
    seed : int or None
        Seed of the draws.
    smallest_p_value : float
        p-value of the most extreme draw: the test cannot reject at a lower level for any effect.
    draws_of : str
        What the draws are of, in words.
    """

    method: str
    term: str
    estimate: float
    std_error: float
    null: float
    p_value: float
    ci: tuple[float, float]
    ci_prob: float
    draws: int
    enumerated: bool
    seed: int | None
    smallest_p_value: float
    draws_of: str = "assignments"

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row, with the columns that all frequentist results share; df is NaN."""
        row = {
            "method": self.method,
            "term": self.term,
            "estimate": self.estimate,
            "std_error": self.std_error,
            "df": np.nan,
            "ci_lower": self.ci[0],
            "ci_upper": self.ci[1],
            "ci_prob": self.ci_prob,
            "p_value": self.p_value,
        }
        return pd.DataFrame([row], columns=COLUMNS)


@dataclass(frozen=True, eq=False)
class ReferenceDistribution:
    """Resampled statistics as functions of the distance from the null value to the estimate.

    At distance x = estimate - null, draw b has the statistic (n0 + n1 x) / sqrt(d0 + d1 x + d2 x^2)
    and the data have x / std_error.

    Parameters
    ----------
    numerator : ndarray, shape (2, B)
        n0 and n1.
    denominator : ndarray, shape (3, B)
        d0, d1 and d2.
    std_error : float
        Standard error of the estimate.
    exhaustive : bool
        Whether the draws are all possible ones. The data are then one of them, and a p-value is at
        least its share; otherwise the data count as an additional draw.
    """

    numerator: Floats
    denominator: Floats
    std_error: float
    exhaustive: bool

    @property
    def n_draws(self) -> int:
        """Number of draws, B."""
        return self.numerator.shape[1]

    def p_value(self, distance: float, tail: Tail) -> float:
        """Return the share of draws at least as extreme as the data, including ties."""
        top, variance = self._at(distance)
        top, square = top * self.std_error, variance * distance**2
        extreme = top * top >= square * (1 - TIE)
        if tail == "symmetric":
            return self._share(int(extreme.sum()))
        signed = top if distance >= 0 else -top
        beyond = int((extreme & (signed >= 0)).sum())
        short = int(((signed < 0) | (top * top <= square * (1 + TIE))).sum())
        return min(1.0, 2 * self._share(min(beyond, short)))

    def smallest(self, distance: float, tail: Tail) -> float:
        """Return the p-value that the most extreme draw would have."""
        top, variance = self._at(distance)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = top / np.sqrt(variance)
        statistic = np.where(variance > 0, statistic, np.copysign(np.inf, top))
        sides = (np.abs(statistic),) if tail == "symmetric" else (statistic, -statistic)
        most = [side.max() for side in sides]
        ties = [
            int((side >= m * (1 - TIE * np.sign(m))).sum())
            for side, m in zip(sides, most, strict=True)
        ]
        return min(1.0, len(sides) * self._share(min(ties)))

    def _at(self, distance: float) -> tuple[Floats, Floats]:
        """Return the draws' numerators and squared standard errors, rounding errors set to zero."""
        n0, n1 = self.numerator
        d0, d1, d2 = self.denominator
        top = n0 + n1 * distance
        top = np.where(top**2 > ROUNDING * (top**2).mean(), top, 0.0)
        variance = d0 + distance * (d1 + distance * d2)
        return top, np.where(variance > ROUNDING * np.abs(variance).mean(), variance, 0.0)

    def _share(self, count: int) -> float:
        if self.exhaustive:
            return max(count, 1) / self.n_draws
        return (count + 1) / (self.n_draws + 1)

    def interval(self, estimate: float, ci_prob: float, tail: Tail) -> tuple[float, float]:
        """Return the smallest interval that holds every null value with p > 1 - ci_prob.

        The search covers `REACH` standard errors; an end is infinite if it lies beyond, because
        the data then say nothing about it.
        """
        alpha = 1 - ci_prob
        below = self._reach(lambda x: self.p_value(x, tail), alpha)
        above = self._reach(lambda x: self.p_value(-x, tail), alpha)
        return estimate - below, estimate + above

    def _reach(self, p_value: Callable[[float], float], alpha: float) -> float:
        """Return the distance from the estimate to the farthest accepted null value on one side."""
        if self.std_error == 0:
            return 0.0
        grid = self.std_error * np.geomspace(0.05, REACH, 50)
        accepted = [p_value(x) > alpha for x in grid]
        if accepted[-1]:
            return float("inf")
        last = max((i for i, yes in enumerate(accepted) if yes), default=-1)
        low, high = (grid[last] if last >= 0 else 0.0), grid[last + 1]
        while high - low > 4 * np.spacing(high):
            middle = (low + high) / 2
            low, high = (middle, high) if p_value(middle) > alpha else (low, middle)
        return float(high)
