"""A report before it is a page: what is said, shown and tabulated, whatever the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from .._support.checks import Subject, Verdict, worst

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..analysis.analysis import Analysis


#: How each verdict is shown.
MARKS = {Verdict.OK: "✓ ok", Verdict.CAUTION: "△ caution", Verdict.PROBLEM: "✗ problem"}


@dataclass(frozen=True)
class Words:
    """Paragraphs.

    Parameters
    ----------
    paragraphs : tuple of str
        Plain text; a renderer escapes it.
    soft : bool
        Whether they are notes to what stands before.
    """

    paragraphs: tuple[str, ...]
    soft: bool = False


@dataclass(frozen=True, eq=False)
class Grid:
    """A table; cells are raw, and rounded by the renderer alone.

    Parameters
    ----------
    key : str
        Identifies the table on the page.
    frame : DataFrame
        The numbers.
    headings : dict of str to str
        Columns to show, in order, with their headings; columns that are empty are not shown.
    caption : str
        What the table shows.
    """

    key: str
    frame: pd.DataFrame
    headings: dict[str, str]
    caption: str

    @property
    def shown(self) -> pd.DataFrame:
        """The columns shown, by their own names."""
        present = [name for name in self.headings if name in self.frame]
        return self.frame[[name for name in present if not self.frame[name].isna().all()]]


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure, drawn when a renderer asks for it.

    Parameters
    ----------
    key : str
        Identifies the figure on the page.
    draw : callable
        Returns a matplotlib figure.
    alt : str
        What it shows, for those who cannot see it.
    caption : str
        How to read it.
    """

    key: str
    draw: Callable[[], Figure]
    alt: str
    caption: str


@dataclass(frozen=True, eq=False)
class Checks:
    """Checks with verdict and advice: rows of :func:`bayescluster.diagnose`."""

    frame: pd.DataFrame


@dataclass(frozen=True)
class Code:
    """Text to copy, folded under a summary."""

    summary: str
    text: str
    words: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading within a section, with the verdict on what follows, where there is one."""

    text: str
    verdict: Verdict | None = None


Part = Heading | Words | Grid | Plot | Checks | Code


@dataclass(frozen=True, eq=False)
class Section:
    """A section of the report.

    Parameters
    ----------
    key : str
        Its anchor.
    title : str
        Its heading.
    parts : tuple
        What is in it, in order.
    verdict : Verdict, optional
        The worst verdict on it, where there is one.
    """

    key: str
    title: str
    parts: tuple[Part, ...]
    verdict: Verdict | None = None


@dataclass(frozen=True, eq=False)
class Document:
    """A whole report.

    Parameters
    ----------
    title, question : str
        What it is about.
    decision : str
        The answer in one sentence, with its probability.
    troubles : tuple of str
        What must be known before the answer is believed: the checks that failed.
    sentences : tuple of str
        The rest of the answer.
    effects : Grid, optional
        Direct, spillover and rollout effect with their intervals.
    lights : DataFrame, optional
        The worst verdict on each assumption; see :func:`bayescluster.checks.diagnose.lights`.
    facts : dict of str to str
        What was analysed, in a few words each.
    sections : tuple of Section
        Everything that supports it.
    """

    title: str
    question: str
    decision: str
    troubles: tuple[str, ...]
    sentences: tuple[str, ...]
    effects: Grid | None
    lights: pd.DataFrame | None
    facts: dict[str, str]
    sections: tuple[Section, ...] = field(default_factory=tuple)


def checks_on(analysis: Analysis, about: Subject) -> tuple[list[Part], Verdict | None]:
    """Return the checks on one subject, and the worst verdict on it."""
    rows = analysis.checks[analysis.checks["about"] == about]
    if rows.empty:
        return [], None
    return [Checks(rows)], worst(rows["verdict"])
