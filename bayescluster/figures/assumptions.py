"""Plots of the five assumptions; each returns its matplotlib figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks.arm_balance import MAX_DIFFERENCE, Balance
from ..checks.five_assumptions import ClusterLevels
from ..data.experiment import Experiment
from ..frequentist.cluster_influence import influence as influence_of
from .canvas import COLOURS, clean, new_figure, plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of clusters that a caterpillar plot draws.
MAX_NAMED = 60


def balance(found: Balance, figure: Figure | None = None) -> Figure:
    """Draw the standardised differences of covariates between arms, with small ones shaded."""
    table = found.table
    figure = figure or new_figure(7.2, 0.38 * len(table) + 1.0)
    ax = figure.subplots()
    at = np.arange(len(table))[::-1]
    ax.axvspan(-MAX_DIFFERENCE, MAX_DIFFERENCE, color="#999999", alpha=0.2, lw=0)
    ax.axvline(0, color="#333333", ls="--", lw=1)
    ax.hlines(at, 0, table["difference"], color=COLOURS["direct"], lw=1.5)
    ax.plot(table["difference"], at, "o", color=COLOURS["direct"], ms=7)
    ax.set_yticks(at, [plain(name) for name in table["covariate"]])
    ax.set_ylim(-0.6, len(table) - 0.4)
    reach = max(1.15 * float(table["difference"].abs().max()), 1.5 * MAX_DIFFERENCE)
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("treated minus control, in SDs of the cluster means; shaded: small")
    clean(ax)
    return figure


def caterpillar(found: ClusterLevels, figure: Figure | None = None) -> Figure:
    """Draw the clusters' intercepts with their credible intervals, sorted, by arm.

    Of more than `MAX_NAMED` clusters, as many are drawn, evenly spaced from the lowest to the
    highest.
    """
    table = found.table.sort_values("intercept", ignore_index=True)
    if (whole := len(table)) > MAX_NAMED:
        shown = np.round(np.linspace(0, whole - 1, MAX_NAMED)).astype(int)
        table = table.iloc[shown].reset_index(drop=True)
    figure = figure or new_figure(7.2, 0.6 + 0.13 * len(table))
    ax = figure.subplots()
    at = np.arange(len(table))
    for arm, kind in (("treated", "direct"), ("control", "pure_control")):
        rows = (table["arm"] == arm).to_numpy()
        part = table[rows]
        ax.hlines(at[rows], part["ci_lower"], part["ci_upper"], color=COLOURS[kind], lw=1.6)
        ax.plot(part["intercept"], at[rows], "o", color=COLOURS[kind], ms=3.5, label=arm)
    ax.set_yticks(at, [plain(str(label)) for label in table["cluster"]], fontsize=7)
    if whole > len(table):
        ax.set_title(f"{len(table)} of {whole:,} clusters", loc="left", fontsize=9)
    ax.set_ylim(-1, len(table))
    ax.set_xlabel("intercept: mean of the cluster's users without treatment or exposure")
    ax.legend(frameon=False, loc="lower right")
    clean(ax)
    return figure


def spread(found: ClusterLevels, figure: Figure | None = None) -> Figure:
    """Draw the intercepts of both arms side by side, centred at their arm's mean."""
    figure = figure or new_figure(7.2, 1.9)
    ax = figure.subplots()
    for y, (arm, kind) in enumerate((("control", "pure_control"), ("treated", "direct"))):
        values = found.table.loc[found.table["arm"] == arm, "deviation"].to_numpy()
        jitter = (np.arange(len(values)) * 0.618 % 1 - 0.5) * 0.6
        ax.scatter(values, y + jitter, s=18, alpha=0.6, color=COLOURS[kind], lw=0)
        if len(values) > 1:
            sd = values.std(ddof=1)
            ax.plot([-sd, sd], [y, y], color="#111111", lw=3, alpha=0.7)
    ax.axvline(0, color="#333333", ls="--", lw=1)
    ax.set_yticks([0, 1], ["control", "treated"])
    ax.set_ylim(-0.6, 1.6)
    ax.set_xlabel(
        "intercept minus its arm's mean, in SDs over all clusters (bar: one SD of the arm)"
    )
    clean(ax)
    return figure


def normality(found: ClusterLevels, figure: Figure | None = None) -> Figure:
    """Draw the intercepts against normal quantiles, and against cluster size."""
    from scipy import special

    figure = figure or new_figure(7.2, 3.1)
    left, right = figure.subplots(1, 2)
    table = found.table.sort_values("deviation", ignore_index=True)
    n = len(table)
    quantiles = special.ndtri((np.arange(n) + 0.5) / n)
    _points(left, quantiles, table["deviation"], table)
    reach = [quantiles[0], quantiles[-1]]
    left.plot(reach, reach, color="#333333", ls="--", lw=1)
    left.set(xlabel="normal quantile", ylabel="deviation, in SDs")
    _points(right, table["n_units"], table["deviation"], table)
    right.axhline(0, color="#333333", ls="--", lw=1)
    right.set(xlabel="units in the cluster", ylabel="deviation, in SDs")
    if table["n_units"].max() > 20 * table["n_units"].min():
        right.set_xscale("log")
    return figure


def _points(ax: Axes, x: Any, y: Any, table: pd.DataFrame) -> None:
    colour = np.where(table["arm"] == "treated", COLOURS["direct"], COLOURS["pure_control"])
    ax.scatter(x, y, s=18, c=colour, lw=0, alpha=0.8)
    ax.spines[["top", "right"]].set_visible(False)


def influence(exp: Experiment, effects: list[str], figure: Figure | None = None) -> Figure:
    """Draw each effect without each cluster, against the cluster's share of the information."""
    figure = figure or new_figure(7.2, 2.7 * len(effects))
    panels = figure.subplots(len(effects), 1, squeeze=False)[:, 0]
    for ax, effect in zip(panels, effects, strict=True):
        table = influence_of(exp, effect)
        ax.scatter(
            table["partial_leverage"], table["estimate_without"], s=18, color=COLOURS["direct"]
        )
        whole = exp.treated.size
        ax.axvline(1 / whole, color=COLOURS["other"], ls=":", lw=1)
        first = table.iloc[0]
        ax.annotate(
            plain(str(first["cluster"])),
            (first["partial_leverage"], first["estimate_without"]),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
        )
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:.1%}")
        ax.set_title(f"{effect.replace('_', ' ')} effect", loc="left", fontsize=10)
        ax.set_ylabel("estimate without cluster", fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("cluster's share of the information on the effect (dotted: equal shares)")
    return figure
