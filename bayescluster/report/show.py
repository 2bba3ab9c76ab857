"""Tables in the terminal, whole."""

from __future__ import annotations

import pandas as pd

from .._support.text_tables import text_table
from .._support.tidy import Tidy


def show(table: pd.DataFrame | Tidy, width: int | None = None) -> None:
    """Print a table whole, at any width of the terminal.

    pandas cuts off long columns and leaves out those in the middle; here nothing is left out but
    columns without values.

    Parameters
    ----------
    table : DataFrame or result
        A table, such as ``comparison.agreement`` or ``analysis.checks``, or a result that has one.
    width : int, optional
        Width in characters; by default, that of the terminal.

    Returns
    -------
    None
        It prints.

    Examples
    --------
    >>> import pandas as pd
    >>> show(pd.DataFrame({"check": ["R-hat"], "value": ["1.00"]}))
    check  value
    R-hat  1.00
    """
    frame = table if isinstance(table, pd.DataFrame) else table.to_dataframe()
    print(text_table(frame, width))  # noqa: T201
