"""ESS of the direct effect per second: bambi, PyMC on rows, and ours, as the data grow."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .processes import progress, run_task
from .tables import Section, figure, times

OURS = "ours_in_parts"
NAMES = {
    "bambi_default": "bambi, `(1\\|workspace)`, default sampler",
    "bambi_nutpie": "bambi, `(1\\|workspace)`, nutpie",
    "pymc_on_rows": "PyMC on rows, centred, nutpie",
    "ours_whole": "bayescluster.fit",
    OURS: "its parts: compile, nutpie.sample",
}
#: Largest size that each contender is run at.
LIMITS = {"bambi_default": 50_000, "bambi_nutpie": 50_000, "pymc_on_rows": 500_000}
#: Largest believable difference of two posterior means, in Monte Carlo standard errors.
MAX_DIFFERENCE = 4.0
#: Effective draws below which four chains have not converged (100 a chain).
MIN_ESS = 400
Results = dict[tuple[int, str], dict[str, Any]]


def run(quick: bool = False) -> list[Section]:
    """Run every peer at every feasible size, each in a process of its own."""
    sizes = [50_000] if quick else [50_000, 500_000, 5_000_000]
    skipped = {"bambi_default", "bambi_nutpie", "ours_whole"} if quick else set()
    results: Results = {}
    for size in sizes:
        for task in NAMES:
            if task not in skipped and size <= LIMITS.get(task, size):
                progress(f"{task} at {size:,} users")
                results[size, task] = _run_alone(task, size, fresh=not quick)
    sections = [_contenders(results, fresh=not quick)]
    return sections if quick else [*sections, _growth(results, sizes)]


def _run_alone(task: str, size: int, fresh: bool) -> dict[str, Any]:
    """Run one contender; `fresh` gives it empty compilation caches."""
    if not fresh:
        return run_task(task, str(size))
    with tempfile.TemporaryDirectory() as folder:
        return run_task(task, str(size), caches=Path(folder))


def _contenders(results: Results, fresh: bool) -> Section:
    rows, failed = [], []
    for (size, task), result in results.items():
        ours = results[size, OURS]
        apart = {name: _apart(result, ours, name) for name in ("direct", "spillover")}
        failed += [
            f"{NAMES[task]} at {size:,} users: {name} differs by {value:.1f} Monte Carlo errors"
            for name, value in apart.items()
            if not abs(value) < MAX_DIFFERENCE
        ]
        rows.append(_row(size, task, result, ours, list(apart.values())))
    columns = ("method", "users", "read, s", "compile, s", "sample, s", "ESS")
    rates = ("ESS/s sampling", "ours faster", "ESS/s, all", "ours faster")
    return Section(
        "Posterior",
        "Effective draws (bulk ESS) of `direct` per second, 4 chains x (1,000 + 1,000). "
        "Sampling only, then with reading and compilation counted.",
        (*columns, *rates, "direct, MCSE", "spillover, MCSE"),
        rows,
        [*_notes(fresh), *_not_converged(results)],
        failed,
    )


def _row(
    size: int, task: str, result: dict[str, Any], ours: dict[str, Any], apart: Sequence[float]
) -> list[str]:
    spent = [result[part] for part in ("read", "compile", "sample")]
    seconds = [figure(value) if value else "-" for value in spent]
    rates = []
    for rate in (_sampling_rate, _whole_rate):
        against = "1" if task == OURS else times(rate(ours) / rate(result))
        rates += [figure(rate(result)), against]
    differences = ["-"] * 2 if task == OURS else [f"{value:+.1f}" for value in apart]
    return [NAMES[task], f"{size:,}", *seconds, f"{result['ess']:,.0f}", *rates, *differences]


def _notes(fresh: bool) -> list[str]:
    caches = "empty compilation caches" if fresh else "the user's own compilation caches"
    limits = {NAMES[task]: limit for task, limit in LIMITS.items()}
    bear = "; ".join(f"{name} to {limit:,} users" for name, limit in limits.items())
    return [
        f"Each row is a new process with {caches}; imports are not counted (see the cold start).",
        "All peers have our priors, and their sampler's default settings; ours has the "
        "target_accept that bayescluster.fit sets. `ours faster`: our parts' rate over the line's.",
        "In the row of bayescluster.fit, compile includes all but reading and sampling: also "
        "the recovered intercepts, log-likelihood, predictive draws and convergence checks.",
        f"Sampling of our parts is the median of 5 runs. Slow peers stop early: {bear}.",
        "MCSE: difference of the posterior means from our parts', in Monte Carlo standard errors "
        f"of the difference; beyond {MAX_DIFFERENCE:g} the run fails.",
    ]


def _not_converged(results: Results) -> list[str]:
    """Name the runs with too few effective draws for their figures to be trusted."""
    few = [
        f"{NAMES[task]} at {size:,} users ({result['ess']:.0f})"
        for (size, task), result in results.items()
        if result["ess"] < MIN_ESS
    ]
    words = f"Fewer than {MIN_ESS} effective draws: {'; '.join(few)}. "
    return [words + "These runs are too short to trust, and so are their MCSEs."] if few else []


def _growth(results: Results, sizes: Sequence[int]) -> Section:
    first = results[sizes[0], OURS]["sample"]
    rows = []
    for size in sizes:
        result, peer = results[size, OURS], results.get((size, "pymc_on_rows"))
        sample = result["sample"]
        against = times(peer["sample"] / sample) if peer else "not run"
        parts = [figure(result["read"]), figure(1e3 * sample), f"{sample / first:.2f}", against]
        rows.append([f"{size:,}", *parts])
    return Section(
        "Sampling time as the data grow",
        "Ours is expected to be flat: the model has the same size for any number of users.",
        ("users", "read, s", "our sampling, ms", "against the first", "PyMC on rows against ours"),
        rows,
    )


def _sampling_rate(result: dict[str, Any]) -> float:
    return float(result["ess"] / result["sample"])


def _whole_rate(result: dict[str, Any]) -> float:
    return float(result["ess"] / (result["read"] + result["compile"] + result["sample"]))


def _apart(result: dict[str, Any], ours: dict[str, Any], name: str) -> float:
    """Return the difference of two posterior means in its Monte Carlo standard errors."""
    error = (result["mcse"][name] ** 2 + ours["mcse"][name] ** 2) ** 0.5
    return float((result["mean"][name] - ours["mean"][name]) / error)
