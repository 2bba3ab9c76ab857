"""The sections of the report on one analysis, from the answer down to the appendix."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from .._support.display import percent
from ..bayes.fit import versions
from ..bayes.model_inputs import resolved_priors
from ..exposure.expose import exposure_of
from ..figures import assumptions as assumption_plots
from ..figures import effects as plots
from ..figures import posterior as posterior_plots
from .document_parts import (
    Code,
    Document,
    Grid,
    Part,
    Plot,
    Section,
    Words,
)
from .sentences import (
    capital,
    checks_on,
    reproduce,
    sentence,
)
from .supporting_sections import (
    assumptions_section,
    convergence_section,
    decision_section,
    predictive_section,
    sensitivity_section,
)
from .table_headings import (
    AGREEMENT,
    BIAS,
    CONDITIONS,
    ESTIMANDS,
    ESTIMATES,
)

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis
    from ..data.experiment import Experiment


def document(analysis: Analysis) -> Document:
    """Return the report on an analysis."""
    made = (
        _design(analysis),
        _estimates(analysis),
        _bias(analysis),
        _agreement(analysis),
        _intercepts(analysis),
        assumptions_section(analysis),
        convergence_section(analysis),
        predictive_section(analysis),
        sensitivity_section(analysis),
        decision_section(analysis),
        _appendix(analysis),
    )
    return replace(
        first_screen(analysis),
        sections=tuple(section for section in made if section is not None),
    )


def first_screen(analysis: Analysis) -> Document:
    """Return the answer without the sections that support it, some of which refit the model."""
    checks = analysis.checks
    failed = checks[checks["verdict"] == "problem"]
    verdict = [text for text in analysis.verdict if not text.startswith("Take care")]
    return Document(
        title=analysis.spec.title,
        question=analysis.spec.question,
        decision=verdict[0],
        troubles=tuple(
            f"{capital(row.check)}: {row.figure}. {sentence(row.advice)}"
            for row in failed.itertuples()
        ),
        sentences=tuple(verdict[1:]),
        effects=headline(analysis),
        lights=analysis.lights,
        facts=facts(analysis),
    )


def headline(analysis: Analysis) -> Grid:
    """Return direct, spillover and rollout effect with their intervals."""
    table = analysis.comparison.estimands
    wanted = [*analysis.comparison.effects, "full rollout", "full rollout with exposure"]
    rows = table[table["estimand"].isin(wanted)]
    level = percent(analysis.spec.report.ci_prob)
    return Grid("effects", rows, ESTIMANDS, f"The effects, with {level} credible intervals")


def facts(analysis: Analysis) -> dict[str, str]:
    """Return what was analysed, in a few words each."""
    exp, spec = analysis.experiment, analysis.spec
    treated = int(exp.treated.sum())
    found = {
        "outcome": spec.outcome.label or spec.outcome.column,
        "units analysed": f"{exp.n_units:,}",
        "clusters treated / control": f"{treated:,} / {len(exp.treated) - treated:,}",
    }
    if exp.has_spillover:
        found["mean spillover exposure of units"] = f"{exp.exposed_share:.1%}"
    if spec.outcome.missing == "drop":
        found["rows dropped (missing values)"] = f"{exp.n_dropped:,}"
    return found


def _design(analysis: Analysis) -> Section:
    exp = analysis.experiment
    control = "control clusters" if exp.spec.design.level == "cluster" else "clusters without any"
    parts: list[Part] = [
        Plot(
            "schematic",
            lambda: assumption_plots.schematic(exp),
            f"Schematic: {int(exp.treated.sum()):,} clusters with treatment on the left, {control} "
            "on the right"
            + ", their exposed users reached by shared work, the others not."
            * exp.has_spillover,
            _who_reaches_whom(exp),
        ),
        Plot(
            "sizes",
            lambda: assumption_plots.sizes(exp),
            "Number of units of every cluster, by arm; the checks on cluster count have the range.",
            "A dot a cluster.",
        ),
    ]
    if exp.has_units:
        parts += [
            Plot(
                "distributions",
                lambda: plots.distributions(exp),
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
    data, verdict = checks_on(analysis, "data")
    return Section("design", "The design", (*parts, *data), verdict)


def _who_reaches_whom(exp: Experiment) -> str:
    effects = exp.spec.design.effects
    nothing = "whom nothing reaches" if exp.has_spillover else "of the others"
    direct = "treated users" + ", themselves not exposed," * ("interaction" in effects)
    return (
        f"Who can reach whom. The direct effect compares {direct} with users {nothing}"
        + "; spillover compares exposed control users with the same" * exp.has_spillover
        + "; interaction is what exposure adds for treated users beyond that"
        * ("interaction" in effects)
        + "; spillover within clusters compares untreated teammates of treated users with them"
        * ("within_spillover" in effects)
        + "."
        + " Whatever passes between clusters is not modelled." * (not exp.has_spillover)
    )


def _estimates(analysis: Analysis) -> Section:
    comparison, report = analysis.comparison, analysis.spec.report
    level = percent(report.ci_prob)
    threshold = f"the threshold {report.threshold:g}"
    if report.rope:
        threshold += (
            f" and the region of practical equivalence {report.rope[0]:g} to {report.rope[1]:g}"
        )
    definitions = comparison.estimands[["estimand", "definition"]]
    return Section(
        "estimates",
        "Estimates",
        (
            Plot(
                "forest",
                comparison.plot,
                f"Forest plot of every method's estimate and {level} interval, one panel an "
                "effect; the table below has the same numbers.",
                f"Point estimates with {level} intervals; for the posterior, its mean and credible "
                "interval. Dashed: no effect."
                + " Shaded: practical equivalence."
                * bool(report.rope),
            ),
            Grid("estimates", comparison.estimates, ESTIMATES, f"Every method, {level} intervals"),
            Words((f"Posterior probabilities use {threshold}.",)),
            Grid(
                "estimands",
                comparison.estimands,
                ESTIMANDS,
                f"Estimands by the posterior, with {level} credible intervals",
            ),
            Grid(
                "definitions",
                definitions,
                {"estimand": "estimand", "definition": "what it is"},
                "What is estimated",
            ),
        ),
    )


def _bias(analysis: Analysis) -> Section | None:
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


def _agreement(analysis: Analysis) -> Section:
    comparison = analysis.comparison
    drawn = f"{len(comparison.bootstrap.draws):,}"
    _, verdict = checks_on(analysis, "agreement")
    return Section(
        "agreement",
        "Posterior against bootstrap",
        (
            Words(tuple(comparison.agreement["verdict"])),
            Plot(
                "densities",
                lambda: posterior_plots.densities(comparison),
                "Posterior and bootstrap distribution of each effect over each other; the table "
                "below compares their intervals.",
                "Histograms of the draws; the bars below are the intervals.",
            ),
            Plot(
                "quantiles",
                lambda: posterior_plots.quantiles(comparison),
                "Quantiles of the posterior against those of the bootstrap, near the diagonal "
                "where the two agree.",
                "Quantile against quantile, 0.5% to 99.5%. Above the line on the right, the "
                "posterior has the longer upper tail.",
            ),
            Grid(
                "agreement",
                comparison.agreement,
                AGREEMENT,
                f"Intervals of both, {drawn} replicates",
            ),
            Words(
                (
                    "Width ratio: posterior over bootstrap. Overlap: the part that the intervals "
                    "share, over the part that either covers. Shift: difference of the centres in "
                    "bootstrap standard errors.",
                ),
                soft=True,
            ),
        ),
        verdict,
    )


def _intercepts(analysis: Analysis) -> Section:
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
                f"Intercepts with {level} credible intervals, drawn towards the mean as far as "
                "each cluster's own data are thin. Chance imbalance shows as one colour lying "
                "higher.",
            ),
        ),
    )


def _appendix(analysis: Analysis) -> Section:
    exp, spec = analysis.experiment, analysis.spec
    dropped = (
        f"{exp.n_dropped:,} rows with missing values were dropped, as the specification asks, and "
        f"with them {exp.n_clusters_dropped:,} whole clusters."
        if spec.outcome.missing == "drop"
        else "No row was dropped: the specification refuses missing values."
    )
    priors = pd.DataFrame(
        [(name, str(prior)) for name, prior in resolved_priors(exp).items()],
        columns=["parameter", "prior"],
    )
    provenance = ", ".join(f"{name} {version}" for name, version in versions().items())
    parts: list[Part] = [
        Words(
            (
                f"{exp.n_units:,} units in {len(exp.treated):,} clusters, data fingerprint "
                f"{exp.fingerprint}. {dropped}",
            )
        ),
        Grid("declared", priors, {"parameter": "parameter", "prior": "prior"}, "Priors"),
    ]
    if exp.exposure is not None and (graph := exposure_of(exp).graph) is not None:
        counts = graph.to_dataframe()
        columns = {"what": "edges", "count": "count"}
        parts.append(Grid("edges", counts, columns, "What became of the edges"))
    parts += [
        Code("Specification, as TOML", spec.to_toml(), f"SHA-256 {spec.hash}"),
        Code("Code that reproduces this page", reproduce(analysis)),
        Words((f"Seed {analysis.posterior.attrs['seed']}. Made with {provenance}.",), soft=True),
    ]
    return Section("appendix", "Appendix: data and specification", tuple(parts))
