"""Plots of predictive checks, model comparisons and sensitivity; each returns a matplotlib figure.

ArviZ draws those that it provides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..design.calibration import FALSE_ALARM, Calibration
from .canvas import close_in_notebook, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..checks.leave_one_out import LeaveOneOut, ModelComparison
    from ..checks.predictive_check import PredictiveCheck
    from ..checks.sensitivity_to_priors import PowerScaling, PriorSensitivity

#: Okabe & Ito's palette, distinct under colour blindness.
PREDICTED, OBSERVED, GREY = "#0072B2", "#D55E00", "#767676"
COLUMNS = 3


def predictive(check: PredictiveCheck, figure: Figure | None = None) -> Figure:
    """Draw one panel per statistic: predicted distribution and interval, and observed value."""
    table = check.table
    rows = -(-len(table) // COLUMNS)
    figure = figure or new_figure(9.6, 2.0 * rows + 0.3)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax in axes[len(table) :]:
        ax.remove()
    for row, ax in zip(table.itertuples(), axes, strict=False):
        values = check.draws[row.statistic]
        values = values[~np.isnan(values)]
        low, high = np.quantile(values, [0.005, 0.995], method="inverted_cdf")
        low, high = min(low, row.observed), max(high, row.observed)
        wide = bool(low > 0 and high > 1e3 * low) or not np.isfinite(high)
        if wide:  # a log scale; infinities are left out
            finite = values[np.isfinite(values) & (values > 0)]
            low = max(float(np.quantile(finite, 0.005)), 1e-12)
            high = max(float(finite.max()), row.observed)
            ax.set_xscale("log")
            edges = np.geomspace(low, max(high, 2 * low), 41)
        else:
            pad = 0.03 * (high - low) or 1.0
            edges = np.linspace(low - pad, high + pad, 41)
        ax.hist(values, bins=edges, color=PREDICTED, alpha=0.35)
        ax.hlines(0, row.ci_lower, row.ci_upper, color=PREDICTED, lw=4)
        ax.axvline(row.observed, color=OBSERVED, lw=2)
        colour = {"ok": "black", "caution": "#B8860B", "problem": "#B00020"}[row.verdict]
        ax.set_title(f"{row.statistic}: {row.verdict}", fontsize=9, loc="left", color=colour)
        ax.set_xlim(edges[0], edges[-1])
        ax.set_yticks([])
        ax.spines[["top", "right", "left"]].set_visible(False)
        if not wide:
            ax.locator_params(axis="x", nbins=4)
    figure.supxlabel(
        f"{check.scale}: {check.kind} predictive distribution (blue), observed (orange)",
        fontsize=9,
        color=GREY,
    )
    return figure


def pareto_k(result: LeaveOneOut, figure: Figure | None = None) -> Figure:
    """Draw the Pareto k of each cluster and its limit; clusters beyond it are labelled."""
    table = result.table
    figure = figure or new_figure(7.2, 3.0)
    ax = figure.subplots()
    bad = (table["pareto_k"] > result.good_k).to_numpy()
    at = np.arange(len(table))
    ax.scatter(at, table["pareto_k"], s=16, c=np.where(bad, OBSERVED, PREDICTED))
    ax.axhline(result.good_k, color=GREY, ls="--", lw=1)
    for i in np.flatnonzero(bad)[:10]:
        ax.annotate(
            plain(str(table["cluster"][i])),
            (i, table["pareto_k"][i]),
            xytext=(4, 2),
            textcoords="offset points",
            fontsize=8,
        )
    ax.set_xlabel("clusters, by Pareto k")
    ax.set_ylabel("Pareto k")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def elpd_differences(comparison: ModelComparison, figure: Figure | None = None) -> Figure:
    """Draw each model's difference in elpd from the best model, with two standard errors."""
    table = comparison.table
    figure = figure or new_figure(7.2, 0.5 * len(table) + 1.0)
    ax = figure.subplots()
    at = np.arange(len(table))[::-1]
    worse = (table["verdict"] == "problem").to_numpy()
    ax.errorbar(table["elpd_diff"], at, xerr=2 * table["dse"], fmt="none", ecolor=GREY, lw=2)
    ax.scatter(table["elpd_diff"], at, c=np.where(worse, OBSERVED, PREDICTED), s=45, zorder=3)
    ax.axvspan(-4, 0, color="#999999", alpha=0.2, lw=0)
    ax.axvline(0, color="#333333", ls="--", lw=1)
    ax.set_yticks(at, [plain(name) for name in table["model"]])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlabel("difference in elpd from the best, with 2 SEs; shaded: not meaningful")
    ax.spines[["top", "right", "left"]].set_visible(False)
    return figure


def power_scaled(result: PowerScaling) -> Figure:
    """Draw ArviZ's plot of the posteriors under power-scaled prior and likelihood."""
    import arviz as az

    effects = ("direct", "spillover", "interaction", "within_spillover")
    names = [name for name in effects if name in result.tree["log_prior"]]
    collection = az.plot_psense_dist(result.tree, var_names=names, backend="matplotlib")
    figure = collection.viz["figure"].item()
    figure.set_layout_engine("constrained")
    return close_in_notebook(figure)


def effects_by_prior(result: PriorSensitivity, figure: Figure | None = None) -> Figure:
    """Draw one panel per effect: its mean and interval under each set of priors."""
    table = result.table
    effects, sets = list(dict.fromkeys(table["effect"])), list(dict.fromkeys(table["priors"]))
    figure = figure or new_figure(1.4 + 3.0 * len(effects), 0.4 * len(sets) + 1.0)
    axes = figure.subplots(1, len(effects), sharey=True, squeeze=False)[0]
    at = np.arange(len(sets))[::-1]
    for effect, ax in zip(effects, axes, strict=True):
        rows = table[table["effect"] == effect].set_index("priors").loc[sets]
        ax.axvspan(*rows.loc["declared", ["ci_lower", "ci_upper"]], color=GREY, alpha=0.15, lw=0)
        ax.hlines(at, rows["ci_lower"], rows["ci_upper"], color=PREDICTED, lw=3)
        ax.plot(rows["mean"], at, "o", color=PREDICTED, mec="white", ms=7)
        ax.axvline(0, color="#333333", ls="--", lw=1)
        ax.set_title(f"{effect.replace('_', ' ')} effect", fontsize=10, loc="left")
        ax.tick_params(axis="y", length=0)
        ax.set_yticks(at, [plain(name) for name in sets])
        ax.set_ylim(-0.6, len(sets) - 0.4)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.locator_params(axis="x", nbins=4)
    return figure


def calibration(found: Calibration) -> Figure:
    """Draw ArviZ's plot of the probabilities' distribution, with its simultaneous envelope."""
    import arviz as az
    import xarray as xr

    values = {name: ("sample", column.to_numpy()) for name, column in found.pit.items()}
    tree = xr.DataTree.from_dict({"prior_sbc": xr.Dataset(values)})
    collection = az.plot_ecdf_pit(
        tree, sample_dims=["sample"], envelope_prob=1 - FALSE_ALARM, backend="matplotlib"
    )
    figure = collection.viz["figure"].item()
    figure.set_layout_engine("constrained")
    return close_in_notebook(figure)
