"""Plots of exposure plans, groupings of clusters and sensitivity to the mapping and the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .plots import COLOURS, _clean, _new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
