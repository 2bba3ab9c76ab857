"""Sections on the sampler, the predictions of the model, and the priors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._support.check_record import Subject
from ..bayes.convergence_checks import convergence
from ..figures import posterior as posterior_plots
from .document_parts import Grid, Part, Plot, Section, Words, checks_on
from .table_headings import CONVERGENCE, POWER, PREDICTIVE, SENSITIVITY

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis


def convergence_section(analysis: Analysis) -> Section:
    """Return the section on the sampler."""
    table = convergence(analysis.posterior)
    posterior = analysis.posterior
    checks, verdict = checks_on(analysis, Subject.SAMPLER)
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
            "distribution. Chains that agree stay near zero; points that do not are marked.",
        ),
        Plot(
            "evolution",
            lambda: posterior_plots.evolution(posterior),
            "Effective sample size of every parameter as draws accumulate; the table above has the "
            "final values.",
            "Bulk and tail ESS grow in proportion to the draws if the chains explore well.",
        ),
    ]
    if sampled:
        parts.append(
            Plot(
                "energy",
                lambda: posterior_plots.energy(posterior),
                "Distributions of the marginal energy and of the energy transitions; they overlap "
                "if the sampler explores freely.",
                "The closer the two distributions, the better the sampler moves between the tails "
                "and the centre.",
            )
        )
    return Section("convergence", "Convergence", tuple(parts), verdict)


def predictive_section(analysis: Analysis) -> Section:
    """Return the section on posterior predictive checks and leave-one-out."""
    found = analysis.predictive
    _, verdict = checks_on(analysis, Subject.MODEL)
    return Section(
        "predictive",
        "Could the model have made these data?",
        (
            Plot(
                "predictive",
                found.plot,
                "Predicted distribution of each statistic with the observed value; the table below "
                "has the numbers.",
                "Blue: predictions of the fitted model for new data from the same design. Orange: "
                "observed value.",
            ),
            Grid("predictive", found.to_dataframe(), PREDICTIVE, "Posterior predictive checks"),
            Plot(
                "pareto",
                analysis.loo.plot,
                "Pareto k of every cluster; the checks name the largest.",
                "Leave one cluster out: a k above the line means that this cluster alone changes "
                "the posterior.",
            ),
        ),
        verdict,
    )


def sensitivity_section(analysis: Analysis) -> Section:
    """Return the section on sensitivity to the priors."""
    found = analysis.prior_sensitivity
    return Section(
        "sensitivity",
        "Do the priors matter?",
        (
            Plot(
                "priors",
                found.plot,
                "Each effect's mean and interval under each set of priors, as in the table.",
                "Shaded: the interval under the declared priors.",
            ),
            Grid("priors", found.to_dataframe(), SENSITIVITY, "Refits under other priors"),
            Grid(
                "power",
                analysis.power_scaling.to_dataframe(),
                POWER,
                "Power scaling: how much the posterior changes with the weight of prior and data",
            ),
        ),
        found.verdict,
    )
