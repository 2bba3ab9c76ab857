"""Coverage of every interval, by number of clusters, ICC and equality of sizes: simulated.

Each experiment is drawn as moments (`Scenario.simulate_moments`), so that its cost does not depend
on the number of users, and analysed by every method that the notebook
02_posterior_against_bootstrap.ipynb compares. Results go to coverage.csv beside this script, a cell
of the grid at a time: a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

import bayescluster as bc

KEPT = Path(__file__).with_suffix(".csv")
SEED = 2026
EXPERIMENTS = 2_000
BOOTSTRAP_DRAWS = 999
DIRECT, SPILLOVER = 0.2, 0.1
#: The grid, and the part of it that a reduced run looks at.
CLUSTERS, ICCS, SIZE_CVS = (6, 10, 20, 50), (0.0, 0.05, 0.2), (0.0, 1.0)
REDUCED = ((6, 0.05, 1.0), (10, 0.2, 0.0), (50, 0.0, 1.0))
REDUCED_EXPERIMENTS = 60
#: A reduced run may depart from the kept one by this many Monte Carlo errors.
MOST_ERRORS = 4.0
#: Tasks of a process: large enough that handing them out costs nothing.
BATCH = 50

COLUMNS = {
    "clusters": "number of clusters, half of them treated",
    "icc": "intracluster correlation; the between-cluster SD (tau) is its root, of a total SD of 1",
    "size_cv": "coefficient of variation of the cluster sizes, about a mean of 200 users",
    "effect": "direct (true value 0.2) or spillover (0.1, on a quarter of the control users)",
    "method": "what made the interval, of nominal level 95%",
    "experiments": "simulated experiments",
    "undefined": "share of them in which the method gives no interval; left out of what follows",
    "unbounded": "share of the intervals with an infinite end",
    "coverage": "share of the intervals that contain the true value",
    "mc_error": "Monte Carlo standard error of the coverage, of (covered + 2) / (intervals + 4)",
    "width": "median width of the intervals",
    "rmse": "root mean squared error of the point estimate",
    "seed": "seed; experiment i of a cell depends on the seed, the cell and i alone",
}


@dataclass(frozen=True)
class Cell:
    """A point of the grid."""

    clusters: int
    icc: float
    size_cv: float

    @property
    def scenario(self) -> bc.simulate.Scenario:
        """What is simulated."""
        return bc.simulate.Scenario(
            n_clusters=self.clusters,
            cluster_size=200,
            size_cv=self.size_cv,
            direct=DIRECT,
            spillover=SPILLOVER,
            icc=self.icc,
        )

    def seed(self, experiment: int) -> int:
        """Return the seed of one experiment."""
        parts = [self.clusters, round(1_000 * self.icc), round(100 * self.size_cv), experiment]
        return int(np.random.SeedSequence([SEED, *parts]).generate_state(1, np.uint64)[0])


def grid() -> list[Cell]:
    """Return all cells."""
    return [Cell(*values) for values in product(CLUSTERS, ICCS, SIZE_CVS)]


def intervals(exp: bc.Experiment, seed: int) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield effect, method, point estimate and both ends of every method's interval."""
    effects = exp.spec.design.effects
    fits = {"naive OLS": bc.naive_ols(exp)}
    fits |= {f"OLS, {vcov}": bc.two_exposure(exp, vcov) for vcov in ("CR1", "CR2", "CR3")}
    for method, fit in fits.items():
        for row in fit.to_dataframe().itertuples():
            if row.term in effects:
                yield row.term, method, row.estimate, row.ci_lower, row.ci_upper
    for effect in effects:
        wild = bc.wild_bootstrap(exp.moments(), effect, draws=BOOTSTRAP_DRAWS, seed=seed)
        yield effect, "wild cluster bootstrap", wild.estimate, *wild.ci
    pairs = bc.cluster_bootstrap(exp, BOOTSTRAP_DRAWS, seed=seed)
    for kind in ("percentile", "bca", "percentile-t"):
        for at, effect in enumerate(pairs.effects):
            low, high = pairs.interval(kind)[at]
            name = {"bca": "BCa"}.get(kind, kind)
            yield effect, f"cluster bootstrap, {name}", pairs.estimate[at], low, high
    posterior = bc.bayes.exact_posterior(exp)
    for row in posterior.to_dataframe().itertuples():
        if row.parameter in effects:
            yield row.parameter, "posterior", row.mean, row.ci_lower, row.ci_upper


def analysed(cell: Cell, start: int, stop: int) -> list[tuple[str, str, float, float, float]]:
    """Simulate and analyse experiments start to stop - 1 of a cell."""
    found = []
    with warnings.catch_warnings():
        # With few clusters both are expected; undefined intervals are counted.
        for expected in (
            "[0-9,]+ of [0-9,]+ bootstrap replicates lose",
            "a regressor varies in a single cluster",
        ):
            warnings.filterwarnings("ignore", expected, UserWarning)
        for i in range(start, stop):
            seed = cell.seed(i)
            moments = cell.scenario.simulate_moments(seed)
            exp = bc.Experiment.from_moments(moments, cell.scenario.spec)
            found += intervals(exp, seed)
    return found


