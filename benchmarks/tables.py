"""Results as Markdown: one section per benchmark, with the machine and versions at the top."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata

PACKAGES = ("bayescluster", "pymc", "nutpie", "pytensor", "numba", "bambi", "statsmodels", "pandas")


@dataclass(frozen=True)
class Section:
    """One benchmark's table, with the words around it; `failed` names checks that did not hold."""

    title: str
    lead: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    failed: Sequence[str] = field(default=())

    def to_markdown(self) -> str:
        """Return heading, words, table and notes."""
        notes = [f"- {note}" for note in self.notes]
        notes += [f"- **FAILED:** {failure}" for failure in self.failed]
        return "\n".join([f"## {self.title}", "", self.lead, "", *self._table(), "", *notes, ""])

    def _table(self) -> list[str]:
        """Return the lines of the table; all columns but the first are aligned to the right."""
        cells = [[str(cell) for cell in row] for row in [self.columns, *self.rows]]
        width = [max(3, *(len(row[i]) for row in cells)) for i in range(len(self.columns))]
        lines = [
            "| " + " | ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in pairs) + " |"
            for row in cells
            for pairs in [list(enumerate(zip(row, width, strict=True)))]
        ]
        rule = [("-" * (w - 1) + ":") if i else "-" * w for i, w in enumerate(width)]
        return [lines[0], "| " + " | ".join(rule) + " |", *lines[1:]]


def document(sections: Sequence[Section]) -> str:
    """Return the whole results page."""
    return "\n".join([environment(), *(section.to_markdown() for section in sections)])


def updated(page: str, sections: Sequence[Section]) -> str:
    """Return a results page with sections replaced, or added; each says when it was measured."""
    parts = page.rstrip("\n").split("\n## ")
    found = {part.split("\n", 1)[0]: f"## {part}" for part in parts[1:]}
    for section in sections:
        load = os.getloadavg()[0]
        when = f"*Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load average {load:.1f}.*"
        heading, rest = section.to_markdown().split("\n", 1)
        found[section.title] = f"{heading}\n\n{when}\n{rest}".rstrip("\n")
    return (
        "\n\n".join([parts[0].rstrip("\n"), *(part.rstrip("\n") for part in found.values())]) + "\n"
    )


def environment() -> str:
    """Return the page's head: date, machine and versions."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return (
        "# Benchmark results\n\n"
        "Written by `python -m benchmarks`. Absolute times depend on the machine and on what else "
        "runs on it; the ratios are what to read.\n\n"
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n"
        f"- Machine: {os.cpu_count()} cores ({platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f} at the end "
        "(the benchmark itself included)\n"
        f"- Versions: {versions}\n"
    )


def figure(value: float) -> str:
    """Return a number with three significant digits, thousands separated."""
    if value == 0 or not abs(value) < float("inf"):
        return f"{value:g}"
    return f"{float(f'{value:.3g}'):,.10g}"


def times(value: float) -> str:
    """Return a ratio with two significant digits."""
    return f"{float(f'{value:.2g}'):,.10g} x"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
