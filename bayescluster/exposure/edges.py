"""The queries that turn edges into ties between users, written in Ibis and run where data live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import NDArray

from ..data.compression import run
from ..data.table_readers import kept, release
from ..errors import ColumnTypeError, DataError, DuplicateUnitError, MissingValueError
from ..spec.exposure_section import ExposureSpec

if TYPE_CHECKING:
    import ibis

#: What becomes of a row, by code.
REASONS = ("kept", "other_kinds", "outside_window", "zero_weight", "self_loops", "unknown_users")
KEPT = REASONS.index("kept")


@dataclass(frozen=True)
class EdgeCounts:
    """What became of the rows of the edges' table.

    Parameters
    ----------
    rows : int
        Rows read.
    other_kinds, outside_window : int
        Rows left out for their kind or time.
    zero_weight : int
        Rows left out because their weight is 0.
    self_loops : int
        Rows left out because both ends are one user.
    unknown_users : int
        Rows left out because an end is not in the users' table.
    duplicates : int
        Rows that were merged into another row of the same pair and direction.
    reciprocal : int
        Pairs with edges both ways, merged into one tie where `direction` is both.
    ties : int
        Pairs left: of a user and a collaborator, both ways where `direction` is both.
    """

    rows: int
    other_kinds: int
    outside_window: int
    zero_weight: int
    self_loops: int
    unknown_users: int
    duplicates: int
    reciprocal: int
    ties: int

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per count: what, count."""
        words = {
            "rows": "rows of edges read",
            "other_kinds": "of other kinds",
            "outside_window": "outside the window",
            "zero_weight": "of weight 0",
            "self_loops": "self-loops",
            "unknown_users": "of users not in the users' table",
            "duplicates": "merged into another row of the same pair",
            "reciprocal": "pairs with edges both ways, merged into one tie",
            "ties": "ties (each seen from each user it can expose)",
        }
        rows = [(text, getattr(self, name)) for name, text in words.items()]
        return pd.DataFrame(rows, columns=["what", "count"])


def check_users(users: ibis.Table, names: dict[str, str]) -> None:
    """Raise if a user or cluster is missing, or a user occurs twice.

    Parameters
    ----------
    users : ibis.Table
        Columns user and cluster.
    names : dict of str to str
        The user's own name of each column.
    """
    found = run(
        users.aggregate(
            n=users.count(),
            no_user=_missing(users.user),
            no_cluster=_missing(users.cluster),
            distinct=users.user.nunique(),
        )
    ).iloc[0]
    if not found["n"]:
        raise DataError("the users' table has no rows")
    for role in ("user", "cluster"):
        if missing := int(found[f"no_{role}"] or 0):
            raise MissingValueError(
                f"column {names[role]!r} ({role}) of the users' table is null in {missing:,} of "
                f"{int(found['n']):,} rows; fill it in, or leave the rows out"
            )
    if found["distinct"] < found["n"]:
        _raise_repeated(users, names)


def _raise_repeated(users: ibis.Table, names: dict[str, str]) -> None:
    grouped = users.group_by("user").aggregate(n=users.count(), clusters=users.cluster.nunique())
    repeated = grouped.filter(grouped.n > 1)
    counts = run(
        repeated.aggregate(n=repeated.count(), moved=(repeated.clusters > 1).ifelse(1, 0).sum())
    ).iloc[0]
    some = run(repeated.order_by([repeated.clusters.desc(), "user"]).limit(3))["user"].tolist()
    if int(counts["moved"]):
        raise DuplicateUnitError(
            f"{int(counts['moved']):,} users are in two or more clusters (column "
            f"{names['cluster']!r}), such as {_listed(some)}: a user has one cluster, the one that "
            "was randomised; choose it (home workspace), one row per user"
        )
    raise DuplicateUnitError(
        f"{int(counts['n']):,} users (column {names['user']!r}) occur in more than one row, such "
        f"as {_listed(some)}; keep one row per user"
    )


