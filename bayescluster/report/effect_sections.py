"""Sections on the design, the effects by every method, and the clusters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .._support.check_record import Subject
from .._support.display import percent
from ..figures import assumptions as assumption_plots
from ..figures import experiment as experiment_plots
from ..figures import posterior as posterior_plots
from ..figures.forest_plot import forest
from .document_parts import Grid, Part, Plot, Section, Words, checks_on
from .table_headings import AGREEMENT, BIAS, CONDITIONS, ESTIMANDS, ESTIMATES, LIFT

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis
    from ..data.experiment import Experiment


def design_section(analysis: Analysis) -> Section:
    """Return the section on the design: arms, cluster sizes and conditions."""
    exp = analysis.experiment
    control = "control clusters" if exp.spec.design.level == "cluster" else "untreated clusters"
    parts: list[Part] = [
        Plot(
            "schematic",
            lambda: experiment_plots.schematic(exp),
            f"Schematic: {int(exp.treated.sum()):,} clusters with treatment on the left, {control} "
            "on the right"
            + ", whose exposed users share work with treated users."
            * exp.has_spillover,
            _who_reaches_whom(exp),
        ),
        Plot(
            "sizes",
            lambda: experiment_plots.sizes(exp),
            "Number of units of every cluster, by arm; the checks on cluster count have the range.",
            "Each dot is one cluster.",
        ),
    ]
    if exp.has_units:
        parts += [
            Plot(
                "distributions",
                lambda: experiment_plots.distributions(exp),
                "Distribution of the outcome in each exposure condition, with its mean; the table "
                "below has units, means and standard deviations.",
                "Density of the outcome in each condition; the line marks the mean. Values beyond "
                "four standard deviations are counted in the outermost bins.",
            ),
            Grid(
                "conditions",
                exp.conditions,
                CONDITIONS,
                "Units, mean and standard deviation by condition",
            ),
        ]
    data, verdict = checks_on(analysis, Subject.DATA)
    return Section("design", "The design", (*parts, *data), verdict)


def _who_reaches_whom(exp: Experiment) -> str:
    effects = exp.spec.design.effects
    others = "who are not exposed" if exp.has_spillover else "of the other clusters"
    direct = "treated users" + " who are not exposed" * ("interaction" in effects)
    return (
        f"Who can reach whom. The direct effect compares {direct} with users {others}"
        + "; spillover compares exposed control users with the same users" * exp.has_spillover
        + "; interaction is what exposure adds for treated users beyond that"
        * ("interaction" in effects)
        + (
            "; spillover within clusters compares untreated teammates of treated users with the "
            "same users"
        )
        * ("within_spillover" in effects)
        + "."
        + " Spillover between clusters is not modelled." * (not exp.has_spillover)
    )


def estimates_section(analysis: Analysis) -> Section:
    """Return the section on methods and estimands."""
    comparison, report = analysis.comparison, analysis.spec.report
    level = percent(report.ci_prob)
    threshold = f"the threshold {report.threshold:g}"
    if report.rope:
        threshold += (
            f" and the region of practical equivalence {report.rope[0]:g} to {report.rope[1]:g}"
        )
    definitions = comparison.named_estimands[["estimand", "definition"]]
    return Section(
        "estimates",
        "Estimates",
        (
            Grid(
                "named",
                comparison.named_estimands,
                ESTIMANDS,
                f"Estimands by the posterior, with {level} credible intervals",
            ),
            Words((f"Posterior probabilities use {threshold}.",), soft=True),
            Plot(
                "forest",
                comparison.plot,
                f"Forest plot of every method's estimate and {level} interval, one panel per "
                "effect; the table below has the same numbers.",
                f"Point estimates with {level} intervals; for the posterior, its mean and credible "
                "interval. Dashed: no effect."
                + " Shaded: practical equivalence."
                * bool(report.rope),
                partial(forest, comparison, narrow=True),
            ),
            Grid("estimates", comparison.estimates, ESTIMATES, f"Every method, {level} intervals"),
            Grid(
                "estimands",
                comparison.estimands,
                ESTIMANDS,
                "Averages over users and over clusters",
            ),
            *_lift(analysis),
            Grid(
                "definitions",
                definitions,
                {"estimand": "estimand", "definition": "definition"},
                "What is estimated",
            ),
        ),
        open=True,
    )


def _lift(analysis: Analysis) -> list[Part]:
    """Return the table of baselines and lifts."""
    found = analysis.comparison.lift
    if found is None:
        return []
    return [Grid("lift", found.table, LIFT, "Relative to the mean had nobody been treated")]


def bias_section(analysis: Analysis) -> Section | None:
    """Return the section on the naive estimate; None without spillover."""
    if not analysis.experiment.has_spillover:
        return None
    bias = analysis.comparison.bias
    caption = (
        "Bias accounting: truth + chance imbalance = two-exposure estimate; "
        "+ contamination = naive estimate"
    )
    return Section(
        "bias",
        "Why the naive estimate is wrong",
        (Words((str(bias),)), Grid("bias", bias.to_dataframe(), BIAS, caption)),
    )


def agreement_section(analysis: Analysis) -> Section:
    """Return the section that compares posterior and bootstrap."""
    comparison = analysis.comparison
    drawn = f"{len(comparison.bootstrap.draws):,}"
    _, verdict = checks_on(analysis, Subject.AGREEMENT)
    return Section(
        "agreement",
        "Posterior against bootstrap",
        (
            Words(tuple(comparison.agreement["conclusion"])),
            Plot(
                "densities",
                lambda: posterior_plots.densities(comparison),
                "Posterior and bootstrap distributions of each effect, overlaid; the table "
                "below compares their intervals.",
                "Histograms of the draws; the bars below are the intervals.",
            ),
            Plot(
                "quantiles",
                lambda: posterior_plots.quantiles(comparison),
                "Quantiles of the posterior against those of the bootstrap, near the diagonal "
                "if the two agree.",
                "Quantile against quantile, 0.5% to 99.5%. Points above the line on the right mean "
                "that the posterior has the longer upper tail.",
            ),
            Grid(
                "agreement",
                comparison.agreement,
                AGREEMENT,
                f"Intervals of both, {drawn} replicates",
            ),
            Words(
                (
                    "Width ratio: posterior over bootstrap. Overlap: intersection of the intervals "
                    "over their joint range. Shift: difference of the centres in bootstrap "
                    "standard errors.",
                ),
                soft=True,
            ),
        ),
        verdict,
    )


def intercepts_section(analysis: Analysis) -> Section:
    """Return the section on the clusters' intercepts."""
    level = percent(analysis.spec.report.ci_prob)
    return Section(
        "intercepts",
        "The clusters",
        (
            Plot(
                "caterpillar",
                lambda: assumption_plots.caterpillar(analysis.cluster_levels),
                f"Posterior mean and {level} credible interval of every cluster's intercept, in "
                "order of size, treated and control clusters in two colours.",
                f"Intercepts with {level} credible intervals, shrunk towards the mean, more so for "
                "clusters with less data. With chance imbalance, one colour lies higher.",
            ),
        ),
    )
