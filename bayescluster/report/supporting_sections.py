"""Sections on what the answer rests on: assumptions, sampler, model, priors, decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._support.display import number
from ..bayes.convergence import convergence
from ..checks.five_assumptions import (
    ASSIGNMENT,
    ASSUMPTIONS,
    CLUSTERS,
    EXCHANGEABILITY,
    INTERFERENCE,
    SUTVA,
)
from ..exposure.expose import exposure_of
from ..figures import assumptions as assumption_plots
from ..figures import posterior as posterior_plots
from .document_parts import (
    Grid,
    Heading,
    Part,
    Plot,
    Section,
    Words,
)
from .sentences import capital, checks_on, sentence
from .table_headings import (
    BALANCE,
    CONVERGENCE,
    DECISION,
    POWER,
    PREDICTIVE,
    ROLLOUT,
    SENSITIVITY,
)

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis


def assumptions_section(analysis: Analysis) -> Section:
    """Return the section on the five assumptions."""
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
        exposure = exposure_of(exp)
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
    elif exp.has_spillover:
        shown[INTERFERENCE].append(
            Plot(
                "reached",
                lambda: assumption_plots.reached(exp),
                "Mean outcome of every cluster against the mean exposure of its users, treated and "
                "control clusters in two colours; the spillover estimate is in the checks above.",
                "A dot a cluster. Spillover as modelled lifts control clusters in proportion to "
                "their exposure; what else reaches them does not show here.",
            )
        )
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
        checks, verdict = checks_on(analysis, name)
        title = capital(name)
        parts += [Heading(title, verdict), Words((statement,)), *checks, *shown[name]]
    return Section("assumptions", "The five assumptions", tuple(parts))


def convergence_section(analysis: Analysis) -> Section:
    """Return the section on the sampler."""
    table = convergence(analysis.posterior)
    posterior = analysis.posterior
    checks, verdict = checks_on(analysis, "sampler")
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


def predictive_section(analysis: Analysis) -> Section:
    """Return the section on what the model expects."""
    found = analysis.predictive
    _, verdict = checks_on(analysis, "model")
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


def sensitivity_section(analysis: Analysis) -> Section:
    """Return the section on the priors."""
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


def decision_section(analysis: Analysis) -> Section:
    """Return the section on acting and rolling out."""
    decision, rollout = analysis.decision, analysis.rollout
    logs = analysis.spec.outcome.family == "lognormal"
    table = rollout.to_dataframe()
    assumptions = table.drop_duplicates("assumption")
    return Section(
        "decision",
        "Decision and rollout",
        (
            Words(tuple(sentence(text) for text in decision.verdict)),
            Grid(
                "decision",
                decision.to_dataframe(),
                DECISION,
                "Expected losses per user, "
                + ("on the log scale" if logs else "in the outcome's unit"),
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
                    f"{sentence(row.assumption)} {sentence(row.words)}"
                    for row in assumptions.itertuples()
                ),
                soft=True,
            ),
        ),
    )
