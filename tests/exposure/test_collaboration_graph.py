"""Reading a collaboration graph: every source and id alike, every row accounted for, bad graphs."""

from datetime import UTC, date, datetime

import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import bayescluster as bc

# Workspaces: a = {1, 2}, b = {3, 4}, c = {5}, and d = {6}, who has no tie.
USERS = pd.DataFrame(
    {
        "user": [5, 1, 2, 3, 4, 6],
        "workspace": ["c", "a", "a", "b", "b", "d"],
        "t": [0, 1, 1, 0, 0, 1],
    }
)
EDGES = pd.DataFrame(
    {"from": [1, 1, 3, 4, 5], "to": [2, 3, 1, 1, 3], "n": [1.0, 2.0, 0.5, 4.0, 3.0]}
)


def graph(edges=EDGES, users=USERS, by_user=False, **options):
    return bc.exposure.CollaborationGraph(
        edges,
        users,
        user="user",
        cluster="workspace",
        options=bc.spec.ExposureSpec(**options),
        by_user=by_user,
    )


def table(collaborators):
    """Entries by hand: {user: {unit's label: (collaborators, weight)}}."""
    labels = collaborators.users if collaborators.by_user else collaborators.clusters
    found = {user: {} for user in collaborators.users.tolist()}
    for at, user in enumerate(collaborators.users.tolist()):
        for e in range(collaborators.start[at], collaborators.start[at + 1]):
            found[user][labels.tolist()[collaborators.other[e]]] = (
                int(collaborators.count[e]),
                float(collaborators.weight[e]),
            )
    return found


def assert_same(a, b):
    for name in ("users", "clusters", "cluster", "unit", "start", "other", "count", "weight"):
        assert getattr(a, name).tolist() == getattr(b, name).tolist(), name
    assert a.n_units == b.n_units


def brute_force(edges, users, direction, hops, weighted, by_user=False):
    """Entries by plain loops over rows: no join, no matrix."""
    tie = {}
    for row in edges.itertuples(index=False):
        a, b, w = row[0], row[1], row[2] if weighted else 1.0
        if a == b or w == 0:
            continue
        ends = {"both": [(a, b), (b, a)], "out": [(a, b)], "in": [(b, a)]}[direction]
        for user, other in ends:
            tie[user, other] = tie.get((user, other), 0.0) + w
    if hops == 2:
        paths = dict(tie)
        for (user, via), first in tie.items():
            for (start, end), onward in tie.items():
                if start == via and end != user:
                    paths[user, end] = paths.get((user, end), 0.0) + min(first, onward)
        tie = paths
    unit = {u: u if by_user else w for u, w in zip(users["user"], users["workspace"], strict=True)}
    found = {user: {} for user in sorted(users["user"])}
    for (user, other), weight in tie.items():
        count, total = found[user].get(unit[other], (0, 0.0))
        found[user][unit[other]] = (count + 1, total + weight)
    return found


def stored(connection, name, frame):
    connection.con.register("frame", frame)
    connection.raw_sql(f"CREATE TABLE {name} AS SELECT * FROM frame")
    connection.con.unregister("frame")
    return connection.table(name)


def random_graph(seed, n=40, m=160):
    rng = np.random.default_rng(seed)
    users = pd.DataFrame({"user": rng.permutation(n), "workspace": rng.integers(0, 7, n)})
    edges = pd.DataFrame({"from": rng.integers(0, n, m), "to": rng.integers(0, n, m)})
    edges["n"] = rng.integers(0, 5, m) / 4  # sums of quarters have no rounding
    return edges, users


# --- sources -----------------------------------------------------------------------------------


SOURCES = {
    "polars": lambda d, path: pl.from_pandas(d),
    "polars lazy": lambda d, path: pl.from_pandas(d).lazy(),
    "pyarrow": lambda d, path: pa.Table.from_pandas(d),
    "stream": lambda d, path: pa.Table.from_pandas(d).to_reader(),
    "csv": lambda d, path: d.to_csv(path, index=False) or f"{path}",
    "parquet": lambda d, path: d.to_parquet(path) or path,
    "categories": lambda d, path: (
        d.assign(workspace=pd.Categorical(d["workspace"], list("dbca"))) if "workspace" in d else d
    ),
    "shuffled": lambda d, path: d.sample(frac=1, random_state=0),
    "odd index": lambda d, path: d.set_index(pd.Index(np.full(len(d), 7))),
    "narrow types": lambda d, path: d.astype(
        {c: "int16" for c in d.columns if d[c].dtype == "int64"}
    ),
}


