"""The answer in plain words; every number in them is read off the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._support.display import number, percent, probability
from .document_parts import Checks, Part

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis


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
    if analysis.spec.outcome.family == "lognormal":
        sentences.append(
            "Effects and threshold are differences of the mean logarithm of the outcome (0.01 is "
            "about 1%); the table of estimands has them in the outcome's unit too."
        )
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
        f"The {name.replace('_', ' ')} effect is {number(row['mean'])}, "
        f"{percent(row['ci_prob'])} credible interval {low} to {high}: {row['definition']}."
    )


def _estimand(analysis: Analysis, name: str) -> pd.Series:
    table = analysis.comparison.estimands
    return table[table["estimand"] == name].iloc[0]


def reproduce(analysis: Analysis) -> str:
    """Return code that makes the same report from the same data."""
    exp, attrs = analysis.experiment, analysis.posterior.attrs
    sizes = analysis.posterior["posterior"].sizes
    bootstraps = len(analysis.comparison.bootstrap.draws)
    if exp.has_units:
        made, data = "Experiment(data, spec", '"users.parquet"'
    else:
        made, data = "Experiment.from_moments(data, spec", "..."
    edges = "edges.parquet" if exp.exposure is not None else ""
    if "sampling" in attrs:  # drawn by integration, not by the sampler
        graph = f'data = bc.expose("{edges}", data, spec)\n' if edges else ""
        steps = f"""{graph}exp = bc.{made})
posterior = bc.fit_exact(exp, draws={sizes["draw"] * sizes["chain"]}, seed={attrs["seed"]})
comparison = bc.compare(
    exp, posterior, bootstrap_draws={bootstraps}, seed={attrs["seed"]}
)
analysis = bc.Analysis(exp, comparison, bc.diagnose(comparison))"""
    else:
        graph = f'\n    edges="{edges}",' if edges else ""
        steps = f"""analysis = bc.analyze(
    data,
    spec,{graph}
    bootstrap_draws={bootstraps},
    draws={sizes["draw"]},
    tune={attrs.get("tune", 1_000)},
    chains={sizes["chain"]},
    seed={attrs["seed"]},
)"""
    return f'''import bayescluster as bc

spec = bc.load_spec("spec.toml")  # the specification above
assert spec.hash == "{analysis.spec.hash}"
data = {data}  # the {"data" if exp.has_units else "moments"} with fingerprint {exp.fingerprint}
{steps}
assert analysis.experiment.fingerprint == "{exp.fingerprint}"
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
