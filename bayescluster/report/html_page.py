"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from importlib import resources
from typing import TYPE_CHECKING, Any

from .._support.display import percent
from .._support.table_entries import rows
from .document import document
from .document_parts import MARKS, Document, Part
from .first_screen import first_screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from ..analysis.analysis import Analysis

#: Tables with more rows fold.
LONG_TABLE = 8


def render(analysis: Analysis) -> str:
    """Return the HTML page of an analysis; every value from the data is escaped."""
    return page([document(analysis)], percent(analysis.spec.report.ci_prob))


def page(documents: list[Document], level: str, title: str = "") -> str:
    """Return one HTML page of one document, or of several under a common title."""
    template = _environment().get_template("page.html.j2")
    return template.render(documents=documents, level=level, title=title or documents[0].title)


def card(analysis: Analysis) -> str:
    """Return the first screen as HTML for a notebook."""
    template = _environment().get_template("first_screen.html.j2")
    return template.render(doc=first_screen(analysis))


def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"svg": svg, "rows": rows, "kind": kind}
    environment.globals |= {"marks": MARKS, "long": LONG_TABLE}
    return environment


def _source(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text("utf-8")


def kind(part: Part) -> str:
    """Return the name of a part's class, by which the template chooses a macro."""
    return type(part).__name__.lower()


def svg(draw: Callable[[], Figure]) -> str:
    """Return a plot as a data URI: SVG with selectable text and stable ids."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    style = {"svg.fonttype": "none", "svg.hashsalt": "bayescluster", "font.size": 10}
    with mpl.rc_context(style):
        figure = draw()
        buffer = io.BytesIO()
        metadata = {"Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", metadata=metadata, bbox_inches="tight")
        plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
