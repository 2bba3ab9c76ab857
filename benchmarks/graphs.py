"""Exposure from a large collaboration graph, and the same in Spark as in DuckDB."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayescluster as bc

from .processes import progress, run_task
from .tables import Section, figure

EDGES, USERS, CLUSTERS = 10_000_000, 1_000_000, 2_000
SPARK_EDGES, SPARK_USERS, SPARK_CLUSTERS = 200_000, 20_000, 200
LIMIT_SECONDS, LIMIT_GB = 60.0, 4.0
#: Memory of DuckDB's buffers; it spills to disk beyond.
MEMORY_LIMIT = "1GB"
MASTER = "local-cluster[2,1,1024]"
OPTIONS = bc.spec.ExposureSpec(weight="messages")
SPEC = bc.ModelSpec(
    design={
        "cluster": "workspace",
        "treatment": "treated",
        "spillover": "spillover",
        "unit": "user",
    },
    outcome={"column": "outcome"},
    exposure=OPTIONS,
)


def write_graph(folder: Path, edges: int, users: int, clusters: int) -> None:
    """Write edges.parquet and users.parquet: any user to any other, a few users much more often."""
    rng = np.random.default_rng(0)
    source = (rng.pareto(1.5, edges) * users / 8 % users).astype(np.int64)
    target = rng.integers(0, users, edges)
    frame = pd.DataFrame(
        {
            "from": rng.permutation(users)[source],
            "to": target,
            "messages": rng.integers(1, 9, edges),
        }
    )
    frame.to_parquet(folder / "edges.parquet")
    workspace = rng.permutation(users) % clusters
    treated = (rng.permutation(clusters) < clusters // 2)[workspace]
    table = {"user": np.arange(users), "workspace": workspace, "treated": treated.astype(int)}
    pd.DataFrame(table).to_parquet(folder / "users.parquet")


def graph_data(argument: str) -> dict[str, Any]:
    """Write the large graph (in a process of its own, whose memory is not counted)."""
    write_graph(Path(argument), EDGES, USERS, CLUSTERS)
    return {}


def graph_exposure(argument: str) -> dict[str, Any]:
    """Go from files to exposures and their probabilities: seconds by part, and peak memory."""
    import resource

    import ibis

    folder = Path(argument)
    connection = ibis.duckdb.connect(memory_limit=MEMORY_LIMIT, temp_directory=str(folder / "tmp"))
    start = time.perf_counter()
    graph = bc.exposure.CollaborationGraph(
        connection.read_parquet(folder / "edges.parquet"),
        connection.read_parquet(folder / "users.parquet"),
        user="user",
        cluster="workspace",
        options=OPTIONS,
    )
    joined = time.perf_counter()
    collaborators = graph.collaborators
    counted = time.perf_counter()
    assignment = pd.read_parquet(folder / "users.parquet").groupby("workspace")["treated"].first()
    exposure = bc.Exposure.of(
        collaborators,
        assignment.to_numpy(),
        bc.exposure.AtLeast(),
        bc.assignment.Complete(CLUSTERS, CLUSTERS // 2),
    )
    done = time.perf_counter()
    again = bc.exposure.exposure_probabilities(
        collaborators,
        bc.exposure.AtLeast(2, "clusters"),
        bc.assignment.Complete(CLUSTERS, CLUSTERS // 2),
    )
    two = time.perf_counter()
    return {
        "graph": joined - start,
        "touches": counted - joined,
        "exposure": done - counted,
        "at_least_two": two - done,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "ties": graph.counts.ties,
        "entries": len(collaborators.other),
        "method": exposure.probabilities.method + ", " + again.method,
        "sums_to_one": float(np.abs(exposure.probabilities.condition.sum(axis=1) - 1).max()),
    }


def graph_spark(argument: str) -> dict[str, Any]:
    """Make the same exposures in DuckDB and in a Spark cluster of two executors; compare them."""
    import ibis
    import pyspark
    from pyspark.sql import SparkSession

    folder = Path(argument)
    write_graph(folder, SPARK_EDGES, SPARK_USERS, SPARK_CLUSTERS)
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    os.environ["SPARK_WORKER_DIR"] = str(folder / "spark")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(MASTER).config("spark.executor.memory", "768m")
    builder = builder.config("spark.ui.enabled", "false").config("spark.driver.host", "127.0.0.1")
    session = builder.config("spark.sql.shuffle.partitions", "4").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        connection = ibis.pyspark.connect(session)
        paths = [folder / "edges.parquet", folder / "users.parquet"]
        tables = [connection.read_parquet(str(path)) for path in paths]
        different = []
        seconds = {}
        for hops in (1, 2):
            options = OPTIONS.model_copy(update={"hops": hops})
            spec = SPEC.model_copy(update={"exposure": options})
            start = time.perf_counter()
            theirs = bc.expose(*tables, spec)
            seconds["spark", hops] = time.perf_counter() - start
            start = time.perf_counter()
            ours = bc.expose(*paths, spec)
            seconds["duckdb", hops] = time.perf_counter() - start
            different += [f"{name}, {hops} hop" for name in _different(ours, theirs)]
        mixed = bc.expose(tables[0], pd.read_parquet(paths[1]), SPEC)
        different += [f"{name}, frame" for name in _different(mixed, bc.expose(*paths, SPEC))]
        executors = session.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
    finally:
        session.stop()
    return {
        "different": different,
        "executors": executors,
        **{f"{engine}_{hops}": value for (engine, hops), value in seconds.items()},
    }


def _different(a: bc.Exposure, b: bc.Exposure) -> list[str]:
    """Return what differs between two exposures: every number must be the same."""
    names = ("users", "clusters", "cluster", "unit", "start", "other", "count", "weight")
    found = [
        n
        for n in names
        if not np.array_equal(getattr(a.collaborators, n), getattr(b.collaborators, n))
    ]
    if a.graph is None or b.graph is None or a.graph.counts != b.graph.counts:
        found.append("counts")
    return found + ["table"] * (not a.to_dataframe().equals(b.to_dataframe()))


def run(quick: bool) -> list[Section]:
    """Measure both; if `quick`, Spark is left out."""
    with tempfile.TemporaryDirectory() as folder:
        progress(f"writing {EDGES:,} edges")
        run_task("graph_data", folder)
        progress("exposure at scale")
        sections = [_scale(run_task("graph_exposure", folder))]
    if not quick:
        with tempfile.TemporaryDirectory() as folder:
            progress("Spark and DuckDB")
            sections.append(_spark(run_task("graph_spark", folder)))
    return sections


def _scale(found: dict[str, Any]) -> Section:
    total = sum(found[part] for part in ("graph", "touches", "exposure"))
    failed = []
    if total > LIMIT_SECONDS or found["peak"] > LIMIT_GB:
        failed.append(
            f"{total:.1f} s (of {LIMIT_SECONDS:g}), {found['peak']:.2f} GB (of {LIMIT_GB:g})"
        )
    if found["method"] != "closed form, closed form" or found["sums_to_one"] > 1e-12:
        failed.append(f"probabilities by {found['method']}, off by {found['sums_to_one']:.1g}")
    return Section(
        title="Exposure at scale",
        lead=(
            f"{EDGES:,} edges over {USERS:,} users in {CLUSTERS:,} workspaces, Parquet files, no "
            f"locality at all (the worst case): {found['ties']:,} ties, {found['entries']:,} pairs "
            f"of a user and a touched workspace. A new process; DuckDB's buffers limited to "
            f"{MEMORY_LIMIT}."
        ),
        columns=["part", "seconds"],
        rows=[
            ["edges and users joined, cleaned, counted", figure(found["graph"])],
            ["collaborators by workspace", figure(found["touches"])],
            ["exposures and closed-form probabilities", figure(found["exposure"])],
            ["**together**", f"**{figure(total)}**"],
            [
                "probabilities of two treated workspaces or more, besides",
                figure(found["at_least_two"]),
            ],
            ["**peak memory of the process, GB**", f"**{found['peak']:.2f}**"],
        ],
        failed=failed,
    )


def _spark(found: dict[str, Any]) -> Section:
    failed = [f"Spark differs from DuckDB: {', '.join(found['different'])}"]
    return Section(
        title="The same exposures from Spark",
        lead=(
            f"{SPARK_EDGES:,} edges over {SPARK_USERS:,} users in {SPARK_CLUSTERS:,} workspaces, "
            f"through Ibis, Spark in {MASTER} with {found['executors']} executors, first queries "
            "included. Every touched workspace, weight, count, exposure and probability is equal, "
            "of users in Spark and of users handed over as a frame."
        ),
        columns=["seconds", "Spark", "DuckDB"],
        rows=[
            [f"{hops} hop", figure(found[f"spark_{hops}"]), figure(found[f"duckdb_{hops}"])]
            for hops in (1, 2)
        ],
        failed=failed if found["different"] or found["executors"] != 2 else [],
    )
