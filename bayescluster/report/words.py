"""The answer in plain words; every number in them is read off the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._display import number, percent, probability
from .document import Checks, Part

if TYPE_CHECKING:
    from ..analysis import Analysis


def decision(analysis: Analysis) -> str:
    """Say in one sentence whether the direct effect clears the specification's threshold."""
    report = analysis.spec.report
    row = _estimand(analysis, "direct")
    above = row["prob_above_threshold"]
    side = "above" if report.direction == "increase" else "below"
    reached = above if report.direction == "increase" else 1 - above
    where = f"{report.threshold:g}" if report.threshold else "zero"
    chance = f"the probability that the direct effect is {side} {where} is {probability(reached)}"
    asked = percent(report.decision_prob)
    if report.rope is not None and row["prob_in_rope"] >= report.decision_prob:
        low, high = report.rope
        return (
            f"Practically no effect: the direct effect lies within {low:g} to {high:g} with "
            f"probability {probability(row['prob_in_rope'])}."
        )
    if reached >= report.decision_prob:
        return f"A clear case: {chance} (asked for: {asked})."
    if reached <= 1 - report.decision_prob:
        return f"A clear case against: {chance} (asked for: {asked})."
    return f"No clear case: {chance}, less than the {asked} asked for."


def verdict(analysis: Analysis) -> list[str]:
    """Say the answer, the spillover, the naive analysis's error and the agreement of methods."""
    sentences = [decision(analysis)]
    effects = analysis.comparison.agreement["term"]
    sentences += [_effect(name, _estimand(analysis, name)) for name in effects]
    if analysis.experiment.has_spillover:
        sentences.append(str(analysis.comparison.bias))
    sentences += analysis.comparison.agreement["verdict"].tolist()
    read = [f"{effect}, {how}" for effect, (how, _) in analysis.comparison.recommended.items()]
    sentences.append(
        f"Beside the posterior, the interval to read first: for {'; for '.join(read)}."
    )
    failed = analysis.checks[analysis.checks["verdict"] == "problem"]
    sentences += [
        f"Take care: {row.check} is {row.figure}; {row.advice}." for row in failed.itertuples()
    ]
    return sentences


def _effect(name: str, row: pd.Series) -> str:
    low, high = number(row["ci_lower"]), number(row["ci_upper"])
    return (
        f"The {name} effect is {number(row['mean'])}, {percent(row['ci_prob'])} credible interval "
        f"{low} to {high}: {row['definition']}."
    )


def _estimand(analysis: Analysis, name: str) -> pd.Series:
    table = analysis.comparison.estimands
    return table[table["estimand"] == name].iloc[0]


def reproduce(analysis: Analysis) -> str:
    """Return code that makes the same report from the same data."""
    spec, draws = analysis.spec, analysis.posterior.attrs
    sizes = analysis.posterior["posterior"].sizes
    edges = ', edges="edges.parquet"' if analysis.experiment.exposure is not None else ""
    return f'''import bayescluster as bc  # {draws.get("bayescluster_version", "the version below")}

spec = bc.load_spec("spec.toml")  # the specification above
assert spec.hash == "{spec.hash}"
analysis = bc.analyze(
    "users.parquet",  # the data with fingerprint {analysis.experiment.fingerprint}
    spec{edges},
    bootstrap_draws={len(analysis.comparison.bootstrap.draws)},
    draws={sizes["draw"]},
    chains={sizes["chain"]},
    seed={draws["seed"]},
)
assert analysis.experiment.fingerprint == "{analysis.experiment.fingerprint}"
analysis.report("report.html")
'''


def capital(text: str) -> str:
    """Begin a text with a capital letter."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Make a text a sentence."""
    return capital(text) + ("." if text else "")


def checks_on(analysis: Analysis, about: str) -> tuple[list[Part], str]:
    """Return the checks on one subject, and the worst verdict."""
    rows = analysis.checks[analysis.checks["about"] == about]
    if rows.empty:
        return [], ""
    light = analysis.lights.set_index("about")
    return [Checks(rows)], str(light.loc[about, "verdict"])
