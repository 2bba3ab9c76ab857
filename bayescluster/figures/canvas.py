"""Figures: made once, shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Longer names are cut in figures; tables have them whole.
MAX_LABEL = 64


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    import matplotlib.pyplot as plt

    return shown_once(plt.figure(figsize=(width, height), layout="constrained"))


def shown_once(figure: Figure) -> Figure:
    """Take a figure from pyplot where a notebook shows it as a cell's value: not twice then."""
    import matplotlib.pyplot as plt

    if "inline" in plt.get_backend().lower():
        plt.close(figure)
    return figure


def plain(text: str) -> str:
    """Keep a column's name from being read as mathematics, and from leaving the figure no room."""
    if len(text) > MAX_LABEL:
        text = f"{text[: MAX_LABEL - 3]}..."
    return text.replace("$", r"\$")
