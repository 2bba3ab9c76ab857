"""Tables as text that is never cut off: text wraps, and rows that do not fit become records."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import pandas as pd

from .table_entries import rows

if TYPE_CHECKING:
    from rich.table import Table

#: A column of text is not squeezed below the largest of these with which the table fits.
LEAST_TEXT = (40, 30, 22, 14)
#: Spaces between columns.
GAP = 2
#: Settings that are written once, above the table, if they are the same in every row.
CONSTANT = ("ci_prob", "check_prob", "threshold", "direction")


def text_table(frame: pd.DataFrame, width: int | None = None) -> str:
    """Return a table as text whose lines are no wider than the terminal.

    Columns of text wrap. If the numbers do not fit beside each other, every row becomes a record,
    one line per column. Numbers are rounded to what their standard errors support.

    Parameters
    ----------
    frame : DataFrame
        The table.
    width : int, optional
        Width in characters; by default, that of the terminal (COLUMNS, or 80).
    """
    width = width or shutil.get_terminal_size().columns
    frame = frame.loc[:, [not (frame[name].isna() | (frame[name] == "")).all() for name in frame]]
    if frame.empty:
        return "(no rows)"
    same = [
        name for name in frame if name in CONSTANT and (frame[name] == frame[name].iloc[0]).all()
    ]
    if same and len(frame) > 1 and len(same) < frame.shape[1]:
        first = next(rows(frame[same]))
        above = ", ".join(f"{name} {text}" for name, (text, _) in zip(same, first, strict=True))
        return f"{above}\n{text_table(frame.drop(columns=same), width)}"
    entries = list(rows(frame))
    names = [str(name) for name in frame]
    numeric = [any(row[i][1] is not None for row in entries) for i in range(len(names))]
    texts = [[text for text, _ in row] for row in entries]
    natural = [max(len(name), *(len(row[i]) for row in texts)) for i, name in enumerate(names)]
    for cap in LEAST_TEXT:
        least = [n if num else min(n, cap) for n, num in zip(natural, numeric, strict=True)]
        if sum(least) + GAP * (len(names) - 1) <= width:
            return _columns(names, texts, numeric, least, width)
    return _records(names, texts, width)


def _columns(
    names: list[str], texts: list[list[str]], numeric: list[bool], least: list[int], width: int
) -> str:
    from rich.text import Text

    table = _plain_table(header=True)
    for name, right, smallest in zip(names, numeric, least, strict=True):
        table.add_column(
            Text(name),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
            min_width=smallest,
        )
    for row in texts:
        table.add_row(*map(Text, row))
    return _printed(table, width)


def _records(names: list[str], texts: list[list[str]], width: int) -> str:
    """Return one block per row: the column's name, then the entry."""
    from rich.text import Text

    blocks = []
    for row in texts:
        table = _plain_table(header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in zip(names, row, strict=True):
            if text:
                table.add_row(Text(name), Text(text))
        blocks.append(_printed(table, width))
    return "\n\n".join(blocks)


def _plain_table(*, header: bool) -> Table:
    from rich.table import Table

    return Table(box=None, show_header=header, padding=(0, GAP, 0, 0), pad_edge=False)


def _printed(table: Table, width: int) -> str:
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=width, color_system=None, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip("\n").split("\n"))
