"""The first screen: the decision, the effects, the verdicts, and the answer in plain words.

Every number in the text comes from the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._support.check_record import Verdict
from .._support.display import capital, number, percent, sentence
from ..answers.estimands import FULL_ROLLOUT, FULL_ROLLOUT_WITH_EXPOSURE
from .document_parts import Document, Grid
from .table_headings import ESTIMANDS

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis


def first_screen(analysis: Analysis) -> Document:
    """Return the report without its sections, some of which refit the model."""
    failed = analysis.checks[analysis.checks["verdict"] == Verdict.PROBLEM]
    return Document(
        title=analysis.spec.title,
        question=analysis.spec.question,
        decision=decision(analysis),
        troubles=tuple(
            f"{capital(row.check)}: {row.value}. {sentence(row.advice)}"
            for row in failed.itertuples()
        ),
        sentences=tuple(answer(analysis)),
        effects=headline(analysis),
        lights=analysis.lights,
        facts=facts(analysis),
    )


def headline(analysis: Analysis) -> Grid:
    """Return direct, spillover and rollout effects with their intervals."""
    table = analysis.comparison.named_estimands
    rollouts = [FULL_ROLLOUT.label, FULL_ROLLOUT_WITH_EXPOSURE.label]
    wanted = [*analysis.comparison.effects, *rollouts]
    rows = table[table["estimand"].isin(wanted)]
    level = percent(analysis.spec.report.ci_prob)
    return Grid("effects", rows, ESTIMANDS, f"The effects, with {level} credible intervals")


def facts(analysis: Analysis) -> dict[str, str]:
    """Return facts about the data, by name."""
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


def decision(analysis: Analysis) -> str:
    """Return one sentence on the direct effect: the decision, and what stands against it."""
    return analysis.decision.headline


def answer(analysis: Analysis) -> list[str]:
    """Return sentences on the effects, the naive analysis's error and the methods' agreement."""
    comparison = analysis.comparison
    sentences = []
    if analysis.spec.family.log_outcome:
        sentences.append(
            "Effects and threshold are differences of the mean logarithm of the outcome (0.01 is "
            "about 1%); the table of estimands also has them in the outcome's unit."
        )
    sentences += [_effect(name, _estimand(analysis, name)) for name in comparison.effects]
    if analysis.experiment.has_spillover:
        sentences.append(str(comparison.bias))
    sentences += comparison.agreement["conclusion"].tolist()
    sentences.append(f"Cross-check, to read first besides the posterior: {_read_first(analysis)}.")
    return sentences


def _read_first(analysis: Analysis) -> str:
    """Return the recommended interval of every effect."""
    level = percent(analysis.spec.report.ci_prob)
    return "; ".join(
        f"{effect.replace('_', ' ')}, {row['method']}, {number(row['estimate'])}, {level} interval "
        f"{number(row['ci_lower'])} to {number(row['ci_upper'])}"
        for effect, row in analysis.comparison.cross_checks.items()
    )


def conclusions(analysis: Analysis) -> list[str]:
    """Return the decision, the answer and the failed checks, as sentences."""
    failed = analysis.checks[analysis.checks["verdict"] == Verdict.PROBLEM]
    return [
        decision(analysis),
        *answer(analysis),
        *(f"Problem with {row.check}: {row.value}; {row.advice}." for row in failed.itertuples()),
    ]


def _effect(name: str, row: pd.Series) -> str:
    low, high = number(row["ci_lower"]), number(row["ci_upper"])
    return (
        f"The {name.replace('_', ' ')} effect is {number(row['mean'])}, "
        f"{percent(row['ci_prob'])} credible interval {low} to {high}: {row['definition']}."
    )


def _estimand(analysis: Analysis, name: str) -> pd.Series:
    table = analysis.comparison.named_estimands
    return table[table["estimand"] == name].iloc[0]