def read(source, edges, users, folder):
    ending = ".csv" if source == "csv" else ".parquet"
    made = [SOURCES[source](d, folder / f"{n}{ending}") for n, d in (("e", edges), ("u", users))]
    return graph(*made, weight="n")


@pytest.mark.parametrize("ids", ["integers", "strings"])
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_touches(source, ids, tmp_path):
    edges, users = EDGES, USERS
    if ids == "strings":
        edges, users = (d.rename(columns={}) for d in (edges, users))
        for frame, columns in ((edges, ["from", "to"]), (users, ["user"])):
            for column in columns:
                frame[column] = "u" + frame[column].astype(str)
    expected = graph(edges, users, weight="n")
    found = read(source, edges, users, tmp_path)
    assert_same(found.collaborators, expected.collaborators)
    assert found.counts == expected.counts
    name = (lambda i: f"u{i}") if ids == "strings" else int
    assert table(found.collaborators)[name(1)] == {"a": (1, 1.0), "b": (2, 6.5)}


@pytest.mark.parametrize("which", ["edges", "users", "both"])
def test_ibis_tables_are_joined_where_they_live(which):
    connection = ibis.duckdb.connect()
    made = {
        "edges": stored(connection, "e", EDGES),
        "users": stored(connection, "u", USERS),
    }
    edges = made["edges"].filter(made["edges"].n > 0) if which != "users" else EDGES
    users = made["users"] if which != "edges" else USERS
    found = graph(edges, users, weight="n")
    assert_same(found.collaborators, graph(weight="n").collaborators)
    listed = "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
    assert sorted(connection.con.execute(listed).fetchall()) == [
        ("e",),
        ("u",),
    ]  # what is kept is temporary


def test_labels_are_in_our_order_not_in_the_engines():
    """DuckDB sorts an ENUM by its declaration."""
    connection = ibis.duckdb.connect()
    connection.raw_sql("CREATE TYPE place AS ENUM ('d', 'b', 'c', 'a')")
    stored(connection, "plain", USERS)
    connection.raw_sql("CREATE TABLE u AS SELECT user, workspace::place AS workspace, t FROM plain")
    users = connection.table("u")
    found = graph(EDGES, users, weight="n")
    assert found.clusters.tolist() == list("abcd")
    assert_same(found.collaborators, graph(weight="n").collaborators)
    assert_same(graph(EDGES, users, hops=2).collaborators, graph(hops=2).collaborators)


def test_a_stream_of_users_is_read_once():
    spec = make_spec()
    plain = bc.expose(EDGES, USERS, spec)
    found = bc.expose(EDGES, pa.Table.from_pandas(USERS).to_reader(), spec)
    pd.testing.assert_frame_equal(found.to_dataframe(), plain.to_dataframe())
    columns = ["user", "workspace", "t", "s", "expected_exposure"]
    ours = found.data.to_pandas().sort_values("user")[columns].reset_index(drop=True)
    theirs = plain.data.sort_values("user")[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)


def test_the_callers_data_are_not_changed():
    edges, users = EDGES.copy(deep=True), USERS.copy(deep=True)
    exposure = bc.expose(edges, users, make_spec(weight="n", hops=2))
    assert list(exposure.data.columns[:3]) == ["user", "workspace", "t"]
    assert exposure.data["user"].tolist() == USERS["user"].tolist()
    pd.testing.assert_frame_equal(edges, EDGES)
    pd.testing.assert_frame_equal(users, USERS)


# --- options -----------------------------------------------------------------------------------


