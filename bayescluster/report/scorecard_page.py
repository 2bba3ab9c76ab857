"""The report on several metrics of an experiment: the scorecard, then each metric."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .._support.display import percent
from ..analysis.analysis import Analysis
from ..checks.check_registry import diagnose
from .document import document
from .document_parts import Document, Grid, Plot, Section
from .html_page import page
from .json_results import records
from .markdown_page import document_to_markdown
from .report_files import write_by_suffix
from .table_headings import SCORECARD

if TYPE_CHECKING:
    from ..analysis.scorecard import Scorecard

#: Sections of each metric; the shared design is shown with the first.
SECTIONS = ("estimates", "agreement", "assumptions", "convergence", "decision", "appendix")


def write_scorecard(card: Scorecard, path: Path, bootstrap_draws: int, seed: int) -> Path:
    """Write the scorecard; the file appears only once it is complete.

    Raises
    ------
    ValueError
        If the suffix is none of .html, .md and .json.
    OSError
        If the file cannot be written.
    """
    return write_by_suffix(
        path,
        {
            ".html": lambda: _html(card, bootstrap_draws, seed),
            ".md": lambda: document_to_markdown(overview(card, {})),
            ".json": lambda: _json(card),
        },
    )


def _html(card: Scorecard, bootstrap_draws: int, seed: int) -> str:
    documents, titles = [], _titles(card)
    for i, (metric, exp) in enumerate(card.experiments.items()):
        comparison = card.compare(metric, bootstrap_draws=bootstrap_draws, seed=seed)
        analysis = Analysis(exp, comparison, diagnose(comparison))
        whole = document(analysis)
        shown = ("design", *SECTIONS) if i == 0 else SECTIONS
        kept = tuple(section for section in whole.sections if section.key in shown)
        documents.append(replace(whole, title=titles[metric], sections=kept))
    first = overview(card, {doc.title: doc.troubles for doc in documents})
    documents.insert(0, first)
    level = next(iter(card.experiments.values())).spec.report.ci_prob
    return page(documents, percent(level), title=f"Scorecard of {len(card.experiments):,} metrics")


def _titles(card: Scorecard) -> dict[str, str]:
    """Return the title of each metric; its name is added where two have the same title."""
    titles = dict(zip(card.table["metric"], card.table["title"], strict=True))
    shared = [title for title in titles.values() if list(titles.values()).count(title) > 1]
    return {
        name: f"{title} ({name})" if title in shared else title for name, title in titles.items()
    }


def _json(card: Scorecard) -> str:
    found = {
        "false_discovery_rate": card.false_discovery_rate,
        "metrics": records(card.table),
        "unusable": dict(card.unusable),
    }
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)


def overview(card: Scorecard, troubles: Mapping[str, tuple[str, ...]]) -> Document:
    """Return the first part: a table of all metrics, and their failed checks.

    A failed check that is the same for every metric is listed once.
    """
    metrics: dict[str, list[str]] = {}
    for metric, texts in troubles.items():
        for text in texts:
            metrics.setdefault(text, []).append(metric)
    shared = [text for text, names in metrics.items() if len(names) == len(troubles)]
    own = [f"{', '.join(names)}: {text}" for text, names in metrics.items() if text not in shared]
    table = card.table
    found = int(table["discovery"].sum())
    rate = percent(card.false_discovery_rate)
    names = [
        f"{row.effect} effect on {row.title}" for row in table[table["discovery"]].itertuples()
    ]
    goals = int((table["role"] == "goal").sum())
    guardrails = table[table["reading"].str.startswith("guardrail")]
    harmed = guardrails[guardrails["reading"] == "guardrail harmed"]
    watched = (
        f" {len(harmed):,} of {len(guardrails):,} guardrail effects harmed"
        + (f": {', '.join(harmed['title'])}" if len(harmed) else "")
        + "."
        if len(guardrails)
        else ""
    )
    return Document(
        title="All metrics",
        question="",
        decision=(
            f"{found:,} of {goals:,} effects on goals are discoveries at a false discovery rate of "
            f"{rate}"
            + (f": {', '.join(names[:6])}" + ", ..." * (found > 6) if found else "")
            + f".{watched}"
        ),
        troubles=(
            *(f"Not usable: {reason}" for reason in card.unusable.values()),
            *shared,
            *own,
        ),
        sentences=(
            "Each metric is estimated on its own, without shrinkage towards the others. The false "
            "discovery rate is controlled over all effects on goals, by Benjamini and Hochberg on "
            "the CR2 p-values; a discovery's posterior interval excludes zero too. Each posterior "
            "probability refers to one metric.",
        ),
        effects=None,
        lights=None,
        facts={},
        sections=(
            Section(
                "scorecard",
                "Every metric and effect",
                (
                    Grid("scorecard", table, SCORECARD, "Posterior and CR2 of every metric"),
                    Plot(
                        "scorecard",
                        card.plot,
                        "Every metric's effects with their credible intervals, in standard "
                        "deviations of the metric; the table below has the numbers.",
                        "Filled markers: discoveries.",
                    ),
                ),
                open=True,
            ),
        ),
    )
