"""The report as Markdown for a pull request: text and tables, without plots."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._support.check_record import Verdict
from .._support.table_entries import rows
from .document import document
from .document_parts import MARKS, Checks, Code, Document, Grid, Heading, Part, Section, Words

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis.analysis import Analysis


def to_markdown(analysis: Analysis) -> str:
    """Return the report as GitHub-flavoured Markdown; text from the data is escaped."""
    return document_to_markdown(document(analysis))


def document_to_markdown(page: Document) -> str:
    """Return a document as GitHub-flavoured Markdown."""
    lines = [f"# {escaped(page.title)}", "", escaped(page.question), ""]
    for trouble in page.troubles:
        lines += [f"> **{MARKS[Verdict.PROBLEM]}** {escaped(trouble)}", ">"]
    lines += ["", f"**{escaped(page.decision)}**", ""]
    lines += [f"- {escaped(text)}" for text in page.sentences] + [""]
    if page.effects is not None:
        lines += _grid(page.effects)
    if page.lights is not None:
        lines += ["", *_lights(page.lights)]
    lines += ["", "; ".join(f"{name}: {escaped(value)}" for name, value in page.facts.items()), ""]
    for section in page.sections:
        lines += _section(section)
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"## {escaped(section.title)}", ""]
    for part in section.parts:
        lines += [*_part(part), ""]
    return lines


def _part(part: Part) -> list[str]:
    if isinstance(part, Heading):
        mark = f" {MARKS[part.verdict]}" if part.verdict else ""
        return [f"### {escaped(part.text)}{mark}"]
    if isinstance(part, Words):
        return [line for text in part.paragraphs for line in (escaped(text), "")][:-1]
    if isinstance(part, Grid):
        return _grid(part)
    if isinstance(part, Checks):
        return [
            f"- {MARKS[row.verdict]} **{escaped(row.check)}**: {escaped(row.value)}"
            + (f" ({escaped(row.advice)})" if row.advice else "")
            for row in part.frame.itertuples()
        ]
    if isinstance(part, Code):
        longest = max((len(run) for run in re.findall("`+", part.text)), default=0)
        fence = "`" * max(3, longest + 1)
        return [f"{part.summary}. {part.words}".rstrip(), "", fence, part.text.rstrip(), fence]
    return []


def _grid(grid: Grid) -> list[str]:
    frame = grid.shown
    if frame.empty:
        return [f"*{escaped(grid.caption)}*: nothing to show"]
    head = "| " + " | ".join(escaped(grid.headings[str(name)]) for name in frame) + " |"
    body = [
        "| " + " | ".join(escaped(text) for text, _ in row) + " |"
        for row in rows(grid.frame, frame)
    ]
    numeric = [value is not None for _, value in next(rows(grid.frame, frame))]
    rule = "| " + " | ".join("--:" if right else "---" for right in numeric) + " |"
    return [f"*{escaped(grid.caption)}*", "", head, rule, *body]


def _lights(lights: pd.DataFrame) -> list[str]:
    return [
        f"- {MARKS[row.verdict]} **{row.about}**: {escaped(row.worst)}"
        for row in lights.itertuples()
    ]


def escaped(text: str) -> str:
    """Return text with Markdown, HTML and user mentions escaped."""
    text = re.sub(r"([\\`*_\[\]|<>#~$])", r"\\\1", text.replace("&", "&amp;"))
    text = text.replace("@", "@<!-- -->")
    return " ".join(text.split())