def summary(cell: Cell, experiments: int, processes: int) -> pd.DataFrame:
    """Simulate a cell; return one row per effect and method, with the columns of `COLUMNS`."""
    starts = range(0, experiments, BATCH)
    work = (delayed(analysed)(cell, s, min(s + BATCH, experiments)) for s in starts)
    found = [row for rows in Parallel(n_jobs=processes)(work) for row in rows]
    table = pd.DataFrame(found, columns=["effect", "method", "estimate", "low", "high"])
    table["truth"] = table["effect"].map({"direct": DIRECT, "spillover": SPILLOVER})
    rows = []
    for (effect, method), part in table.groupby(["effect", "method"], sort=False):
        known = part[part[["low", "high"]].notna().all(axis=1)]
        covered = int(((known["low"] <= known["truth"]) & (known["truth"] <= known["high"])).sum())
        width = known["high"] - known["low"]
        likely = (covered + 2) / (len(known) + 4)
        rows.append(
            {
                "clusters": cell.clusters,
                "icc": cell.icc,
                "size_cv": cell.size_cv,
                "effect": effect,
                "method": method,
                "experiments": experiments,
                "undefined": 1 - len(known) / len(part),
                "unbounded": float(np.isinf(width).mean()),
                "coverage": covered / len(known),
                "mc_error": np.sqrt(likely * (1 - likely) / (len(known) + 4)),
                "width": width.median(),
                "rmse": np.sqrt(((part["estimate"] - part["truth"]) ** 2).mean()),
                "seed": SEED,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def is_kept(kept: pd.DataFrame, cell: Cell, experiments: int) -> bool:
    """Whether the kept file has a cell, from as many experiments and the same seed."""
    rows = _rows_of(kept, cell)
    return bool(((rows["experiments"] == experiments) & (rows["seed"] == SEED)).any())


def full(experiments: int, processes: int) -> None:
    """Simulate the cells that the kept file lacks, and keep each as soon as it is done."""
    kept = pd.read_csv(KEPT) if KEPT.exists() else pd.DataFrame(columns=list(COLUMNS))
    for cell in grid():
        if is_kept(kept, cell, experiments):
            continue
        start = time.perf_counter()
        done = summary(cell, experiments, processes)
        others = kept.drop(_rows_of(kept, cell).index)
        kept = done if others.empty else pd.concat([others, done])
        kept = kept.sort_values(["clusters", "icc", "size_cv"], kind="stable", ignore_index=True)
        part = KEPT.with_suffix(".part")
        kept.to_csv(part, index=False, float_format="%.5g", lineterminator="\n")
        part.replace(KEPT)
        print(f"{cell}: {time.perf_counter() - start:.0f} s", flush=True)


def reduced(processes: int) -> list[str]:
    """Simulate a few experiments of a few cells; return where the kept file disagrees."""
    kept = pd.read_csv(KEPT)
    keys = ["clusters", "icc", "size_cv", "effect", "method"]
    found = pd.concat(
        [summary(Cell(*values), REDUCED_EXPERIMENTS, processes) for values in REDUCED]
    )
    both = found.merge(kept, on=keys, how="left", suffixes=("", "_kept"))
    error = np.hypot(both["mc_error"], both["mc_error_kept"])
    gap = (both["coverage"] - both["coverage_kept"]).abs()
    wrong = both[~(gap <= MOST_ERRORS * error)]  # a cell that is not kept is wrong, too
    print(f"{len(both)} coverages, the furthest {(gap / error).max():.1f} Monte Carlo errors away")
    return [
        f"{row.method}, {row.effect}, {row.clusters} clusters, ICC {row.icc:g}, CV {row.size_cv:g}:"
        f" coverage {row.coverage:.3f}, kept {row.coverage_kept:.3f}"
        for row in wrong.itertuples()
    ]


def _rows_of(table: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    at = {"clusters": cell.clusters, "icc": cell.icc, "size_cv": cell.size_cv}
    return table[(table[list(at)] == pd.Series(at)).all(axis=1)]


def main() -> int:
    """Run what the command line asks for."""
    columns = "\n".join(f"  {name:12} {meaning}" for name, meaning in COLUMNS.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"columns of {KEPT.name}:\n{columns}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--reduced",
        action="store_true",
        help=f"run {REDUCED_EXPERIMENTS} experiments in each of {len(REDUCED)} cells, write "
        f"nothing, and fail where a coverage is over {MOST_ERRORS:g} Monte Carlo errors from the "
        "kept one (half a minute)",
    )
    parser.add_argument(
        "--experiments",
        type=int,
        default=EXPERIMENTS,
        help="experiments in each cell of the full study (default: %(default)s); cells kept from "
        "another number are run again",
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="processes to use (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if not arguments.reduced:
        full(arguments.experiments, arguments.processes)
        return 0
    wrong = reduced(arguments.processes)
    print("\n".join(wrong) or "the kept file agrees")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
