"""The first screen: the decision, the effects, the verdicts, and the answer in plain words.

Every number in the text comes from the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._support.check_record import Verdict
from .._support.display import OutcomeUnit, capital, percent, rounded, sentence
from ..answers.estimands import FULL_ROLLOUT, FULL_ROLLOUT_WITH_EXPOSURE
from ..answers.rollout import MeanExposure
from ..decisions.decision_rule import State
from ..spec.model_spec import ModelSpec
from .document_parts import Card, Document, Grid
from .table_headings import ESTIMANDS

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis


def first_screen(analysis: Analysis) -> Document:
    """Return the report without its sections, some of which refit the model."""
    failed = analysis.checks[analysis.checks["verdict"] == Verdict.PROBLEM]
    usable = not _unusable(analysis)
    return Document(
        title=analysis.spec.title,
        question=analysis.spec.question,
        decision=decision(analysis),
        troubles=tuple(f"{capital(row.check)}: {row.value}" for row in failed.itertuples()),
        sentences=tuple(answer(analysis)),
        effects=headline(analysis),
        cards=tuple(cards(analysis)) if usable else (),
        cross_check=_cross_check(analysis) if usable else "",
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


def cards(analysis: Analysis) -> Iterator[Card]:
    """Yield the effects as the first screen shows them."""
    unit = analysis.spec.unit
    for row in headline(analysis).frame.itertuples():
        lift = _lift(analysis, row.estimand)
        yield Card(
            row.estimand.replace("_", " "),
            unit.difference(row.mean, row.sd),
            unit.interval(row.ci_lower, row.ci_upper, row.sd),
            "" if lift is None else f"{lift[0]} ({lift[1]})",
        )


def _lift(analysis: Analysis, effect: str) -> tuple[str, str] | None:
    """Return an effect relative to the baseline, and its interval; None if there is no lift."""
    found = analysis.comparison.lift
    if found is None or effect not in found.table["effect"].to_numpy():
        return None
    row = found.of(effect)
    if np.isnan(row["lift"]):
        return None
    error = 100 * (row["ci_upper"] - row["ci_lower"]) / 4
    middle, low, high = (
        f"{'+' if row[name] > 0 else ''}{rounded(100 * row[name], error)}%"
        for name in ("lift", "ci_lower", "ci_upper")
    )
    return middle, f"{low} to {high}"


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
        share = MeanExposure.of(exp).untreated
        found["mean exposure of untreated units"] = f"{share:.1%}"
    if (lift := analysis.comparison.lift) is not None:
        row = lift.of("direct")
        error = (row["baseline_upper"] - row["baseline_lower"]) / 4
        found["mean had nobody been treated"] = _levels(spec).level(row["baseline"], error)
    if spec.outcome.missing == "drop":
        found["rows dropped (missing values)"] = f"{exp.n_dropped:,}"
    return found


def decision(analysis: Analysis) -> str:
    """Return one sentence on the direct effect: the decision, and what stands against it."""
    return analysis.decision.headline


def _unusable(analysis: Analysis) -> bool:
    """Return whether no number may be read as an answer."""
    return analysis.decision.state == State.NOT_USABLE


def answer(analysis: Analysis) -> list[str]:
    """Return sentences on the effects, the naive analysis's error and the methods' agreement.

    None if the sampler failed, or the effect is not identified.
    """
    comparison = analysis.comparison
    if _unusable(analysis):
        return []
    sentences = []
    if analysis.spec.family.log_outcome:
        sentences.append(
            "Effects and threshold are differences of the mean logarithm of the outcome (0.01 is "
            "about 1%); the table of estimands also has them in the outcome's unit."
        )
    sentences += [_effect(analysis, name) for name in comparison.effects]
    if note := _no_percentage(analysis):
        sentences.append(note)
    if analysis.experiment.has_spillover:
        sentences.append(str(comparison.bias))
    sentences += comparison.agreement["conclusion"].tolist()
    sentences.append(_cross_check(analysis))
    return sentences


def _no_percentage(analysis: Analysis) -> str:
    """Return why there is no percentage; empty if there is one."""
    found = analysis.comparison.lift
    note = "" if found is None else str(found.of("direct")["note"])
    return sentence(note)


def _cross_check(analysis: Analysis) -> str:
    """Return the recommended interval of every effect, in one sentence."""
    level, unit = percent(analysis.spec.report.ci_prob), analysis.spec.unit
    found = "; ".join(
        f"{effect.replace('_', ' ')} {unit.difference(row['estimate'], row['std_error'])}, "
        f"{unit.interval(row['ci_lower'], row['ci_upper'], row['std_error'])} ({row['method']})"
        for effect, row in analysis.comparison.cross_checks.items()
    )
    return f"Cross-check, with {level} intervals: {found}."


def conclusions(analysis: Analysis) -> list[str]:
    """Return the decision, the answer and the failed checks, as sentences."""
    failed = analysis.checks[analysis.checks["verdict"] == Verdict.PROBLEM]
    return [
        decision(analysis),
        *answer(analysis),
        *(f"Problem with {row.check}: {row.value}; {row.advice}." for row in failed.itertuples()),
    ]


def _levels(spec: ModelSpec) -> OutcomeUnit:
    """Return how levels of the outcome are written, also where effects are of logarithms."""
    return OutcomeUnit(spec.outcome.unit or "", spec.unit.percent)


def _effect(analysis: Analysis, name: str) -> str:
    row, unit = _estimand(analysis, name), analysis.spec.unit
    averaged = f", averaged over {row['average']}s," if analysis.experiment.size_terms else ""
    lift = _lift(analysis, name)
    relative = "" if lift is None else f" ({lift[0]} of the baseline, {lift[1]})"
    return (
        f"The {name.replace('_', ' ')} effect{averaged} is "
        f"{unit.difference(row['mean'], row['sd'])}, {percent(row['ci_prob'])} credible interval "
        f"{unit.interval(row['ci_lower'], row['ci_upper'], row['sd'])}{relative}: "
        f"{row['definition']}."
    )


def _estimand(analysis: Analysis, name: str) -> pd.Series:
    table = analysis.comparison.named_estimands
    return table[table["estimand"] == name].iloc[0]
