"""Sources of data: any frame, file or warehouse table, as one Ibis table with role names."""

from __future__ import annotations

import csv
import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import ColumnTypeError, DataError, MissingColumnError

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

#: Words that a CSV file uses for a missing value, in every column.
CSV_NULLS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]


@dataclass(frozen=True, eq=False)
class Source:
    """The needed columns of a source, named by their roles.

    Parameters
    ----------
    table : ibis.Table
        One column per role.
    clusters : ndarray or None
        Distinct cluster labels in row order; None if a source has no row order.
    """

    table: ibis.Table
    clusters: NDArray[Any] | None


def open_source(data: Any, roles: Mapping[str, str]) -> Source:
    """Open any source, without changing it.

    Parameters
    ----------
    data : DataFrame, Table, path or ibis.Table
        pandas, polars (lazy too), pyarrow or any object that exports an Arrow stream; the path of
        a CSV or Parquet file, globs included (read by DuckDB; files of one glob are matched by
        column name); or a table expression of any Ibis backend.
    roles : mapping of str to str
        Column of each role.

    Raises
    ------
    MissingColumnError
        If a column is not there; the message lists those that are.
    ColumnTypeError
        If a column of a frame cannot be represented, such as one that mixes types.
    DataError
        If the source cannot be read, or its type is unknown.
    """
    import ibis

    if isinstance(data, ibis.Table):
        return Source(_select(data, roles), None)
    if isinstance(data, str | Path):
        return Source(_select(_read_file(str(data)), roles), None)
    arrow = _to_arrow(data, list(roles.values())).rename_columns(list(roles))
    connection = ibis.duckdb.connect()
    connection.con.register("units", arrow)
    return Source(connection.table("units"), _first_appearance(arrow.column("cluster")))


def open_any(data: Any) -> ibis.Table:
    """Open a source with all its columns, under their own names; see :func:`open_source`."""
    import ibis

    if isinstance(data, ibis.Table):
        return data
    if isinstance(data, str | Path):
        return _read_file(str(data))
    return _registered(ibis.duckdb.connect(), "users", _arrow_of(data))


def open_tables(sources: Mapping[str, tuple[Any, Mapping[str, str]]]) -> dict[str, ibis.Table]:
    """Open several sources so that they can be joined.

    Parameters
    ----------
    sources : mapping of str to (data, mapping of str to str)
        By name: the source and the column of each role, see :func:`open_source`. Ibis tables must
        be of one backend, in which frames and files are then read too; without any it is DuckDB.

    Raises
    ------
    DataError
        As :func:`open_source`, or if two Ibis tables are of different backends; the message
        names the source.
    """
    import ibis

    backends = {
        name: data.get_backend()
        for name, (data, _) in sources.items()
        if isinstance(data, ibis.Table)
    }
    if len({id(backend) for backend in backends.values()}) > 1:
        raise DataError(
            f"{' and '.join(backends)} are tables of different Ibis connections and cannot be "
            "joined; bring them into one, or hand one of them over by .to_pyarrow()"
        )
    connection = next(iter(backends.values()), None) or ibis.duckdb.connect()
    opened = {}
    for name, (data, roles) in sources.items():
        try:
            if isinstance(data, ibis.Table):
                opened[name] = _select(data, roles)
            elif isinstance(data, str | Path):
                opened[name] = _select(_read_file(str(data), connection), roles)
            else:
                arrow = _to_arrow(data, list(roles.values())).rename_columns(list(roles))
                opened[name] = _registered(connection, name, arrow)
        except DataError as error:
            raise type(error)(f"{name}: {error}") from None
    return opened


def kept(table: ibis.Table) -> ibis.Table:
    """Compute a table once and keep it where its data live.

    In DuckDB that is a temporary table, which goes when its connection does.
    """
    import ibis

    connection = table.get_backend()
    if connection.name != "duckdb":
        return table.cache()
    return connection.create_table(ibis.util.gen_name("kept"), table, temp=True)


def release(table: ibis.Table) -> None:
    """Let go of a table that :func:`kept` made, before its connection ends."""
    connection = table.get_backend()
    if connection.name == "duckdb":
        connection.raw_sql(f'DROP TABLE "{table.op().name}"')  # drop_table fails with DuckDB 2
    else:
        table.release()


def read_once(data: Any) -> Any:
    """Return a source that can be read again: a stream or a lazy frame as an Arrow table."""
    import ibis
    import pyarrow as pa

    if isinstance(data, pd.DataFrame | ibis.Table | str | Path):
        return data
    data = _collected(data)
    return pa.table(data) if hasattr(data, "__arrow_c_stream__") else data


def _collected(data: Any) -> Any:
    return data.collect() if type(data).__name__ == "LazyFrame" else data