def check_edges(edges: ibis.Table, users: ibis.Table, spec: ExposureSpec, user: str) -> int:
    """Raise if edges cannot be used; return their number."""
    aggregates: dict[str, Any] = {
        "n": edges.count(),
        "no_source": _missing(edges.source),
        "no_target": _missing(edges.target),
    }
    if numeric := spec.weight is not None and edges.weight.type().is_numeric():
        aggregates |= {
            "bad_weight": _unusable(edges.weight).ifelse(1, 0).sum(),
            "negative": (edges.weight < 0).ifelse(1, 0).sum(),
            "positive": (edges.weight > 0).ifelse(1, 0).sum(),
        }
    found = run(edges.aggregate(**aggregates)).iloc[0].fillna(0).astype(int)
    n = int(found["n"])
    if not n:
        raise DataError(
            "the edges' table has no rows: without ties nobody can be exposed; give the edges, or "
            "leave out the graph"
        )
    for role in ("source", "target"):
        if missing := int(found[f"no_{role}"]):
            raise MissingValueError(
                f"column {getattr(spec, role)!r} ({role}) of the edges is null in {missing:,} of "
                f"{n:,} rows; leave those rows out"
            )
    for role in ("source", "target"):
        kind, id_type = edges[role].type(), users.user.type()
        if _family(kind) != _family(id_type):
            raise ColumnTypeError(
                f"column {getattr(spec, role)!r} of the edges holds {kind} in all {n:,} rows, "
                f"column {user!r} of the users {id_type}: the same users must have ids of the same "
                "type; cast one of them"
            )
    if spec.weight and not numeric:
        raise ColumnTypeError(
            f"column {spec.weight!r} (weight) of the edges holds {edges.weight.type()} in all "
            f"{n:,} rows, not numbers"
        )
    if spec.weight and (bad := int(found["bad_weight"])):
        raise MissingValueError(
            f"column {spec.weight!r} (weight) of the edges is null, NaN or infinite in {bad:,} of "
            f"{n:,} rows; fill it in, or leave the rows out"
        )
    if spec.weight and (bad := int(found["negative"])):
        raise DataError(
            f"column {spec.weight!r} (weight) of the edges is negative in {bad:,} of {n:,} rows; "
            "weights count how much two users share, from 0 on"
        )
    if spec.weight and not int(found["positive"]):
        raise DataError(f"column {spec.weight!r} (weight) of the edges is 0 in all {n:,} rows")
    return n


def _missing(column: Any) -> Any:
    """Count nulls, and NaN where a column can hold it."""
    wrong = column.isnull()
    if column.type().is_floating():
        wrong = wrong | column.isnan().fill_null(False)
    return wrong.ifelse(1, 0).sum()


def _unusable(weight: Any) -> Any:
    if not weight.type().is_floating():
        return weight.isnull()
    return (weight.isnan() | weight.isinf()).fill_null(True)


def _family(kind: Any) -> str:
    for family in ("integer", "floating", "string", "boolean", "temporal", "uuid"):
        if getattr(kind, f"is_{family}")():
            return family
    return str(kind)


def coded_users(users: ibis.Table) -> ibis.Table:
    """Number users by the order of their ids, from 0: column code."""
    import ibis

    return users.mutate(code=ibis.row_number().over(order_by=users.user).cast("int32"))


def ties(
    edges: ibis.Table, users: ibis.Table, spec: ExposureSpec, rows: int
) -> tuple[ibis.Table, EdgeCounts]:
    """Return the ties: columns user and other (codes), weight; and what became of the rows.

    A tie says that `other`'s treatment reaches `user`. It is kept (cached) where the data live.
    """
    marked = _marked(edges, spec)
    joined = _joined(marked, users)
    # Small integers: the grouping of a billion rows holds every key.
    pairs = kept(
        joined.group_by(["from_", "to_", "reason"]).aggregate(
            weight=joined.weight.sum(), n=joined.count().cast("int32")
        )
    )
    counted = run(pairs.group_by("reason").aggregate(rows=pairs.n.sum(), pairs=pairs.count()))
    found = {REASONS[r]: int(n) for r, n in zip(counted["reason"], counted["rows"], strict=True)}
    n_pairs = int(counted.loc[counted["reason"] == KEPT, "pairs"].sum())
    duplicates = found.get("kept", 0) - n_pairs
    _check_counts(found, duplicates, rows, spec, marked, users)
    directed = pairs.filter(pairs.reason == KEPT).select("from_", "to_", "weight")
    result = kept(_directed(directed, spec))
    release(pairs)
    n_ties = int(run(result.aggregate(n=result.count()))["n"].iloc[0])
    counts = EdgeCounts(
        rows=rows,
        **{name: found.get(name, 0) for name in REASONS if name != "kept"},
        duplicates=duplicates,
        reciprocal=(2 * n_pairs - n_ties) // 2 if spec.direction == "both" else 0,
        ties=n_ties,
    )
    return result, counts


def _marked(edges: ibis.Table, spec: ExposureSpec) -> ibis.Table:
    """Say why a row is left out, the first reason that holds: columns source, target, weight."""
    import ibis

    weighted = edges.mutate(
        weight=edges.weight.cast("float64") if spec.weight else ibis.literal(1.0)
    )
    conditions: dict[str, Any] = {}
    if spec.kinds:
        of_kind = weighted.kind.cast("string").isin(list(spec.kinds))
        conditions["other_kinds"] = ~of_kind.fill_null(False)
    if spec.window is not None:
        conditions["outside_window"] = ~_inside(weighted.time, spec).fill_null(False)
    conditions["zero_weight"] = weighted.weight == 0
    conditions["self_loops"] = weighted.source == weighted.target
    reason = ibis.cases(
        *((condition, REASONS.index(name)) for name, condition in conditions.items()), else_=KEPT
    )
    return weighted.select("source", "target", "weight", reason=reason.cast("int8"))


