"""Records of a report in any format: text, tables, plots and checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from .._support.check_record import Subject, Verdict, worst

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..analysis.analysis import Analysis


#: Text of each verdict.
MARKS = {Verdict.OK: "✓ ok", Verdict.CAUTION: "△ caution", Verdict.PROBLEM: "✗ problem"}


@dataclass(frozen=True)
class Words:
    """Paragraphs.

    Parameters
    ----------
    paragraphs : tuple of str
        Plain text; a renderer escapes it.
    soft : bool
        Whether they are notes to the part before.
    """

    paragraphs: tuple[str, ...]
    soft: bool = False


@dataclass(frozen=True, eq=False)
class Grid:
    """A table of raw values; only the renderer rounds them.

    Parameters
    ----------
    key : str
        Identifies the table on the page.
    frame : DataFrame
        The numbers.
    headings : dict of str to str
        Headings of the columns to show, in order; empty columns are not shown.
    caption : str
        What the table shows.
    """

    key: str
    frame: pd.DataFrame
    headings: dict[str, str]
    caption: str

    @property
    def shown(self) -> pd.DataFrame:
        """The columns to show, under their own names."""
        present = [name for name in self.headings if name in self.frame]
        return self.frame[[name for name in present if not self.frame[name].isna().all()]]


@dataclass(frozen=True, eq=False)
class Plot:
    """A plot, drawn when a renderer asks for it.

    Parameters
    ----------
    key : str
        Identifies the plot on the page.
    draw : callable
        Returns a matplotlib figure.
    alt : str
        Description for readers who cannot see it.
    caption : str
        How to read it.
    narrow : callable, optional
        Returns the same plot for the width of a phone.
    """

    key: str
    draw: Callable[[], Figure]
    alt: str
    caption: str
    narrow: Callable[[], Figure] | None = None


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
    """A heading within a section, with the verdict on what follows, if any."""

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
        Its contents, in order.
    verdict : Verdict, optional
        The worst verdict on it, if any.
    open : bool
        Whether it is unfolded on the page, and printed.
    """

    key: str
    title: str
    parts: tuple[Part, ...]
    verdict: Verdict | None = None
    open: bool = False


@dataclass(frozen=True)
class Card:
    """One effect on the first screen.

    Parameters
    ----------
    name : str
        The effect, as in the table of estimands.
    value, interval : str
        Mean and credible interval, with unit.
    lift : str
        The effect relative to the baseline, with its interval; empty if there is none.
    """

    name: str
    value: str
    interval: str
    lift: str = ""


@dataclass(frozen=True, eq=False)
class Document:
    """A whole report.

    Parameters
    ----------
    title, question : str
        Title and question of the experiment.
    decision : str
        The answer in one sentence, with its probability.
    troubles : tuple of str
        Failed checks, to be read before the answer.
    sentences : tuple of str
        The rest of the answer.
    effects : Grid, optional
        Direct, spillover and rollout effects with intervals.
    cards : tuple of Card
        The same for the first screen.
    cross_check : str
        The recommended interval besides the posterior's, in one sentence.
    lights : DataFrame, optional
        The worst verdict on each assumption; see :func:`bayescluster.checks.check_registry.lights`.
    facts : dict of str to str
        Facts about the data, such as the number of units.
    sections : tuple of Section
        Everything that supports the answer.
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
    cards: tuple[Card, ...] = ()
    cross_check: str = ""


def checks_on(analysis: Analysis, about: Subject) -> tuple[list[Part], Verdict | None]:
    """Return the checks on one subject, and the worst verdict on it."""
    rows = analysis.checks[analysis.checks["about"] == about]
    if rows.empty:
        return [], None
    return [Checks(rows)], worst(rows["verdict"])
