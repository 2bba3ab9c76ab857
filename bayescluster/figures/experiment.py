"""Plots of an experiment's data: its design, cluster sizes, exposure and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._support.display import number
from ..data.conditions import CONDITIONS
from ..data.experiment import Experiment
from .canvas import COLOURS, clean, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def schematic(exp: Experiment, figure: Figure | None = None) -> Figure:
    """Draw the design as a diagram: treated and control clusters, and exposed users."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    figure = figure or new_figure(7.2, 3.0)
    ax = figure.subplots()
    ax.set(xlim=(0, 10), ylim=(0, 4.2))
    ax.axis("off")
    treated, control = int(exp.treated.sum()), int((~exp.treated).sum())
    whole = exp.spec.design.level == "cluster"
    left = f"{treated:,} treated clusters" if whole else f"{treated:,} clusters with treated users"
    boxes = [
        (0.2, 0.5, 3.6, "direct", left, "own users use the feature:\ndirect effect"),
        (
            6.2,
            2.35,
            3.6,
            "spillover",
            "exposed users",
            "work with treated users:\nspillover effect",
        ),
        (6.2, 0.5, 3.6, "pure_control", "other users", "not exposed:\ncomparison"),
    ]
    others = f"{control:,} control clusters" if whole else f"{control:,} clusters without treatment"
    within = "within_spillover" in exp.spec.design.effects
    if within:
        teammates = "teammates use the feature:\nspillover within clusters"
        boxes[0] = (0.2, 2.35, 3.6, "direct", "treated users", "use the feature:\ndirect effect")
        boxes.append((0.2, 0.5, 3.6, "within_spillover", "untreated users", teammates))
        ax.text(2.0, 4.05, left, ha="center", fontsize=10)
    if not exp.has_spillover:
        boxes = [boxes[0], (6.2, 0.5, 3.6, "pure_control", others, "comparison"), *boxes[3:]]
    for x, y, width, kind, title, words in boxes:
        alone = (not within) if x < 5 else not exp.has_spillover
        height = 3.35 if alone else 1.5
        ax.add_patch(
            FancyBboxPatch(
                (x, y), width, height, boxstyle="round,pad=0.05", fc=COLOURS[kind], alpha=0.18, lw=0
            )
        )
        middle = y + height / 2
        ax.text(x + width / 2, middle + 0.18, title, ha="center", fontsize=10, fontweight="bold")
        ax.text(x + width / 2, middle + 0.02, words, ha="center", va="top", fontsize=9)
    if exp.spec.design.interaction:
        ax.text(2.0, 0.75, "some are also exposed: interaction", ha="center", fontsize=9)
    if exp.has_spillover:
        arrow = FancyArrowPatch(
            (3.95, 3.1),
            (6.05, 3.1),
            color=COLOURS["spillover"],
            arrowstyle="-|>",
            mutation_scale=16,
            lw=2,
        )
        ax.add_patch(arrow)
        ax.text(5.0, 3.3, "shared work", ha="center", fontsize=9, color=COLOURS["spillover"])
        ax.plot([4.05, 5.95], [1.25, 1.25], ls=":", color=COLOURS["other"])
        ax.text(5.0, 1.4, "no path", ha="center", fontsize=9, color=COLOURS["other"])
        ax.text(8.0, 4.05, others, ha="center", fontsize=10)
    return figure


def sizes(exp: Experiment, figure: Figure | None = None) -> Figure:
    """Draw the sizes of the clusters, by arm."""
    figure = figure or new_figure(7.2, 1.9)
    ax = figure.subplots()
    n = exp.moments().n
    arms = ((~exp.treated, COLOURS["pure_control"]), (exp.treated, COLOURS["direct"]))
    for y, (arm, colour) in enumerate(arms):
        values = np.sort(n[arm])
        spread = (np.arange(len(values)) * 0.618 % 1 - 0.5) * 0.6  # golden ratio: no overlaps
        ax.scatter(values, y + spread, s=18, alpha=0.6, color=colour, lw=0)
        if len(values):
            ax.plot([np.median(values)] * 2, [y - 0.38, y + 0.38], color="#111111", lw=1.5)
    ax.set_yticks([0, 1], ["control", "treated"])
    ax.set_ylim(-0.6, 1.6)
    if n.max() > 20 * n.min():
        ax.set_xscale("log")
    if n.max() == n.min():
        ax.set_xticks([n.max()], [f"{n.max():,.0f}"])
    ax.set_xlabel("units per cluster (each dot is one cluster; line: median)")
    clean(ax)
    return figure


def reached(exp: Experiment, figure: Figure | None = None) -> Figure:
    """Draw each cluster's mean outcome against the mean exposure of its users, by arm."""
    figure = figure or new_figure(7.2, 2.8)
    ax = figure.subplots()
    m = exp.moments()
    at = m.column("spillover")
    share, level = m.means[:, at], m.means[:, -1]
    for name, arm, kind in (
        ("treated", exp.treated, "direct"),
        ("control", ~exp.treated, "spillover"),
    ):
        ax.scatter(share[arm], level[arm], s=22, color=COLOURS[kind], alpha=0.75, lw=0, label=name)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    ax.set_xlabel("mean exposure of the cluster's users")
    label = exp.spec.outcome.label or exp.spec.outcome.column
    ax.set_ylabel(f"mean of {plain(label)}", fontsize=9)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def distributions(exp: Experiment, figure: Figure | None = None, bins: int = 60) -> Figure:
    """Draw the outcome's distribution by exposure condition, from binned counts.

    The density of each condition integrates to one; a tick marks each mean.
    """
    counts, summary = exp.histogram(bins), exp.conditions.set_index("condition")
    shown = [name for name in CONDITIONS if name in summary.index]
    figure = figure or new_figure(7.2, 1.25 * len(shown) + 0.7)
    axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for name, ax in zip(shown, axes, strict=True):
        part, row = counts[counts["condition"] == name], summary.loc[name]
        width = part["right"] - part["left"]
        density = part["count"] / part["count"].sum() / width
        ax.bar(part["left"], density, width, align="edge", color=COLOURS[name], alpha=0.75, lw=0)
        ax.axvline(row["mean"], color="#111111", lw=1.4)
        units = (
            f"{name.replace('_', ' ')}: {int(row['n_units']):,} units, mean "
            f"{number(row['mean'], row['std'])}"
        )
        ax.set_title(units, loc="left", fontsize=10)
        ax.set_yticks([])
        clean(ax)
    axes[-1].set_xlabel(plain(exp.spec.outcome.label or exp.spec.outcome.column))
    return figure
