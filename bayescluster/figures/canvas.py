"""What every plot shares: new figures, colours, and labels that fit them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito's palette, distinct under colour blindness, by exposure condition and by path.
COLOURS = {
    "direct": "#0072B2",
    "direct_with_exposure": "#56B4E9",
    "spillover": "#D55E00",
    "within_spillover": "#E69F00",
    "pure_control": "#767676",
    "posterior": "#0072B2",
    "bootstrap": "#009E73",
    "other": "#555555",
    "reference": "#AA3377",
}

#: Longer names are shortened in figures, but not in tables.
MAX_LABEL = 64


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; its size is in inches."""
    import matplotlib.pyplot as plt

    return close_in_notebook(plt.figure(figsize=(width, height), layout="constrained"))


def close_in_notebook(figure: Figure) -> Figure:
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


def scalar_names(posterior: xr.DataTree) -> list[str]:
    """Return the names of the parameters, without those of single clusters or strata."""
    draws = posterior["posterior"].to_dataset()
    apart = {"cluster", "stratum"}
    return [str(name) for name in draws if not apart.intersection(draws[name].dims)]


def clean(ax: Axes) -> None:
    """Remove the frame and the tick marks."""
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
