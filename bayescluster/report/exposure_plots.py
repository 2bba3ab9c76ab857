"""Plots of exposure plans, groupings of clusters and sensitivity to the mapping and the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .plots import COLOURS, _clean, _new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..exposure.grouping import Groupings
    from ..exposure.planning import ExposurePlan


def plan(found: ExposurePlan, figure: Figure | None = None) -> Figure:
    """Draw expected users by condition, with two SDs, and the probabilities of exposure.

    The histogram shows the probability of being exposed while untreated, given that one is
    untreated.
    """
    table = found.conditions
    figure = figure or _new_figure(8.4, 3.0)
    left, right = figure.subplots(1, 2)
    at = np.arange(len(table))[::-1]
    colours = [COLOURS[name] for name in table["condition"]]
    left.barh(at, table["users"], xerr=2 * table["sd"], color=colours, alpha=0.8)
    left.set_yticks(at, [name.replace("_", " ") for name in table["condition"]])
    left.set_xlabel("expected users, with 2 SDs")
    _clean(left)
    p = found.probabilities
    untreated = p.condition[:, :2].sum(axis=1)
    exposed = p.of("spillover")[untreated > 0] / untreated[untreated > 0]
    right.hist(exposed, bins=np.linspace(0, 1, 21), color=COLOURS["spillover"], alpha=0.8)
    right.set_xlabel("probability of exposure while untreated")
    right.set_ylabel("users")
    right.spines[["top", "right"]].set_visible(False)
    return figure


def groupings(found: Groupings, figure: Figure | None = None) -> Figure:
    """Draw ties across units and arms by number of units, and intervals against ties across arms.

    Filled marks, labelled by their number of units, are Pareto-optimal.
    """
    table = found.table
    figure = figure or _new_figure(9.0, 3.4)
    left, right = figure.subplots(1, 2)
    for name, colour, label in (
        ("cross_units", COLOURS["other"], "across units"),
        ("cross_arms", COLOURS["spillover"], "expected across arms"),
    ):
        left.plot(table["units"], table[name], "-", color=colour, lw=1, label=label)
        fill = np.where(table["pareto"], colour, "white")
        left.scatter(table["units"], table[name], c=fill, edgecolors=colour, s=30, zorder=3)
    left.set_xscale("log")
    shown = table["units"].to_numpy()[:: -(-len(table) // 6)]
    left.set_xticks(shown, [f"{k:,}" for k in shown])
    left.minorticks_off()
    left.set(xlabel="units of randomisation", ylabel="share of ties", ylim=(0, None))
    left.legend(frameon=False)
    colour = COLOURS["posterior"]
    fill = np.where(table["pareto"], colour, "white")
    right.scatter(
        table["cross_arms"], table["half_width"], c=fill, edgecolors=colour, s=36, zorder=3
    )
    for row in table[table["pareto"]].itertuples():
        at = (row.cross_arms, row.half_width)
        right.annotate(f"{row.units}", at, xytext=(4, 3), textcoords="offset points", fontsize=8)
    right.set(xlabel="ties expected across arms", ylabel="half-width of the 95% interval, SDs")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure
