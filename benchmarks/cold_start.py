"""From a new process to a first posterior, with fresh and with warm compilation caches."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

import bayescluster as bc

from .processes import progress, run_task
from .tables import Section, figure, times

FAMILIES = ("gaussian", "lognormal", "bernoulli", "poisson", "negative_binomial", "student_t")
PARTS = ("import", "experiment", "estimates", "fit", "total")
Figures = dict[str, Any]


def run(quick: bool = False) -> Section:
    """Time new processes; quick runs use the user's own caches, once."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "users.parquet"
        bc.load_tutorial().to_parquet(data)
        repeats = 1 if quick else 3
        found = {"estimates only": _repeat("first_estimates", data, [None] * repeats)}
        if quick:
            found["posterior, the user's own caches"] = _repeat("first_posterior", data, [None])
        else:
            caches = [Path(folder) / f"caches{i}" for i in range(repeats)]
            found["posterior, fresh caches"] = _repeat("first_posterior", data, caches)
            found["posterior, warm caches"] = _repeat("first_posterior", data, caches)
    return _section(found, repeats)


def run_families(quick: bool = False) -> Section:
    """Time a new process to the first posterior of each family, fresh caches, then warm ones."""
    rows = []
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "users.parquet"
            _users(family).to_parquet(data)
            caches = [None if quick else Path(folder) / "caches"]
            task = f"first_posterior_{family}"
            fresh = _repeat(task, data, caches)
            warm = fresh if quick else _repeat(task, data, caches)
        rows.append([family, *(figure(x) for x in (fresh["total"], warm["total"], warm["import"]))])
    return Section(
        "First posterior of each family",
        "Seconds from the start of a new process on a Parquet file of 5,000 users in 50 clusters "
        "to the end of `bayescluster.fit`.",
        ("family", "fresh caches", "warm caches", "of which imports"),
        rows,
        ["One run each. fit_exact needs no compilation: see the section on integration."],
    )


def _users(family: str) -> pd.DataFrame:
    """Return users whose outcome suits the family."""
    alike = {"negative_binomial": "poisson", "student_t": "gaussian"}
    scenario = bc.simulate.Scenario(
        n_clusters=50, cluster_size=100, family=alike.get(family, family)
    )
    return scenario.simulate(1)


def _repeat(task: str, data: Path, caches: Sequence[Path | None]) -> Figures:
    """Run a task once for each folder of caches; return the median of every figure."""
    runs = []
    for folder in caches:
        progress(f"{task}, {'own' if folder is None else folder.name}")
        runs.append(run_task(task, str(data), caches=folder))
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _section(found: dict[str, Figures], repeats: int) -> Section:
    least = found["estimates only"]["total"]
    rows = [
        [
            name,
            *(figure(result[part]) if part in result else "-" for part in PARTS),
            times(result["total"] / least),
        ]
        for name, result in found.items()
    ]
    imported = bool(found["estimates only"]["pymc_imported"])
    return Section(
        "Cold start",
        "Seconds from the start of a new process on a Parquet file of 50,000 users to its end.",
        ("new process to", *PARTS, "total against estimates"),
        rows,
        (
            f"Median of {repeats} run(s). The file system's cache is warm, and .pyc files exist. "
            "Total includes the interpreter's start and end.",
            "Estimates: two_exposure, naive_ols, cluster_wls and cluster_bootstrap with 10,000 "
            f"draws. PyMC imported for them: {'yes' if imported else 'no'}.",
            "Fresh: an empty PyTensor compilation folder (base_compiledir, where Numba's compiled "
            "functions of the graph are stored, too) and NUMBA_CACHE_DIR; warm: those of the fresh "
            "run.",
        ),
        ["the estimates import PyMC"] if imported else [],
    )
