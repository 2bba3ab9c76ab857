"""The sections of the report on one analysis, from the answer down to the appendix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._display import number, percent
from ..assumptions import (
    ASSIGNMENT,
    ASSUMPTIONS,
    CLUSTERS,
    EXCHANGEABILITY,
    INTERFERENCE,
    SUTVA,
)
from ..bayes.checks import convergence
from ..bayes.fit import versions
from ..bayes.model import resolved_priors
from . import assumption_plots, plots, posterior_plots, words
from .columns import (
    AGREEMENT,
    BALANCE,
    BIAS,
    CONDITIONS,
    CONVERGENCE,
    DECISION,
    ESTIMANDS,
    ESTIMATES,
    POWER,
    PREDICTIVE,
    ROLLOUT,
    SENSITIVITY,
)
from .document import Checks, Code, Document, Grid, Heading, Part, Plot, Section, Words

if TYPE_CHECKING:
    from ..analysis import Analysis


def document(analysis: Analysis) -> Document:
    """Return the report on an analysis."""
    checks = analysis.checks
    failed = checks[checks["verdict"] == "problem"]
    verdict = [text for text in analysis.verdict if not text.startswith("Take care")]
    made = (
        _design(analysis),
        _estimates(analysis),
        _bias(analysis),
        _agreement(analysis),
        _intercepts(analysis),
        _assumptions(analysis),
        _convergence(analysis),
        _predictive(analysis),
        _sensitivity(analysis),
        _decision(analysis),
        _appendix(analysis),
    )
    return Document(
        title=analysis.spec.title,
        question=analysis.spec.question,
        decision=verdict[0],
        troubles=tuple(
            f"{_capital(row.check)}: {row.figure}. {_sentence(row.advice)}"
            for row in failed.itertuples()
        ),
        sentences=tuple(verdict[1:]),
        effects=headline(analysis),
        lights=analysis.lights,
        facts=facts(analysis),
        sections=tuple(section for section in made if section is not None),
    )


def headline(analysis: Analysis) -> Grid:
    """Return direct, spillover and rollout effect with their intervals."""
    table = analysis.comparison.estimands
    wanted = [*analysis.comparison.effects, "full rollout"]
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


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    return _capital(text) + ("." if text else "")


def _checks(analysis: Analysis, about: str) -> tuple[list[Part], str]:
    """Return the checks on one subject, and the worst verdict."""
    rows = analysis.checks[analysis.checks["about"] == about]
    if rows.empty:
        return [], ""
    light = analysis.lights.set_index("about")
    return [Checks(rows)], str(light.loc[about, "verdict"])


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
            "Who can reach whom. The direct effect compares treated users with users whom nothing "
            "reaches; spillover compares exposed control users with the same.",
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
    data, verdict = _checks(analysis, "data")
    return Section("design", "The design", (*parts, *data), verdict)


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
    _, verdict = _checks(analysis, "agreement")
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


def _assumptions(analysis: Analysis) -> Section:
    exp = analysis.experiment
    levels = analysis.cluster_levels
    shown: dict[str, list[Part]] = {name: [] for name in ASSUMPTIONS}
    if (found := analysis.balance) is not None:
        shown[ASSIGNMENT] += [
            Plot(
                "balance",
                lambda: assumption_plots.balance(found),
                "Standardised differences between the arms of every covariate; the table below has "
                "them.",
                "Differences of the arms' means of cluster means, in standard deviations.",
            ),
            Grid(
                "balance",
                found.table,
                BALANCE,
                f"Covariates by arm; omnibus p = {number(found.p_value)}, from {found.draws:,} "
                "assignments by the design",
            ),
        ]
    if exp.exposure is not None:
        exposure = exp.exposure
        ties = {"source": "from", "target": "to", "ties": "ties", "users": "users reached"}
        shown[INTERFERENCE] += [
            Plot(
                "positivity",
                lambda: exposure.positivity.plot(),
                "Probability of spillover by number of collaborators outside the own cluster, and "
                "the share of untreated users who are exposed.",
                "Dots with range: probability under the design. Crosses: what was observed.",
            ),
            Grid(
                "contamination",
                exposure.positivity.contamination.head(10),
                ties,
                "Which treated clusters reach which control clusters most: the first ten",
            ),
        ]
    shown[SUTVA].append(
        Plot(
            "spread",
            lambda: assumption_plots.spread(levels),
            f"Intercepts of both arms about their means: SD {number(levels.sd_treated)} treated, "
            f"{number(levels.sd_control)} control.",
            "Wider scatter of one arm says that treatment (or its absence) is not one thing.",
        )
    )
    shown[EXCHANGEABILITY].append(
        Plot(
            "normality",
            lambda: assumption_plots.normality(levels),
            "Intercepts against normal quantiles, near the line where they are alike; and against "
            f"cluster size, rank correlation {levels.size_correlation:+.2f}.",
            "Left: points on the line are like draws from one normal distribution. Right: no trend "
            "where size says nothing of the level.",
        )
    )
    effects = analysis.comparison.effects
    shown[CLUSTERS].append(
        Plot(
            "influence",
            lambda: assumption_plots.influence(exp, effects),
            "Estimate of each effect without each cluster, against the cluster's share of what "
            "identifies it; the checks name the most influential.",
            "A dot a cluster: how far right says how much rests on it, how far from the others "
            "what leaving it out would change.",
        )
    )
    parts: list[Part] = []
    for name, statement in ASSUMPTIONS.items():
        checks, verdict = _checks(analysis, name)
        title = _capital(name)
        parts += [Heading(title, verdict), Words((statement,)), *checks, *shown[name]]
    return Section("assumptions", "The five assumptions", tuple(parts))


def _convergence(analysis: Analysis) -> Section:
    table = convergence(analysis.posterior)
    posterior = analysis.posterior
    checks, verdict = _checks(analysis, "sampler")
    sampled = "energy" in posterior["sample_stats"].to_dataset()
    parts: list[Part] = [
        Words(
            (
                f"{table.attrs['n_chains']} chains of {table.attrs['n_draws']:,} draws; "
                f"{table.attrs['n_divergences']:,} divergent transitions.",
            )
        ),
        *checks,
        Grid("convergence", table, CONVERGENCE, "Sampler diagnostics by parameter"),
        Plot(
            "ranks",
            lambda: posterior_plots.ranks(posterior),
            "Rank plots of every parameter by chain; the R-hat column of the table above "
            "summarises them.",
            "Fractional ranks by chain, as the difference between observed and expected cumulative "
            "distribution: chains that agree stay near zero, and points that do not are marked.",
        ),
        Plot(
            "evolution",
            lambda: posterior_plots.evolution(posterior),
            "Effective sample size of every parameter as draws accumulate; the table above has the "
            "last of each.",
            "Bulk and tail ESS grow in proportion to the draws where the chains explore well.",
        ),
    ]
    if sampled:
        parts.append(
            Plot(
                "energy",
                lambda: posterior_plots.energy(posterior),
                "Distributions of the marginal energy and of the energy transitions; they overlap "
                "where the sampler explores freely.",
                "The closer the two distributions, the better the sampler moves between the tails "
                "and the centre.",
            )
        )
    return Section("convergence", "Convergence", tuple(parts), verdict)


def _predictive(analysis: Analysis) -> Section:
    found = analysis.predictive
    _, verdict = _checks(analysis, "model")
    return Section(
        "predictive",
        "Could the model have made these data?",
        (
            Plot(
                "predictive",
                found.plot,
                "Predicted distribution of each statistic with the observed value; the table below "
                "has them.",
                "Blue: what the fitted model expects of new data from the same design. Orange: "
                "what was observed.",
            ),
            Grid("predictive", found.to_dataframe(), PREDICTIVE, "Posterior predictive checks"),
            Plot(
                "pareto",
                analysis.loo.plot,
                "Pareto k of every cluster; the checks name the largest.",
                "Leave one cluster out: a k above the line says that this cluster alone moves the "
                "posterior.",
            ),
        ),
        verdict,
    )


def _sensitivity(analysis: Analysis) -> Section:
    found = analysis.prior_sensitivity
    return Section(
        "sensitivity",
        "Do the priors matter?",
        (
            Plot(
                "priors",
                found.plot,
                "Each effect's mean and interval under each set of priors; the table has them.",
                "Shaded: the interval under the declared priors.",
            ),
            Grid("priors", found.to_dataframe(), SENSITIVITY, "Refits under other priors"),
            Grid(
                "power",
                analysis.power_scaling.to_dataframe(),
                POWER,
                "Power scaling: how far the posterior moves with the weight of prior and data",
            ),
        ),
        found.verdict,
    )


def _decision(analysis: Analysis) -> Section:
    decision, rollout = analysis.decision, analysis.rollout
    table = rollout.to_dataframe()
    assumptions = table.drop_duplicates("assumption")
    return Section(
        "decision",
        "Decision and rollout",
        (
            Words(tuple(_sentence(text) for text in decision.verdict)),
            Grid(
                "decision",
                decision.to_dataframe(),
                DECISION,
                "Expected losses per user, in the outcome's unit",
            ),
            Plot(
                "rollout",
                rollout.plot,
                "Change per user against the share treated, under each assumption on exposure; the "
                "table below has the numbers.",
                "Dotted: the experiment's own share. Beyond it the curves are extrapolations.",
            ),
            Grid("rollout", table, ROLLOUT, "Projected change per user"),
            Words(
                tuple(
                    f"{_sentence(row.assumption)} {_sentence(row.words)}"
                    for row in assumptions.itertuples()
                ),
                soft=True,
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
    if exp.exposure is not None and exp.exposure.graph is not None:
        counts = exp.exposure.graph.to_dataframe()
        columns = {"what": "edges", "count": "count"}
        parts.append(Grid("edges", counts, columns, "What became of the edges"))
    parts += [
        Code("Specification, as TOML", spec.to_toml(), f"SHA-256 {spec.hash}"),
        Code("Code that reproduces this page", words.reproduce(analysis)),
        Words((f"Seed {analysis.posterior.attrs['seed']}. Made with {provenance}.",), soft=True),
    ]
    return Section("appendix", "Appendix: data and specification", tuple(parts))
