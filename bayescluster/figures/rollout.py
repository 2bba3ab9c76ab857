"""Plot of a rollout: the change over the share treated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answers.rollout import CONSTANT, NONE, PROPORTIONAL, WITHIN, Rollout
from .canvas import new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colour of the curve of each assumption on a rollout.
CURVES = {PROPORTIONAL: "#0072B2", CONSTANT: "#D55E00", NONE: "#767676", WITHIN: "#0072B2"}


def rollout(found: Rollout, figure: Figure | None = None) -> Figure:
    """Draw the change over the share treated, with its interval, one curve per assumption.

    The vertical line is the experiment's own share: what lies beyond it is extrapolated.
    """
    figure = figure or new_figure(7.2, 4.2)
    ax = figure.subplots()
    for assumption, rows in found.table.groupby("assumption", sort=False):
        colour = CURVES[str(assumption)]
        ax.plot(rows["share"], rows["mean"], color=colour, lw=2, label=assumption)
        ax.fill_between(rows["share"], rows["ci_lower"], rows["ci_upper"], color=colour, alpha=0.15)
    ax.axhline(0, color="#333333", ls="--", lw=1)
    ax.axvline(found.exposure.share, color="#333333", ls=":", lw=1.2, label="the experiment")
    ax.set_xlabel(f"share treated of the {found.unit}")
    ax.set_ylabel(f"change per user in {plain(found.outcome)}")
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return figure
