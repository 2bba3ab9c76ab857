"""The section on decision and rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._support.display import sentence
from .document_parts import Grid, Plot, Section, Words
from .table_headings import DECISION, ROLLOUT

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis


def decision_section(analysis: Analysis) -> Section:
    """Return the section on decision and rollout."""
    decision, rollout = analysis.decision, analysis.rollout
    logs = analysis.spec.family.log_outcome
    table = rollout.to_dataframe()
    assumptions = table.drop_duplicates("assumption")
    return Section(
        "decision",
        "Decision and rollout",
        (
            Words(tuple(sentence(text) for text in decision.conclusions)),
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
                "Change per user against the treated share, under each assumption on exposure; the "
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
        open=True,
    )
