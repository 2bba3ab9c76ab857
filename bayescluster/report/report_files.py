"""The report as a file: HTML, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .._support.atomic_files import write_whole
from .html_page import render
from .json_results import to_json
from .markdown_page import to_markdown

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis

#: Functions that render the report, by suffix of the file.
FORMATS: dict[str, Callable[[Analysis], str]] = {
    ".html": render,
    ".md": to_markdown,
    ".json": to_json,
}


def write_report(analysis: Analysis, path: Path) -> Path:
    """Write the report in the format of the file's suffix; see :func:`write_by_suffix`."""
    return write_by_suffix(path, {suffix: partial(f, analysis) for suffix, f in FORMATS.items()})


def write_by_suffix(path: Path, formats: Mapping[str, Callable[[], str]]) -> Path:
    """Write what the function for the file's suffix returns; the file appears once complete.

    Raises
    ------
    ValueError
        If the suffix is none of .html, .md and .json.
    OSError
        If the file cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in formats:
        raise ValueError(f"{path}: name the report .html, .md or .json")
    text = formats[kind]()
    return write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
