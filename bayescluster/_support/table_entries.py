"""Entries of the report's tables: rounded text, and the exact number behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from .display import number, percent, probability, rounded

PROBABILITIES = (
    "prob_positive",
    "prob_above_threshold",
    "prob_in_rope",
    "prob_beyond_threshold",
)
COUNTS = ("n_units", "count", "ties", "users", "draws", "n_checks")
#: Rounded to the digits that the row's standard error (or SD) supports.
ROUNDED = frozenset(
    {"mean", "sd", "estimate", "std_error", "ci_lower", "ci_upper", "check_lower", "check_upper"}
)
SHARES = ("share", "overlap", "lift")
LIMITS = ("ci_lower", "ci_upper")


def shown(name: str, value: Any, row: Mapping[str, Any]) -> str:
    """Return the text of an entry, rounded for reading.

    Parameters
    ----------
    name : str
        Column.
    value : object
        The value.
    row : mapping of str to object
        The whole row; its standard deviation sets the number of digits.
    """
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if name in PROBABILITIES:
        return probability(float(value))
    if name in ("ci_prob", "check_prob"):
        return percent(float(value))
    if name in ("p_value", "q_value"):
        return "< 0.0001" if value < 1e-4 else number(float(value))
    if name.startswith("ess_") or name in COUNTS:
        return f"{value:,.0f}"
    if (name in SHARES or (name in LIMITS and "lift" in row)) and isinstance(value, int | float):
        return f"{value:.0%}" if float(value) * 100 % 1 == 0 else f"{value:.1%}"
    if name == "df" and float(value).is_integer():
        return f"{value:,.0f}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.number):
        near = name in ("observed", "predicted") or (name == "mean" and "std" in row)
        error = row.get("std_error", row.get("sd"))
        if name in ROUNDED and error is not None and not near:
            return rounded(float(value), float(error), two=True)
        return number(float(value), row.get("std", row.get("sd")) if near else None)
    return str(value).replace("pure_control", "pure control")


def raw(value: Any) -> str | None:
    """Return the exact number behind an entry as text; None if the entry is not a number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return None
    return repr(float(value))


def rows(
    frame: pd.DataFrame, columns: Iterable[str] | None = None
) -> Iterator[list[tuple[str, str | None]]]:
    """Yield each row's entries, of some columns or all: text, and the number behind it."""
    names = [str(name) for name in (frame if columns is None else columns)]
    for row in frame.to_dict("records"):
        yield [(shown(name, row[name], row), raw(row[name])) for name in names]
