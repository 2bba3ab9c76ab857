"""Forest plots: the effects by every method, or of every metric of a scorecard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..answers.method_comparison import Comparison
from .canvas import COLOURS, clean, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..analysis.scorecard import Scorecard


#: Intervals more than this many times as wide as the median one do not set the axis.
WIDE = 4.0


def forest(comparison: Comparison, figure: Figure | None = None, *, narrow: bool = False) -> Figure:
    """Draw the estimate and interval of each method, one panel per effect.

    If `narrow`, for the width of a phone, the methods' names stand above their intervals.

    Dashed line: zero. Dotted line: the truth, for simulated data. Shaded band: the ROPE.
    """
    table = comparison.estimates
    effects = comparison.effects
    heights = [int((table["term"] == name).sum()) + 1.5 for name in effects]
    width, row = (3.7, 0.46) if narrow else (7.2, 0.36)
    figure = figure or new_figure(width, row * sum(heights) + 0.4)
    axes = figure.subplots(len(effects), 1, height_ratios=heights, squeeze=False)[:, 0]
    for name, ax in zip(effects, axes, strict=True):
        _forest_panel(ax, table[table["term"] == name], name, comparison, narrow=narrow)
    label = comparison.experiment.spec.outcome.label or comparison.experiment.spec.outcome.column
    axes[-1].set_xlabel(f"effect on {plain(label)}")
    return figure


def _forest_panel(
    ax: Axes, rows: pd.DataFrame, effect: str, comparison: Comparison, *, narrow: bool
) -> None:
    report = comparison.experiment.spec.report
    low, high = _reach(rows)
    pad = 0.08 * (high - low)
    marks = [comparison.truth[effect]] if effect in comparison.truth else []
    if low - 3 * (high - low) < 0 < high + 3 * (high - low):
        marks.append(0.0)
    if report.rope is not None and 0.0 in marks:
        marks += report.rope
    left, right = min([low, *marks]) - pad, max([high, *marks]) + pad
    at = np.arange(len(rows))[::-1]
    for y, row in zip(at, rows.itertuples(), strict=True):
        path = row.method.split()[0]
        colour = COLOURS["posterior" if path == "posterior" else _path_of(row.method)]
        heavy = path == "posterior"
        ends = np.clip(
            [row.ci_lower, row.ci_upper], left, right
        )  # unbounded intervals extend to the edge
        ax.hlines(y, *ends, color=colour, lw=4 if heavy else 2)
        if left <= row.estimate <= right:
            ax.plot(row.estimate, y, "o", color=colour, ms=8 if heavy else 5, mec="white")
        ax.plot(
            ends, [y, y], "|", color=colour, ms=9, mew=1.4
        )  # visible where the marker hides the line
        for end, mark in ((row.ci_lower, "<"), (row.ci_upper, ">")):
            if not left <= end <= right:
                ax.plot(np.clip(end, left, right), y, mark, color=colour, ms=6, clip_on=False)
    ax.set_xlim(left, right)
    if report.rope is not None and report.rope[0] < right and report.rope[1] > left:
        ax.axvspan(*report.rope, color="#999999", alpha=0.2, lw=0, label="ROPE")
    ax.axvline(0, color="#333333", ls="--", lw=1)
    if effect in comparison.truth:
        ax.axvline(
            comparison.truth[effect], color=COLOURS["reference"], ls=":", lw=1.8, label="truth"
        )
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    names = [plain(name) for name in rows["method"]]
    if narrow:
        ax.set_yticks([])
        for y, name in zip(at, names, strict=True):
            ax.text(0, y + 0.22, name, fontsize=8, transform=ax.get_yaxis_transform())
    else:
        ax.set_yticks(at, names)
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_title(f"{effect.replace('_', ' ')} effect", loc="left", fontsize=11, fontweight="bold")
    ax.locator_params(axis="x", nbins=5 if narrow else 7)
    clean(ax)


def _reach(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the limits of the axis; much wider intervals than most are cut off, with arrows."""
    width = (rows["ci_upper"] - rows["ci_lower"]).to_numpy()
    usual = np.median(width[np.isfinite(width)])
    ends = rows.loc[width <= WIDE * usual, ["ci_lower", "ci_upper"]].to_numpy()
    return float(ends.min()), float(ends.max())


def _path_of(method: str) -> str:
    return "bootstrap" if "bootstrap" in method else "other"


def scorecard(card: Scorecard, figure: Figure | None = None) -> Figure:
    """Draw the effects of all metrics, one panel per effect, in SDs of the outcome.

    Filled markers are discoveries at the scorecard's false discovery rate.
    """
    table = card.table
    effects = list(dict.fromkeys(table["effect"]))
    metrics = list(dict.fromkeys(table["metric"]))
    figure = figure or new_figure(1.2 + 3.2 * len(effects), 0.42 * len(metrics) + 1.1)
    axes = figure.subplots(1, len(effects), sharey=True, squeeze=False)[0]
    at = np.arange(len(metrics))[::-1]
    for name, ax in zip(effects, axes, strict=True):
        rows = table[table["effect"] == name].set_index("metric").loc[metrics]
        low, mean, high = (
            rows[column] / rows["outcome_sd"] for column in ("ci_lower", "mean", "ci_upper")
        )
        ax.hlines(at, low, high, color=COLOURS["posterior"], lw=3)
        fill = np.where(rows["discovery"], COLOURS["posterior"], "white")
        ax.scatter(mean, at, c=fill, edgecolors=COLOURS["posterior"], s=45, zorder=3)
        ax.axvline(0, color="#333333", ls="--", lw=1)
        title = f"{name.replace('_', ' ')} effect"
        ax.set_title(title, loc="left", fontsize=11, fontweight="bold")
        ax.locator_params(axis="x", nbins=4)
        clean(ax)
    titles = dict(zip(table["metric"], table["title"], strict=True))
    axes[0].set_yticks(at, [plain(titles[name]) for name in metrics])
    axes[0].set_ylim(-0.6, len(metrics) - 0.4)
    figure.supxlabel("SDs of the metric", fontsize=10)
    return figure
