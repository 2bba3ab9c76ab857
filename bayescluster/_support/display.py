"""Display of numbers, and of results as text and HTML tables."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pandas as pd


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
    return capital(text) + ("." if text else "")


class Tidy(ABC):
    """A result with one tidy table, from which its text and HTML are made."""

    @abstractmethod
    def to_dataframe(self) -> pd.DataFrame:
        """Return the result as a tidy table, unrounded."""

    def __str__(self) -> str:
        return self.to_dataframe().to_string(index=False, float_format=number)

    def _repr_html_(self) -> str:
        return self.to_dataframe().to_html(index=False, float_format=number)
