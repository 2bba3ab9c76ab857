"""Where data come from: any frame, file or warehouse table, as one Ibis table."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import ColumnTypeError, DataError, MissingColumnError

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

#: Words that a CSV file uses for a missing value.
CSV_NULLS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]


def to_table(data: Any, columns: Sequence[str]) -> ibis.Table:
    """Return the needed columns of any source as an Ibis table; nothing is copied or changed.

    Parameters
    ----------
    data : DataFrame, Table, path or ibis.Table
        pandas, polars (lazy too), pyarrow, whatever exports an Arrow stream; the path of a CSV or
        Parquet file, globs included (read by DuckDB); or a table expression of any Ibis backend.
    columns : sequence of str
        Columns to keep.

    Raises
    ------
    MissingColumnError
        Where a column is not there; the message lists those that are.
    DataError
        Where the source cannot be read, or its type is unknown.
    """
    import ibis

    if isinstance(data, ibis.Table):
        return _select(data, columns)
    if isinstance(data, str | Path):
        return _select(_read_file(str(data)), columns)
    connection = ibis.duckdb.connect()
    connection.con.register("units", to_arrow(data, columns))
    return connection.table("units")


def to_arrow(data: Any, columns: Sequence[str]) -> pa.Table:
    """Return the needed columns of a frame in memory as an Arrow table."""
    import pyarrow as pa

    data = data.collect() if type(data).__name__ == "LazyFrame" else data
    if isinstance(data, pd.DataFrame):
        _require(columns, [str(name) for name in data.columns])
        try:
            return pa.Table.from_pandas(data[list(columns)], preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ColumnTypeError(f"a column mixes types: {error}; cast it to one type") from None
    if not hasattr(data, "__arrow_c_stream__"):
        raise DataError(
            f"cannot read data of type {type(data).__name__}; give a pandas, polars or pyarrow "
            "table, the path of a CSV or Parquet file, or an Ibis table"
        )
    table = pa.table(data)
    _require(columns, table.column_names)
    return table.select(list(columns))


def first_appearance(data: Any, column: str) -> NDArray[Any] | None:
    """Return the distinct values of a column in row order; None where a source has no row order."""
    import ibis
    import pyarrow.compute as pc

    if isinstance(data, str | Path | ibis.Table):
        return None
    values = to_arrow(data, [column]).column(column)
    return np.asarray(pc.unique(values).to_pandas())


def _read_file(path: str) -> ibis.Table:
    import duckdb
    import ibis

    found = "://" in path or Path(path).is_file() or glob.glob(path, recursive=True)
    if not found:
        raise DataError(f"no file {path!r}; give the path or glob of CSV or Parquet files")
    kind = path.lower().removesuffix(".gz").removesuffix(".zst")
    connection = ibis.duckdb.connect()
    try:
        if kind.endswith((".parquet", ".pq")):
            return connection.read_parquet(path)
        if kind.endswith((".csv", ".tsv", ".txt")):
            return connection.read_csv(path, nullstr=CSV_NULLS, header=True)
    except duckdb.Error as error:
        raise DataError(f"{path!r} cannot be read: {str(error).splitlines()[0]}") from None
    raise DataError(f"cannot tell the format of {path!r}; name it .csv, .tsv, .parquet or .pq")


def _select(table: ibis.Table, columns: Sequence[str]) -> ibis.Table:
    _require(columns, table.columns)
    return table.select(*columns)


def _require(columns: Sequence[str], present: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in present]:
        listed = ", ".join(map(repr, present[:30])) + (", ..." if len(present) > 30 else "")
        raise MissingColumnError(
            f"column {', '.join(map(repr, missing))} is not in the data; its columns: {listed}"
        )
    if repeated := [name for name in columns if list(present).count(name) > 1]:
        raise DataError(f"column {', '.join(map(repr, repeated))} occurs more than once")