BY_HAND = {
    "both": {
        1: {"a": (1, 1.0), "b": (2, 6.5)},
        2: {"a": (1, 1.0)},
        3: {"a": (1, 2.5), "c": (1, 3.0)},
        4: {"a": (1, 4.0)},
        5: {"b": (1, 3.0)},
        6: {},
    },
    "out": {
        1: {"a": (1, 1.0), "b": (1, 2.0)},
        2: {},
        3: {"a": (1, 0.5)},
        4: {"a": (1, 4.0)},
        5: {"b": (1, 3.0)},
        6: {},
    },
    "in": {
        1: {"b": (2, 4.5)},
        2: {"a": (1, 1.0)},
        3: {"a": (1, 2.0), "c": (1, 3.0)},
        4: {},
        5: {},
        6: {},
    },
}


@pytest.mark.parametrize("direction", BY_HAND)
def test_direction_says_whose_treatment_reaches_whom(direction):
    found = graph(weight="n", direction=direction)
    assert table(found.collaborators) == BY_HAND[direction]
    assert found.counts.reciprocal == (1 if direction == "both" else 0)  # 1 and 3
    assert found.counts.ties == sum(
        n for one in BY_HAND[direction].values() for n, _ in one.values()
    )
    degree = [
        sum(n for u, (n, _) in BY_HAND[direction][i].items() if u != w) for i, w in OWN.items()
    ]
    assert found.collaborators.degree.tolist() == degree


OWN = {1: "a", 2: "a", 3: "b", 4: "b", 5: "c", 6: "d"}


def test_single_users_as_units():
    found = graph(weight="n", by_user=True)
    assert table(found.collaborators) == {
        1: {2: (1, 1.0), 3: (1, 2.5), 4: (1, 4.0)},
        2: {1: (1, 1.0)},
        3: {1: (1, 2.5), 5: (1, 3.0)},
        4: {1: (1, 4.0)},
        5: {3: (1, 3.0)},
        6: {},
    }
    assert found.collaborators.degree.tolist() == [2, 0, 2, 1, 1, 0]
    assert found.collaborators.unit_cluster.tolist() == [0, 0, 1, 1, 2, 3]


def test_two_hops_by_hand():
    """A path weighs as its weaker tie, paths add up, and the way back to oneself is none."""
    assert table(graph(weight="n", hops=2).collaborators) == {
        1: {"a": (1, 1.0), "b": (2, 6.5), "c": (1, 2.5)},
        2: {"a": (1, 1.0), "b": (2, 2.0)},
        3: {"a": (2, 3.5), "b": (1, 2.5), "c": (1, 3.0)},
        4: {"a": (2, 5.0), "b": (1, 2.5)},
        5: {"a": (1, 2.5), "b": (1, 3.0)},
        6: {},
    }