def _arrow_of(data: Any) -> pa.Table:
    """Return a frame that exports an Arrow stream, lazy or not, or raise DataError."""
    import pyarrow as pa

    data = _collected(data)
    if not hasattr(data, "__arrow_c_stream__"):
        raise DataError(
            f"cannot read data of type {type(data).__name__}; give a pandas, polars or pyarrow "
            "table, the path of a CSV or Parquet file, or an Ibis table"
        )
    return pa.table(data)


def _registered(connection: Any, name: str, arrow: pa.Table) -> ibis.Table:
    """Return an Arrow table as a table of the connection, without copying it into DuckDB."""
    import ibis

    if connection.name != "duckdb":
        # A table of the connection: an expression of a memtable alone knows of no backend.
        return connection.create_view(ibis.util.gen_name(name), ibis.memtable(arrow.to_pandas()))
    unique = ibis.util.gen_name(name)
    connection.con.register(unique, arrow)
    return connection.table(unique)


def _to_arrow(data: Any, columns: Sequence[str]) -> pa.Table:
    """Return the needed columns of a frame in memory as an Arrow table."""
    import pyarrow as pa

    if isinstance(data, pd.DataFrame):
        _require(columns, list(data.columns))
        return pa.table({name: _to_array(data[name], name) for name in columns})
    table = _arrow_of(data)
    _require(columns, table.column_names)
    return table.select(list(columns))


def _to_array(values: pd.Series[Any], name: str) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.Array.from_pandas(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        types = sorted({type(value).__name__ for value in values.dropna()})
        raise ColumnTypeError(
            f"column {name!r} ({values.dtype}, holding {', '.join(types[:5])}) cannot be read as "
            f"one type: {str(error).splitlines()[0]}; cast it to numbers, text or dates"
        ) from None


def _first_appearance(values: pa.ChunkedArray) -> NDArray[Any] | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return np.asarray(pc.unique(values).to_pandas())
    except pa.ArrowNotImplementedError:  # nested labels, which validation refuses
        return None


def _read_file(path: str, connection: Any = None) -> ibis.Table:
    import duckdb
    import ibis

    files = [path] if "://" in path or Path(path).is_file() else glob.glob(path, recursive=True)
    if not files:
        raise DataError(f"no file {path!r}; give the path or glob of CSV or Parquet files")
    kind = path.lower().removesuffix(".gz").removesuffix(".zst")
    connection = connection or ibis.duckdb.connect()
    if connection.name != "duckdb":
        raise DataError(
            f"{path!r} is a file, the other table one of {connection.name}: read the file there, "
            "and pass its table"
        )
    try:
        if kind.endswith((".parquet", ".pq")):
            return connection.read_parquet(path, union_by_name=True)
        if kind.endswith((".csv", ".tsv", ".txt")):
            _check_header(connection, min(files))
            return connection.read_csv(path, nullstr=CSV_NULLS, header=True, union_by_name=True)
    except duckdb.Error as error:
        raise DataError(f"{path!r} cannot be read: {first_lines(error)}") from None
    raise DataError(f"cannot tell the format of {path!r}; name it .csv, .tsv, .parquet or .pq")


def _check_header(connection: Any, path: str) -> None:
    """Refuse a CSV file whose columns share a name, which DuckDB would rename silently."""
    relation = connection.con.execute("SELECT Delimiter, Quote FROM sniff_csv(?)", [path])
    delimiter, quote = relation.fetchone()
    if not path.lower().endswith((".csv", ".tsv", ".txt")):
        return  # compressed: DuckDB alone can read it
    with open(path, encoding="utf-8-sig", newline="") as file:
        quoting = {"quotechar": quote} if len(quote or "") == 1 else {}
        names = next(csv.reader(file, delimiter=delimiter or ",", **quoting), [])
    folded = [name.strip().lower() for name in names]
    if repeated := sorted({name for name in names if folded.count(name.strip().lower()) > 1}):
        raise DataError(
            f"{path!r}: column {', '.join(map(repr, repeated))} occurs more than once (capitals "
            "apart); rename one"
        )


def first_lines(error: Exception, count: int = 3) -> str:
    """Return the first lines of an engine's message, as one."""
    return "; ".join(line.strip() for line in str(error).splitlines()[:count] if line.strip())


def _select(table: ibis.Table, roles: Mapping[str, str]) -> ibis.Table:
    _require(list(roles.values()), table.columns)
    return table.select(**{role: table[name] for role, name in roles.items()})


def _require(columns: Sequence[str], present: Sequence[Any]) -> None:
    if missing := [name for name in columns if name not in present]:
        listed = ", ".join(map(repr, present[:30])) + (", ..." if len(present) > 30 else "")
        raise MissingColumnError(
            f"column {', '.join(map(repr, missing))} is not in the data; its columns: {listed}"
        )
    if repeated := [name for name in columns if list(present).count(name) > 1]:
        raise DataError(f"column {', '.join(map(repr, repeated))} occurs more than once")
