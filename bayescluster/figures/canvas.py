"""Creation of figures, and labels that fit them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Longer names are shortened in figures, but not in tables.
MAX_LABEL = 64


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; its size is in inches."""
    import matplotlib.pyplot as plt

    return shown_once(plt.figure(figsize=(width, height), layout="constrained"))


def shown_once(figure: Figure) -> Figure:
    """Close a figure in a notebook, which would otherwise show it twice."""
    import matplotlib.pyplot as plt

    if "inline" in plt.get_backend().lower():
        plt.close(figure)
    return figure


def plain(text: str) -> str:
    """Return a name that is short enough for a figure and is not read as mathematics."""
    if len(text) > MAX_LABEL:
        text = f"{text[: MAX_LABEL - 3]}..."
    return text.replace("$", r"\$")