def _joined(marked: ibis.Table, users: ibis.Table) -> ibis.Table:
    """Return edges with codes of users instead of ids: columns from_, to_, weight, reason."""
    codes = users.select("user", "code")
    by_source = codes.rename(source="user", from_="code")
    by_target = codes.rename(target="user", to_="code")
    joined = marked.left_join(by_source, "source").select("target", "weight", "reason", "from_")
    joined = joined.left_join(by_target, "target")
    unknown = (joined.reason == KEPT) & (joined.from_.isnull() | joined.to_.isnull())
    reason = unknown.ifelse(REASONS.index("unknown_users"), joined.reason).cast("int8")
    return joined.select("from_", "to_", "weight", reason=reason)


def _inside(time: Any, spec: ExposureSpec) -> Any:
    import ibis

    assert spec.window is not None
    low, high = (ibis.literal(value) for value in spec.window)
    dated = low.type().is_temporal()
    if not (time.type().is_temporal() if dated else time.type().is_numeric()):
        raise ColumnTypeError(
            f"column {spec.time!r} (time) of the edges holds {time.type()}, but the window is "
            f"{spec.window[0]!r} to {spec.window[1]!r}; give both as dates or both as numbers"
        )
    offsets = [getattr(value, "tzinfo", None) is not None for value in spec.window]
    zoned = getattr(time.type(), "timezone", None) is not None
    if dated and offsets != [zoned, zoned]:
        has, lacks = ("a", "lacks") if zoned else ("no", "has")
        raise ColumnTypeError(
            f"column {spec.time!r} (time) of the edges has {has} time zone, the window "
            f"{spec.window[0]} to {spec.window[1]} {lacks} one: "
            "give both with a time zone, or both without"
        )
    return (time >= low) & (time < high)


def _check_counts(
    found: dict[str, int],
    duplicates: int,
    rows: int,
    spec: ExposureSpec,
    marked: ibis.Table,
    users: ibis.Table,
) -> None:
    if spec.self_loops == "error" and found.get("self_loops"):
        raise DataError(
            f"{found['self_loops']:,} of {rows:,} edges go from a user to the same user; leave "
            "them out, or set self_loops = 'drop'"
        )
    if spec.unknown_users == "error" and (unknown := found.get("unknown_users")):
        raise DataError(
            f"{unknown:,} of {rows:,} edges have a user who is not in the users' table, such as "
            f"{_listed(_some_unknown(marked, users))}; add those users, or set unknown_users = "
            "'drop' (their ties are then not counted)"
        )
    if spec.duplicates == "error" and duplicates:
        raise DataError(
            f"{duplicates:,} of {rows:,} edges repeat another one's pair of users; merge them, or "
            "set duplicates = 'merge' (their weights are then added up)"
        )
    if not found.get("kept"):
        told = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in found.items())
        raise DataError(f"no edge of {rows:,} is left ({told}): nobody can be exposed")


def _some_unknown(marked: ibis.Table, users: ibis.Table) -> list[Any]:
    edges = marked.filter(marked.reason == KEPT)
    ends = edges.select(user="source").union(edges.select(user="target"), distinct=True)
    unknown = ends.anti_join(users, "user").order_by("user").limit(3)
    return run(unknown)["user"].tolist()


def _directed(pairs: ibis.Table, spec: ExposureSpec) -> ibis.Table:
    """Return the pairs of a user and the other user who reaches them."""
    outwards = pairs.select(user="from_", other="to_", weight="weight")
    inwards = pairs.select(user="to_", other="from_", weight="weight")
    if spec.direction == "out":
        return outwards
    if spec.direction == "in":
        return inwards
    both = outwards.union(inwards)
    return both.group_by(["user", "other"]).aggregate(weight=both.weight.sum())


def second_hop(first: ibis.Table) -> ibis.Table:
    """Return the ties of collaborators and of their collaborators.

    A path's weight is that of its weaker tie; several paths between two users add up.
    """
    import ibis

    onward = first.rename(via="user", end="other", onward="weight")
    joined = first.inner_join(onward, first.other == onward.via)
    joined = joined.filter(joined.user != joined.end)
    paths = joined.select(
        user=joined.user, other=joined.end, weight=ibis.least(joined.weight, joined.onward)
    )
    both = first.select("user", "other", "weight").union(paths)
    return kept(both.group_by(["user", "other"]).aggregate(weight=both.weight.sum()))


def touched(ties: ibis.Table, users: ibis.Table) -> dict[str, NDArray[Any]]:
    """Count every user's collaborators by unit of assignment: user, unit, n, weight; sorted.

    `users` has columns code and unit.
    """
    units = users.select(other="code", unit="unit")
    joined = ties.inner_join(units, "other")
    counted = joined.group_by(["user", "unit"]).aggregate(
        n=joined.count().cast("int32"), weight=joined.weight.sum()
    )
    table = counted.order_by(["user", "unit"]).to_pyarrow()
    found = {}
    for name in table.column_names:  # let go of each column once it is copied
        found[name] = table[name].to_numpy()
        table = table.drop_columns([name])
    return found


def _listed(values: list[Any]) -> str:
    return ", ".join(map(repr, values))
