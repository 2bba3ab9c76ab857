"""The report as a file: a page, Markdown for a pull request, or JSON for a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .._support.whole_files import write_whole
from .html_page import render
from .json_results import to_json
from .markdown_page import to_markdown

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis

#: What writes the report, by the ending of the file's name.
FORMATS: dict[str, Callable[[Analysis], str]] = {
    ".html": render,
    ".md": to_markdown,
    ".json": to_json,
}


def write_report(analysis: Analysis, path: Path) -> Path:
    """Write the report in the format that the file's name ends with.

    Raises
    ------
    ValueError
        Where it ends with none of .html, .md and .json.
    OSError
        Where the file cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise ValueError(f"{path}: name the report .html, .md or .json")
    text = FORMATS[kind](analysis)
    return write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