@pytest.mark.parametrize("by_user", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("direction", ["both", "out", "in"])
def test_touches_equal_plain_loops(direction, hops, weighted, by_user):
    edges, users = random_graph(hops)
    options = {"weight": "n"} if weighted else {}
    found = graph(edges, users, by_user=by_user, direction=direction, hops=hops, **options)
    expected = brute_force(edges, users, direction, hops, weighted, by_user)
    assert table(found.collaborators) == expected
    within = dict(zip(users["user"], users["workspace"], strict=True))
    cluster = within if by_user else {w: w for w in users["workspace"]}
    touched = [
        sum(cluster[unit] != within[user] for unit in expected[user]) for user in sorted(expected)
    ]
    assert found.collaborators.n_touched.tolist() == touched
    for inside in (False, True):
        matrix = found.collaborators.matrix("weight", within=inside).todense()
        for user, row in zip(sorted(expected), matrix, strict=True):
            own = sum(
                w
                for unit, (_, w) in expected[user].items()
                if (cluster[unit] == within[user]) == inside
            )
            assert row.sum() == own


def test_ties_between_clusters():
    found = graph(weight="n")
    expected = [[2, 2, 0, 0], [2, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert found.ties_between.tolist() == expected
    assert found.cross_share == pytest.approx(6 / 8, rel=1e-15)
    assert graph(by_user=True).ties_between.tolist() == expected
    assert repr(found).startswith("CollaborationGraph(6 users in 4 clusters, 4 ties, 75.0%")


def test_every_row_is_accounted_for():
    day = [date(2026, 1, d) for d in (1, 2, 3, 9)]
    rows = [
        (1, 3, "review", day[1], 1.0),  # kept
        (1, 3, "review", day[2], 2.0),  # merged into it
        (3, 1, "review", day[0], 1.0),  # kept; reciprocal
        (4, 1, "message", day[1], 1.0),  # kept
        (5, 1, "chat", day[1], 1.0),  # of another kind
        (5, 1, None, day[1], 1.0),  # of no kind
        (99, 1, "chat", day[1], 1.0),  # of another kind, before it is of an unknown user
        (5, 1, "review", day[3], 1.0),  # outside: the window ends before
        (5, 1, "review", None, 1.0),  # of no time
        (5, 1, "review", day[1], 0.0),  # of weight 0
        (5, 5, "review", day[1], 1.0),  # self-loop
        (99, 99, "review", day[1], 1.0),  # self-loop, before it is of an unknown user
        (99, 1, "review", day[1], 1.0),  # unknown
        (1, 98, "review", day[1], 1.0),  # unknown
    ]
    edges = pd.DataFrame(rows, columns=["from", "to", "what", "when", "n"])
    options = {
        "kind": "what",
        "kinds": ("review", "message"),
        "time": "when",
        "window": (day[0], day[3]),
        "weight": "n",
    }
    found = graph(edges, unknown_users="drop", **options)
    counts = found.to_dataframe()
    assert counts.to_dict("records") == [
        {"what": "rows of edges read", "count": 14},
        {"what": "of other kinds", "count": 3},
        {"what": "outside the window", "count": 2},
        {"what": "of weight 0", "count": 1},
        {"what": "self-loops", "count": 2},
        {"what": "of users not in the users' table", "count": 2},
        {"what": "merged into another row of the same pair", "count": 1},
        {"what": "pairs with edges both ways, merged into one tie", "count": 1},
        {"what": "ties (each seen from each user it can expose)", "count": 4},
    ]
    # Rows read less those left out or merged are directed pairs; both ways, less the reciprocal.
    assert 2 * (14 - 3 - 2 - 1 - 2 - 2 - 1) - 2 * 1 == 4
    assert table(found.collaborators)[1] == {"b": (2, 5.0)}
    with pytest.raises(
        bc.errors.DataError, match=r"2 of 14 edges have a user .* such as 98, 99; add"
    ):
        graph(edges, **options)
    with pytest.raises(bc.errors.DataError, match="2 of 14 edges go from a user to the same user"):
        graph(edges, unknown_users="drop", self_loops="error", **options)
    with pytest.raises(
        bc.errors.DataError, match="1 of 14 edges repeat another one's pair of users"
    ):
        graph(edges, unknown_users="drop", duplicates="error", **options)


def test_an_unknown_user_is_named_only_where_the_row_counts():
    edges = pd.DataFrame({"from": [1, -7, 99], "to": [3, 3, 3], "what": ["a", "b", "a"]})
    with pytest.raises(bc.errors.DataError, match=r"1 of 3 edges have a user .*, such as 99; add"):
        graph(edges, kind="what", kinds=("a",))


def test_reciprocal_edges_are_no_duplicates():
    edges = pd.DataFrame({"from": [1, 3], "to": [3, 1]})
    found = graph(edges, duplicates="error")
    assert (found.counts.duplicates, found.counts.reciprocal, found.counts.ties) == (0, 1, 2)
    assert table(found.collaborators)[1] == {"b": (1, 2.0)}


@pytest.mark.parametrize(
    ("time", "window"),
    [
        ([1, 2, 3, 4, 5], (2, 4)),
        ([0.5, 2.0, 3.999, 4.0, 5.0], (2, 4)),
        ([1, 2, 3, 4, 5], (1.5, 3.5)),
        ([date(2026, 3, d) for d in (1, 2, 3, 4, 5)], (date(2026, 3, 2), date(2026, 3, 4))),
        (pd.date_range("2026-03-01", periods=5), (date(2026, 3, 2), date(2026, 3, 4))),
        (
            pd.date_range("2026-03-01 12:00", periods=5),
            (datetime(2026, 3, 2, 12), datetime(2026, 3, 4, 12)),
        ),
        (
            pd.date_range("2026-03-01 12:00", periods=5, tz="Asia/Tokyo"),
            (datetime(2026, 3, 2, 3, tzinfo=UTC), datetime(2026, 3, 4, 3, tzinfo=UTC)),
        ),
    ],
)
def test_a_window_keeps_from_its_start_to_before_its_end(time, window):
    found = graph(EDGES.assign(at=time), time="at", window=window)
    assert found.counts.outside_window == 3
    assert table(found.collaborators) == table(graph(EDGES[1:3]).collaborators)


@pytest.mark.parametrize("kinds", [("1", "2"), ()])
def test_kinds_may_be_numbers(kinds):
    edges = EDGES.assign(what=[1, 2, 3, 3, 3])
    found = graph(edges, kind="what", kinds=kinds)
    assert found.counts.other_kinds == (3 if kinds else 0)


def test_options_survive_toml():
    spec = make_spec(time="at", window=(date(2026, 3, 2), date(2026, 3, 4)), kind="what")
    again = bc.ModelSpec.from_toml(spec.to_toml())
    assert again == spec
    assert again.exposure.window == (date(2026, 3, 2), date(2026, 3, 4))


# --- bad graphs --------------------------------------------------------------------------------


def put(frame, column, values, rows):
    frame = frame.astype({column: object if isinstance(values, str | None) else float})
    frame.loc[frame.index[rows], column] = values
    return frame


BAD = {
    "no edges": (
        lambda e, u: (e[:0], u),
        {},
        bc.errors.DataError,
        r"the edges' table has no rows: without ties nobody can be exposed",
    ),
    "no edges, without types": (
        lambda e, u: (pd.DataFrame({"from": [], "to": []}), u),
        {},
        bc.errors.DataError,
        r"the edges' table has no rows",
    ),
    "unknown users": (
        lambda e, u: (e.replace({"to": {2: 77}, "from": {5: 78}}), u),
        {},
        bc.errors.DataError,
        r"2 of 5 edges have a user who is not in the users' table, such as 77, 78; add those users",
    ),
    "negative weights": (
        lambda e, u: (put(e, "n", -1.0, slice(0, 2)), u),
        {"weight": "n"},
        bc.errors.DataError,
        r"column 'n' \(weight\) of the edges is negative in 2 of 5 rows",
    ),
    "NaN weights": (
        lambda e, u: (put(e, "n", np.nan, slice(0, 3)), u),
        {"weight": "n"},
        bc.errors.MissingValueError,
        r"column 'n' \(weight\) of the edges is null, NaN or infinite in 3 of 5 rows",
    ),
    "NaN weights in polars": (
        lambda e, u: (pl.DataFrame({"from": [1, 3], "to": [3, 1], "n": [float("nan"), None]}), u),
        {"weight": "n"},
        bc.errors.MissingValueError,
        r"null, NaN or infinite in 2 of 2 rows",
    ),
    "null weights, integers": (
        lambda e, u: (e.assign(n=pd.array([1, None, 2, None, 3], dtype="Int64")), u),
        {"weight": "n"},
        bc.errors.MissingValueError,
        r"null, NaN or infinite in 2 of 5 rows",
    ),
    "infinite weights": (
        lambda e, u: (put(e, "n", -np.inf, slice(0, 1)), u),
        {"weight": "n"},
        bc.errors.MissingValueError,
        r"null, NaN or infinite in 1 of 5 rows",
    ),
    "weights are text": (
        lambda e, u: (e.assign(n="many"), u),
        {"weight": "n"},
        bc.errors.ColumnTypeError,
        r"column 'n' \(weight\) of the edges holds string in all 5 rows, not numbers",
    ),
    "weights of 0": (
        lambda e, u: (e.assign(n=0), u),
        {"weight": "n"},
        bc.errors.DataError,
        r"column 'n' \(weight\) of the edges is 0 in all 5 rows",
    ),
    "ids of another type": (
        lambda e, u: (e.astype({"to": str}), u),
        {},
        bc.errors.ColumnTypeError,
        r"column 'to' of the edges holds string in all 5 rows, column 'user' of the users int64",
    ),
    "ids as numbers with a fraction": (
        lambda e, u: (e.astype({"from": float}), u),
        {},
        bc.errors.ColumnTypeError,
        r"column 'from' of the edges holds float64 in all 5 rows, column 'user' of the users int64",
    ),
    "users' ids of another type": (
        lambda e, u: (e, u.astype({"user": str})),
        {},
        bc.errors.ColumnTypeError,
        r"column 'from' of the edges holds int64 in all 5 rows, column 'user' of the users string",
    ),
    "null ids": (
        lambda e, u: (put(e, "from", np.nan, slice(0, 2)), u),
        {},
        bc.errors.MissingValueError,
        r"column 'from' \(source\) of the edges is null in 2 of 5 rows; leave those rows out",
    ),
    "null target": (
        lambda e, u: (e.assign(to=pd.array([1, 2, None, 3, 4], dtype="Int64")), u),
        {},
        bc.errors.MissingValueError,
        r"column 'to' \(target\) of the edges is null in 1 of 5 rows",
    ),
    "null users": (
        lambda e, u: (e, u.assign(user=pd.array([1, 2, 3, None, None, 4], dtype="Int64"))),
        {},
        bc.errors.MissingValueError,
        r"column 'user' \(user\) of the users' table is null in 2 of 6 rows",
    ),
    "null workspaces": (
        lambda e, u: (e, put(u, "workspace", None, slice(0, 3))),
        {},
        bc.errors.MissingValueError,
        r"column 'workspace' \(cluster\) of the users' table is null in 3 of 6 rows",
    ),
    "NaN ids in polars": (
        lambda e, u: (e, pl.DataFrame({"user": [1.0, float("nan")], "workspace": [1, 2]})),
        {},
        bc.errors.MissingValueError,
        r"column 'user' \(user\) of the users' table is null in 1 of 2 rows",
    ),
    "users in two workspaces": (
        lambda e, u: (
            e,
            pd.concat([u, pd.DataFrame({"user": [1, 2, 2], "workspace": list("bbc")})]),
        ),
        {},
        bc.errors.DuplicateUnitError,
        r"2 users are in two or more clusters \(column 'workspace'\), such as 2, 1: a user has one",
    ),
    "duplicate users": (
        lambda e, u: (e, pd.concat([u, u[:2], u[:1]])),
        {},
        bc.errors.DuplicateUnitError,
        r"2 users \(column 'user'\) occur in more than one row, such as 1, 5; keep one row per",
    ),
    "no users": (lambda e, u: (e, u[:0]), {}, bc.errors.DataError, r"the users' table has no rows"),
    "column of edges missing": (
        lambda e, u: (e.drop(columns="to"), u),
        {},
        bc.errors.MissingColumnError,
        r"edges: column 'to' is not in the data; its columns: 'from', 'n'",
    ),
    "column of weights missing": (
        lambda e, u: (e, u),
        {"weight": "minutes"},
        bc.errors.MissingColumnError,
        r"edges: column 'minutes' is not in the data",
    ),
    "column of users missing": (
        lambda e, u: (e, u.drop(columns="workspace")),
        {},
        bc.errors.MissingColumnError,
        r"users: column 'workspace' is not in the data; its columns: 'user', 't'",
    ),
    "no edge left": (
        lambda e, u: (e.assign(to=e["from"]), u),
        {},
        bc.errors.DataError,
        r"no edge of 5 is left \(5 self loops\): nobody can be exposed",
    ),
    "no edge of known users": (
        lambda e, u: (e + 100, u),
        {"unknown_users": "drop"},
        bc.errors.DataError,
        r"no edge of 5 is left \(5 unknown users\)",
    ),
    "no edge in the window": (
        lambda e, u: (e.assign(at=[1, 1, 1, 9, 9]), u),
        {"time": "at", "window": (2, 5)},
        bc.errors.DataError,
        r"no edge of 5 is left \(5 outside window\)",
    ),
    "window of dates for numbers": (
        lambda e, u: (e.assign(at=1), u),
        {"time": "at", "window": (date(2026, 1, 1), date(2026, 2, 1))},
        bc.errors.ColumnTypeError,
        r"column 'at' \(time\) of the edges holds int64, but the window is datetime.date",
    ),
    "window without a time zone": (
        lambda e, u: (e.assign(at=pd.date_range("2026-01-01", periods=5, tz="UTC")), u),
        {"time": "at", "window": (date(2026, 1, 1), date(2026, 2, 1))},
        bc.errors.ColumnTypeError,
        r"has a time zone, the window 2026-01-01 to 2026-02-01 lacks one",
    ),
    "window with a time zone": (
        lambda e, u: (e.assign(at=pd.date_range("2026-01-01", periods=5)), u),
        {
            "time": "at",
            "window": (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
        },
        bc.errors.ColumnTypeError,
        r"has no time zone, the window .* has one",
    ),
    "window of numbers for text": (
        lambda e, u: (e.assign(at="2026"), u),
        {"time": "at", "window": (1, 2)},
        bc.errors.ColumnTypeError,
        r"column 'at' \(time\) of the edges holds string, but the window is 1 to 2",
    ),
    "edges are no data": (
        lambda e, u: (42, u),
        {},
        bc.errors.DataError,
        r"edges: cannot read data of type int",
    ),
    "edges are no file": (
        lambda e, u: ("nowhere.parquet", u),
        {},
        bc.errors.DataError,
        r"edges: no file 'nowhere.parquet'",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_graphs_are_refused(fault):
    change, options, error, message = BAD[fault]
    edges, users = change(EDGES, USERS)
    with pytest.raises(error, match=message) as caught:
        graph(edges, users, **options)
    assert type(caught.value) is error


def test_tables_of_two_connections_are_refused():
    edges = stored(ibis.duckdb.connect(), "e", EDGES)
    users = stored(ibis.duckdb.connect(), "u", USERS)
    with pytest.raises(
        bc.errors.DataError, match="edges and users are tables of different Ibis connec"
    ):
        graph(edges, users)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ("a",)}, "kinds needs a kind column"),
        ({"window": (1, 2)}, "time and window go together"),
        ({"time": "at"}, "time and window go together"),
        ({"time": "at", "window": (2, 2)}, r"window must be \[from, to\) with from < to"),
        (
            {"time": "at", "window": (1, date(2026, 1, 1))},
            "window must be two numbers, two dates or two times; given 1, datetime.date",
        ),
        (
            {"time": "at", "window": (date(2026, 1, 1), datetime(2026, 1, 2))},
            "window must be two numbers, two dates or two times",
        ),
        ({"source": "to"}, "source and target must be two different columns"),
        ({"k": 2}, "k belongs to mapping 'at_least'"),
        ({"threshold": 0.1}, "threshold belongs to mapping 'share_above'"),
        ({"hops": 3}, "hops: Input should be 1 or 2"),
        ({"direction": "up"}, "direction: Input should be 'both', 'in' or 'out'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(bc.errors.SpecError, match=message):
        bc.spec.ExposureSpec(**options)


def make_spec(design=None, **options):
    roles = {"cluster": "workspace", "treatment": "t", "spillover": "s", "unit": "user"}
    return bc.ModelSpec(
        design={**roles, **(design or {})}, outcome={"column": "y"}, exposure=options
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (make_spec().model_copy(update={"exposure": None}), r"has no section \[exposure\]"),
        (make_spec({"unit": None}), r"exposure needs design.unit .* and design.spillover"),
        (make_spec({"spillover": None}), r"exposure needs design.unit"),
    ],
)
def test_a_specification_without_what_exposure_needs_is_refused(spec, message):
    with pytest.raises(bc.errors.SpecError, match=message):
        bc.expose(EDGES, USERS, spec)


BAD_TREATMENT = {
    "varies": (
        lambda u: u.assign(t=[0, 1, 0, 1, 0, 0]),
        bc.errors.TreatmentError,
        r"column 't' \(treatment\) varies within 2 clusters, such as 'a'; whole clusters",
    ),
    "is 2": (
        lambda u: u.assign(t=u["t"] * 2),
        bc.errors.TreatmentError,
        r"column 't' \(treatment\) of the users' table is neither 0 nor 1 in 3 of 6 rows",
    ),
    "is text": (
        lambda u: u.assign(t=np.where(u["t"] == 1, "yes", "no")),
        bc.errors.TreatmentError,
        r"is neither 0 nor 1 in 6 of 6 rows",
    ),
    "is null": (
        lambda u: put(u, "t", np.nan, slice(0, 2)),
        bc.errors.MissingValueError,
        r"column 't' \(treatment\) of the users' table is null in 2 of 6 rows",
    ),
    "is not there": (
        lambda u: u.drop(columns="t"),
        bc.errors.MissingColumnError,
        r"users: column 't' is not in the data; its columns: 'user', 'workspace'",
    ),
    "is the same everywhere": (
        lambda u: u.assign(t=1),
        bc.errors.DesignError,
        r"is 1 in all 4 clusters",
    ),
}


@pytest.mark.parametrize("fault", BAD_TREATMENT)
def test_bad_treatments_are_refused(fault):
    change, error, message = BAD_TREATMENT[fault]
    with pytest.raises(error, match=message) as caught:
        bc.expose(EDGES, change(USERS), make_spec())
    assert type(caught.value) is error


def test_treatments_may_be_booleans():
    plain = bc.expose(EDGES, USERS, make_spec())
    again = bc.expose(EDGES, USERS.assign(t=USERS["t"] == 1), make_spec())
    pd.testing.assert_frame_equal(again.to_dataframe(), plain.to_dataframe())


@pytest.mark.parametrize(
    ("mechanism", "strata", "error", "message"),
    [
        (
            None,
            ["x", None, None, "x", "x", "x"],
            bc.errors.MissingValueError,
            r"column 'b' \(strata\) of the users' table is null in 2 of 6 rows",
        ),
        (
            None,
            ["x", "x", "y", "x", "y", "y"],
            bc.errors.StrataError,
            r"2 clusters lie in more than one stratum of column 'b', such as 'a'",
        ),
        (
            None,
            ["x", "y", "y", "x", "x", "y"],
            bc.errors.DesignError,
            r"column 'b' \(strata\): stratum 'x' has 0 treated of 2 clusters",
        ),
        (
            "matched_pairs",
            ["x", "x", "x", "x", "x", "x"],
            bc.errors.StrataError,
            r"1 strata of column .b., such as .x., do not have two",
        ),
        (
            "matched_pairs",
            ["x", "y", "y", "x", "x", "y"],
            bc.errors.DesignError,
            r"column 'b' \(strata\): stratum 'x' has 0 treated of 2 clusters, where the mechanism",
        ),
    ],
)
def test_bad_strata_are_refused(mechanism, strata, error, message):
    spec = make_spec({"strata": "b", "mechanism": mechanism})
    with pytest.raises(error, match=message) as caught:
        bc.expose(EDGES, USERS.assign(b=strata), spec)
    assert type(caught.value) is error


def test_mechanisms_by_name():
    users = USERS.assign(b=["x", "x", "x", "y", "y", "y"])
    pairs = bc.expose(EDGES, users, make_spec({"strata": "b", "mechanism": "matched_pairs"}))
    assert pairs.mechanism.n_treated == {"x": 1, "y": 1}
    assert pairs.mechanism.strata.tolist() == ["x", "y", "x", "y"]
    assert bc.expose(EDGES, users, make_spec()).mechanism.n_treated == {0: 2}
    flips = bc.expose(EDGES, users, make_spec({"mechanism": "bernoulli"})).mechanism
    assert flips == bc.assignment.Bernoulli(4)
    rerandomised = {"mechanism": "rerandomised", "balance": ("x",), "max_distance": 1.0}
    spec = bc.ModelSpec(
        design={**make_spec().design.model_dump(), **rerandomised},
        outcome={"column": "y", "covariates": ("x",)},
        exposure={},
    )
    with pytest.raises(bc.errors.DesignError, match="pass the object, expose"):
        bc.expose(EDGES, users, spec)
    with pytest.raises(
        bc.errors.DesignError, match="the mechanism assigns 5 units, the graph has 4"
    ):
        bc.Exposure.of(
            graph().collaborators,
            [1, 0, 0, 1, 1],
            bc.exposure.AtLeast(),
            bc.assignment.Complete(5, 3),
        )
