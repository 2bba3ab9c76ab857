"""Plots of exposure plans, cluster groupings, and sensitivity to the mapping and the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .canvas import COLOURS, clean, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..checks.sensitivity_to_exposure import ExposureSensitivity
    from ..design.cluster_grouping import Groupings
    from ..design.exposure_plan import ExposurePlan
    from ..exposure.positivity import Positivity

#: Distance of an axis limit from the estimates, in widths of the declared interval.
REACH = 0.6
#: Colours of the estimators.
SHADES = (COLOURS["other"], COLOURS["posterior"])


def plan(found: ExposurePlan, figure: Figure | None = None) -> Figure:
    """Draw expected users by condition, with two SDs, and the probabilities of exposure.

    The histogram shows the probability of exposure given that the user is untreated.
    """
    table = found.conditions
    figure = figure or new_figure(8.4, 3.0)
    left, right = figure.subplots(1, 2)
    at = np.arange(len(table))[::-1]
    colours = [COLOURS[name] for name in table["condition"]]
    left.barh(at, table["users"], xerr=2 * table["sd"], color=colours, alpha=0.8)
    left.set_yticks(at, [name.replace("_", " ") for name in table["condition"]])
    left.set_xlabel("expected users, with 2 SDs")
    clean(left)
    p = found.probabilities
    untreated = p.of("spillover") + p.of("pure_control")
    exposed = p.of("spillover")[untreated > 0] / untreated[untreated > 0]
    right.hist(exposed, bins=np.linspace(0, 1, 21), color=COLOURS["spillover"], alpha=0.8)
    right.set_xlabel("probability of exposure while untreated")
    right.set_ylabel("users")
    right.spines[["top", "right"]].set_visible(False)
    return figure


def groupings(found: Groupings, figure: Figure | None = None) -> Figure:
    """Draw shares of ties across units and arms, and interval widths, for each grouping.

    Filled markers, labelled by their number of units, are Pareto-optimal.
    """
    table = found.table
    figure = figure or new_figure(9.0, 3.4)
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


def sensitivity(found: ExposureSensitivity, figure: Figure | None = None) -> Figure:
    """Draw each effect at its mean dose under each assumption, one panel per effect.

    Thin bars: intervals, cut off where they are very wide. Thick bars: range over graphs with lost
    ties. Shaded: the declared interval of the first estimator.
    """
    table = found.table
    effects, names = list(table["effect"].unique()), list(table["assumption"].unique())
    estimators = list(table["estimator"].unique())
    figure = figure or new_figure(3.2 + 3.0 * len(effects), 0.36 * len(names) + 1.1)
    axes = figure.subplots(1, len(effects), sharey=True, squeeze=False)[0]
    at = {name: len(names) - 1 - i for i, name in enumerate(names)}
    for effect, ax in zip(effects, axes, strict=True):
        rows = table[table["effect"] == effect]
        first = rows.iloc[0]
        band = first["mean_dose"] * np.array([first["lower"], first["upper"]])
        ax.axvspan(*band, color="#999999", alpha=0.15, lw=0)
        for i, (estimator, colour) in enumerate(zip(estimators, SHADES, strict=False)):
            part = rows[(rows["estimator"] == estimator) & rows["estimate"].notna()]
            y = np.array([at[name] for name in part["assumption"]]) + 0.13 - 0.26 * i
            size = part["mean_dose"]
            ax.hlines(y, size * part["lower"], size * part["upper"], color=colour, lw=1.4)
            ax.hlines(y, size * part["lowest"], size * part["highest"], color=colour, lw=4)
            ax.plot(size * part["estimate"], y, "o", color=colour, ms=5, mec="white")
            ax.plot([], [], "o-", color=colour, label=estimator)
        sizes = rows["mean_dose"] * rows["estimate"]
        low, high = min(0, band[0], sizes.min()), max(0, band[1], sizes.max())
        ax.set_xlim(low - REACH * np.ptp(band), high + REACH * np.ptp(band))
        ax.axvline(0, color="#333333", ls="--", lw=1)
        ax.set_title(f"{effect.replace('_', ' ')} effect", loc="left", fontsize=11)
        ax.locator_params(axis="x", nbins=5)
        clean(ax)
    axes[0].set_yticks(list(at.values()), [plain(name) for name in names])
    axes[0].set_ylim(-0.6, len(names) - 0.4)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def positivity(found: Positivity, figure: Figure | None = None) -> Figure:
    """Draw the probability of spillover by degree, and the share of untreated users exposed.

    Whiskers: lowest and highest probability in the degree class.
    """
    table = found.by_degree
    figure = figure or new_figure(7.2, 3.2)
    ax = figure.subplots()
    at = np.arange(len(table))
    mean = table["mean_probability"].to_numpy()
    reach = [mean - table["min_probability"], table["max_probability"] - mean]
    ax.errorbar(
        at, mean, reach, fmt="o", color=COLOURS["spillover"], label="probability of spillover"
    )
    ax.plot(
        at, table["exposed"], "x", color=COLOURS["other"], label="share of untreated users exposed"
    )
    ax.set(
        xticks=at,
        xticklabels=[
            f"{degree}\n{users:,}"
            for degree, users in zip(table["degree"], table["users"], strict=True)
        ],
        xlabel="collaborators in other clusters; below: number of such users",
        ylabel="probability",
        ylim=(-0.03, 1.03),
    )
    ax.legend(frameon=False, loc="upper left")
    return figure
