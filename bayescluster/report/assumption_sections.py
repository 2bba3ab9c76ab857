"""The section on the five assumptions: statement, checks and plots of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._support.check_record import Subject, Verdict, worst
from .._support.display import capital, number
from ..checks.five_assumptions import ASSUMPTIONS
from ..exposure.expose import exposure_of
from ..figures import assumptions as assumption_plots
from ..figures import experiment as experiment_plots
from .document_parts import Grid, Heading, Part, Plot, Section, Words, checks_on
from .table_headings import BALANCE

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis


def assumptions_section(analysis: Analysis) -> Section:
    """Return the section on the five assumptions."""
    parts: list[Part] = []
    verdicts = []
    for about, statement in ASSUMPTIONS.items():
        checks, verdict = checks_on(analysis, about)
        parts += [Heading(capital(about), verdict), Words((statement,)), *checks]
        parts += EVIDENCE[about](analysis)
        verdicts.append(verdict or Verdict.OK)
    return Section("assumptions", "The five assumptions", tuple(parts), worst(verdicts))


def _assignment(analysis: Analysis) -> list[Part]:
    found = analysis.balance
    if found is None:
        return []
    return [
        Plot(
            "balance",
            found.plot,
            "Standardised difference between the arms for every covariate; the table below has "
            "the values.",
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


def _interference(analysis: Analysis) -> list[Part]:
    exp = analysis.experiment
    if exp.exposure is not None:
        positivity = exposure_of(exp).positivity
        ties = {"source": "from", "target": "to", "ties": "ties", "users": "users reached"}
        return [
            Plot(
                "positivity",
                positivity.plot,
                "Probability of spillover by number of collaborators in other clusters, and "
                "the share of untreated users who are exposed.",
                "Dots with range: probability under the design. Crosses: observed share.",
            ),
            Grid(
                "contamination",
                positivity.contamination.head(10),
                ties,
                "Treated clusters with the most ties to a control cluster: the first ten",
            ),
        ]
    if not exp.has_spillover:
        return []
    return [
        Plot(
            "reached",
            lambda: experiment_plots.reached(exp),
            "Mean outcome of every cluster against the mean exposure of its users, treated and "
            "control clusters in two colours; the spillover estimate is in the checks above.",
            "Each dot is one cluster. Modelled spillover shifts control clusters in proportion to "
            "their exposure; other interference is not visible here.",
        )
    ]


def _sutva(analysis: Analysis) -> list[Part]:
    levels = analysis.cluster_levels
    return [
        Plot(
            "spread",
            lambda: assumption_plots.spread(levels),
            f"Intercepts of both arms around their means: SD {number(levels.sd_treated)} treated, "
            f"{number(levels.sd_control)} control.",
            "A wider spread in one arm suggests that treatment (or its absence) has versions.",
        )
    ]


def _exchangeability(analysis: Analysis) -> list[Part]:
    levels = analysis.cluster_levels
    return [
        Plot(
            "normality",
            lambda: assumption_plots.normality(levels),
            "Intercepts against normal quantiles, near the line if they are normal; and against "
            f"cluster size, rank correlation {levels.size_correlation:+.2f}.",
            "Left: draws from one normal distribution lie near the line. Right: there is no trend "
            "if level and size are unrelated.",
        )
    ]


def _clusters(analysis: Analysis) -> list[Part]:
    exp, effects = analysis.experiment, analysis.comparison.effects
    return [
        Plot(
            "influence",
            lambda: assumption_plots.influence(exp, effects),
            "Estimate of each effect without each cluster, against the cluster's share of the "
            "identifying variation; the checks name the most influential.",
            "Each dot is one cluster. Clusters further to the right identify more of the effect; "
            "those further from the others change the estimate more when left out.",
        )
    ]


#: Plots and tables for each assumption.
EVIDENCE: dict[Subject, Callable[[Analysis], list[Part]]] = {
    Subject.ASSIGNMENT: _assignment,
    Subject.INTERFERENCE: _interference,
    Subject.SUTVA: _sutva,
    Subject.EXCHANGEABILITY: _exchangeability,
    Subject.CLUSTERS: _clusters,
}
