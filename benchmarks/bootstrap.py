"""The tutorial's bootstrap: rows rebuilt and refitted per replicate, against moments."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import bayescluster as bc

from .processes import progress
from .tables import Section, figure, times

OUTCOME, TREATED, EXPOSED = "session_minutes_obs", "treated_workspace", "spillover_exposed"
WORKSPACE = "workspace_id"
SEED = 7
TOLERANCE = 1e-9
Refit = Callable[[pd.DataFrame, NDArray[np.int64]], list[float]]


def run(quick: bool = False) -> Section:
    """Time the row-wise loops and `cluster_bootstrap`, and check that their replicates agree."""
    data, draws = bc.load_tutorial(), 10_000
    exp = bc.Experiment(data, bc.tutorial_spec())
    few = 3 if quick else 10
    loops = {
        "tutorial's loop: concat of rows, statsmodels": with_statsmodels,
        "the same rows, least squares by NumPy only": with_numpy,
    }
    rows, failed = [], []
    ours = _seconds_of_ours(exp, draws) / draws
    for name, refit in loops.items():
        progress(f"{few} replicates by {name}")
        seconds, replicates = _loop(data, refit, few)
        error = _largest_difference(replicates, bc.cluster_bootstrap(exp, few, SEED).draws)
        if not error < TOLERANCE:
            failed.append(f"{name} differs from bayescluster by {error:.1e}")
        rows.append(
            (name, f"{few:,}", figure(1e3 * seconds), times(seconds / ours), f"{error:.0e}")
        )
    name = "bayescluster.cluster_bootstrap"
    rows.append((name, f"{draws:,}", figure(1e3 * ours), "1", "-"))
    return Section(
        "Cluster bootstrap",
        "Four estimates per replicate (two-exposure OLS: direct and spillover; naive OLS; cluster "
        f"WLS), {len(data):,} users in {exp.moments().n_clusters} workspaces.",
        ("method", "replicates", "ms per replicate", "time against ours", "largest difference"),
        rows,
        (
            f"All {draws:,} replicates of ours took {figure(1e3 * ours * draws)} ms (median of 7).",
            "Largest difference: relative, over all estimates of the same draws (seed 7); it must "
            f"stay below {TOLERANCE:.0e}.",
        ),
        failed,
    )


def with_statsmodels(rows: pd.DataFrame, copy: NDArray[np.int64]) -> list[float]:
    """Refit the three regressions of the tutorial on one replicate's rows."""
    import statsmodels.formula.api as smf

    two = smf.ols(f"{OUTCOME} ~ {TREATED} + {EXPOSED}", data=rows).fit()
    naive = smf.ols(f"{OUTCOME} ~ {TREATED}", data=rows).fit()
    means = rows.groupby(copy).agg(
        outcome=(OUTCOME, "mean"), treated=(TREATED, "first"), size=(OUTCOME, "size")
    )
    wls = smf.wls("outcome ~ treated", data=means, weights=means["size"]).fit()
    effects = [two.params[TREATED], two.params[EXPOSED]]
    return [*effects, naive.params[TREATED], wls.params["treated"]]


def with_numpy(rows: pd.DataFrame, copy: NDArray[np.int64]) -> list[float]:
    """Refit the same regressions without any inference around them."""
    y, treated, exposed = (rows[name].to_numpy(float) for name in (OUTCOME, TREATED, EXPOSED))
    X = np.column_stack([np.ones_like(y), treated, exposed])
    two = np.linalg.lstsq(X, y)[0]
    naive = np.linalg.lstsq(X[:, :2], y)[0]
    size = np.bincount(copy)
    root = np.sqrt(size)
    means = np.column_stack([np.bincount(copy, weights=v) / size for v in (treated, y)])
    weighted = np.column_stack([root, root * means[:, 0]])
    wls = np.linalg.lstsq(weighted, root * means[:, 1])[0]
    return [two[1], two[2], naive[1], wls[1]]


def _loop(data: pd.DataFrame, refit: Refit, replicates: int) -> tuple[float, np.ndarray]:
    """Return seconds per replicate, and the estimates; shape (replicates, 4)."""
    rng = np.random.default_rng(SEED)
    ids = data[WORKSPACE].unique()
    of_workspace = dict(list(data.groupby(WORKSPACE)))
    refit(data, data[WORKSPACE].to_numpy())  # imports and first calls are not timed
    estimates = []
    start = time.perf_counter()
    for _ in range(replicates):
        drawn = rng.choice(ids, size=len(ids), replace=True)
        parts = [of_workspace[name] for name in drawn]
        copy = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        estimates.append(refit(pd.concat(parts, ignore_index=True), copy))
    return (time.perf_counter() - start) / replicates, np.array(estimates)


def _seconds_of_ours(exp: bc.Experiment, draws: int) -> float:
    """Return the median time of a call."""
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        bc.cluster_bootstrap(exp, draws)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _largest_difference(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left / right - 1).max())
