"""Display of numbers, probabilities and quantities with a unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def number(value: float, scale: float | None = None) -> str:
    """Format a number for display, to four significant digits.

    Parameters
    ----------
    value : float
        The number; NaN shows as a dash.
    scale : float, optional
        Size of the differences that matter, such as a standard deviation. Significant digits are
        then counted from this size, so that numbers around a large offset remain distinct.
    """
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value) if not scale or not np.isfinite(scale) else min(abs(value), scale) or scale
    if not size:
        return "0.0000"
    digits = 3 - int(np.floor(np.log10(size)))
    if not scale and not 1e-4 <= size < 1e6:
        return f"{value:.3e}"
    return f"{value:,.{min(max(digits, 0), 12)}f}"


def decimals(error: float) -> int:
    """Return the decimals to show of an estimate with this standard error.

    At most two significant digits of the error: two if they begin with 10 to 35, otherwise one
    (the rule of the Particle Data Group, Review of Particle Physics, introduction, section 5.3). It
    is negative if digits before the point are rounded.
    """
    size = int(np.floor(np.log10(error)))
    leading = round(error / 10.0 ** (size - 2))
    if leading >= 950:  # 0.096 is 0.10
        return -size
    return (1 if leading < 355 else 0) - size


def rounded(value: float, error: float, *, two: bool = False) -> str:
    """Format an estimate to the digits that its standard error supports; see :func:`decimals`.

    With `two`, as in tables, to two significant digits of the error in any case. Without a usable
    error, as :func:`number`.
    """
    if not np.isfinite(value) or not np.isfinite(error) or error <= 0:
        return number(value)
    digits = 1 - int(np.floor(np.log10(error))) if two else decimals(error)
    shown = round(value, digits) + 0.0  # no negative zero
    return f"{shown:,.{min(max(digits, 0), 12)}f}"


#: Units that are written before the number.
CURRENCIES = ("$", "€", "£", "¥", "₹", "US$", "A$", "C$")


@dataclass(frozen=True)
class OutcomeUnit:
    """How quantities in the outcome's unit are written.

    Parameters
    ----------
    unit : str
        Such as "min" (written behind the number) or "$" (before it); may be empty.
    percent : bool
        Whether the outcome is a share: differences are written in percentage points.
    """

    unit: str = ""
    percent: bool = False

    def level(self, value: float, error: float) -> str:
        """Write a level, such as a mean: "31 min", "$31", "12.4%"."""
        if self.percent:
            return f"{rounded(100 * value, 100 * error)}%"
        return self._with_unit(rounded(value, error))

    def difference(self, value: float, error: float) -> str:
        """Write a difference of levels: "4.6 min", "-$4.6", "2.1 pp"."""
        if self.percent:
            return f"{rounded(100 * value, 100 * error)} pp"
        return self._with_unit(rounded(value, error))

    def interval(self, low: float, high: float, error: float) -> str:
        """Write an interval of differences: "3.4 to 5.9 min"."""
        factor = 100 if self.percent else 1
        first, last = (rounded(factor * x, factor * error) for x in (low, high))
        if self.unit in CURRENCIES and not self.percent:
            return f"{self._with_unit(first)} to {self._with_unit(last)}"
        return f"{first} to {last}{' pp' if self.percent else self._behind}"

    def value(self, value: float) -> str:
        """Write a difference that somebody chose, such as a threshold, as given."""
        return f"{100 * value:g} pp" if self.percent else self._with_unit(f"{value:g}")

    @property
    def _behind(self) -> str:
        return f" {self.unit}" if self.unit and self.unit not in CURRENCIES else ""

    def _with_unit(self, text: str) -> str:
        if self.unit in CURRENCIES:
            return f"-{self.unit}{text[1:]}" if text.startswith("-") else f"{self.unit}{text}"
        return text + self._behind


def percent(probability: float) -> str:
    """Format a level, such as 95% or 97.5%, without rounding it."""
    return f"{100 * probability:.6g}%"


def probability(value: float) -> str:
    """Format a probability; never as 0% or 100%, because draws cannot show certainty."""
    if np.isnan(value):
        return "–"
    if value > 0.999:
        return "> 99.9%"
    if value < 0.001:
        return "< 0.1%"
    return f"{value:.1%}"


def capital(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Return a text as a sentence; an empty one stays empty."""
    return capital(text) + ("." if text and not text.endswith((".", "?", "!")) else "")
