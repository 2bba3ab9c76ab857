"""The report's own share of the time from `analyze` to the page."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import matplotlib as mpl

import bayescluster as bc
from bayescluster.report.document import document
from bayescluster.report.document_parts import Plot
from bayescluster.report.html_page import svg

from .tables import Section, figure, times

#: Seconds that the page may take.
LIMIT = 10.0


def run(quick: bool = False) -> Section:
    """Time the tutorial's analysis, its page in three formats, and the slowest figures."""
    mpl.use("Agg")
    start = time.perf_counter()
    analysis = bc.analyze(bc.load_tutorial(), bc.tutorial_spec(), progressbar=False)
    analysed = time.perf_counter() - start
    rows = [["bc.analyze, a new process", figure(analysed), "1 x"]]
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("html", "md", "json"):
            path = Path(folder) / f"report.{kind}"
            start = time.perf_counter()
            analysis.report(path)
            taken[kind] = time.perf_counter() - start
            size = f"{path.stat().st_size / 1e6:.1f} MB"
            rows.append(
                [f"report(.{kind}), {size}", figure(taken[kind]), times(taken[kind] / analysed)]
            )
    plots = {}
    for section in document(analysis).sections:
        for part in section.parts:
            if isinstance(part, Plot):
                start = time.perf_counter()
                svg(part.draw)
                plots[part.key] = time.perf_counter() - start
    slowest = sorted(plots, key=lambda name: -plots[name])[: 3 if quick else 5]
    rows += [[f"of which the figure {key!r}", figure(plots[key]), ""] for key in slowest]
    late = taken["html"] > LIMIT
    return Section(
        "Report",
        "Seconds from data to page: the tutorial's 50,000 users.",
        ("what", "seconds", "against the analysis"),
        rows,
        ["The first page of a process also imports matplotlib and ArviZ's plots."],
        [f"the page took {taken['html']:.1f} s, more than {LIMIT:g}"] if late else [],
    )
