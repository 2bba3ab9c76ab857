"""The report on several metrics of an experiment: the scorecard, then each metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .._support.atomic_files import write_whole
from .._support.display import percent
from ..analysis.analysis import Analysis
from ..checks.check_registry import diagnose
from .document import document
from .document_parts import Document, Grid, Plot, Section
from .html_page import page
from .table_headings import SCORECARD

if TYPE_CHECKING:
    from ..analysis.scorecard import Scorecard

#: Sections of each metric; the shared design is shown with the first.
SECTIONS = ("estimates", "agreement", "assumptions", "convergence", "decision", "appendix")


def write_scorecard(card: Scorecard, path: Path, bootstrap_draws: int, seed: int) -> Path:
    """Write the page; the file appears only once it is complete.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    documents = []
    for i, (metric, exp) in enumerate(card.experiments.items()):
        comparison = card.compare(metric, bootstrap_draws=bootstrap_draws, seed=seed)
        analysis = Analysis(exp, comparison, diagnose(comparison))
        whole = document(analysis)
        shown = ("design", *SECTIONS) if i == 0 else SECTIONS
        kept = tuple(section for section in whole.sections if section.key in shown)
        documents.append(replace(whole, title=metric, sections=kept))
    first = overview(card, {doc.title: doc.troubles for doc in documents})
    documents.insert(0, first)
    level = next(iter(card.experiments.values())).spec.report.ci_prob
    text = page(documents, percent(level), title=f"Scorecard of {len(card.experiments):,} metrics")
    return write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


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
        f"{row.effect} effect on {row.metric}" for row in table[table["discovery"]].itertuples()
    ]
    return Document(
        title="All metrics",
        question="",
        decision=(
            f"{found:,} of {len(table):,} effects stand out at a false discovery rate of {rate}"
            + (f": {', '.join(names[:6])}" + ", ..." * (found > 6) if found else "")
            + "."
        ),
        troubles=(*shared, *own),
        sentences=(
            "Each metric is estimated on its own, without shrinkage towards the others. The false "
            "discovery rate is controlled over all rows of the table, by Benjamini and Hochberg on "
            "the CR2 p-values; each posterior probability refers to one metric.",
        ),
        effects=None,
        lights=None,
        facts={},
        sections=(
            Section(
                "scorecard",
                "Every metric and effect",
                (
                    Plot(
                        "scorecard",
                        card.plot,
                        "Every metric's effects with their credible intervals, in standard "
                        "deviations of the metric; the table below has the numbers.",
                        "Filled markers: discoveries.",
                    ),
                    Grid("scorecard", table, SCORECARD, "Posterior and CR2 of every metric"),
                ),
            ),
        ),
    )
