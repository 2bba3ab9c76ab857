"""Each assumption and each computation checked: a figure, a verdict and advice, as data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .bayes.checks import convergence, sampler_checks
from .comparison import Comparison

#: Fewer clusters than this, and CR1 and the pairs bootstrap are too confident.
MIN_CLUSTERS = 30

Row = tuple[str, str, str, str]


def diagnose(comparison: Comparison) -> pd.DataFrame:
    """Check the design, the sampler and the agreement of the methods.

    Returns
    -------
    DataFrame
        Columns check, figure, verdict (ok, caution or problem), advice (empty where ok); problems
        first.
    """
    sampler = sampler_checks(convergence(comparison.posterior))
    rows = [*_design(comparison), *sampler, *_agreement(comparison)]
    table = pd.DataFrame(rows, columns=["check", "figure", "verdict", "advice"])
    rank = table["verdict"].map({"problem": 0, "caution": 1, "ok": 2})
    table.loc[table["verdict"] == "ok", "advice"] = ""
    return table.iloc[np.argsort(rank.to_numpy(), kind="stable")].reset_index(drop=True)


def _design(comparison: Comparison) -> Iterator[Row]:
    exp = comparison.experiment
    treated = int(exp.treated.sum())
    total = len(exp.treated)
    yield (
        "number of clusters",
        f"{total:,} ({treated:,} treated, {total - treated:,} control)",
        "ok" if total >= MIN_CLUSTERS else "caution" if total >= 10 else "problem",
        f"below {MIN_CLUSTERS} clusters the pairs bootstrap is too confident; read CR2 with its "
        "degrees of freedom, and the posterior, whose priors carry more weight",
    )
    size = exp.moments().n
    share = float(size.max() / size.sum())
    cv = float(size.std() / size.mean())
    yield (
        "cluster sizes",
        f"{size.min():,.0f} to {size.max():,.0f} units, CV {cv:.2f}, largest holds {share:.1%}",
        "ok" if cv <= 1 and share <= 0.25 else "caution",
        "unequal clusters make cluster-robust intervals too short and give the largest cluster the "
        "last word; leave it out once and see whether the answer stays",
    )
    if exp.spec.outcome.missing == "drop":
        rows = exp.n_units + exp.n_dropped
        yield (
            "rows dropped for missing values",
            f"{exp.n_dropped:,} of {rows:,}, and {exp.n_clusters_dropped:,} whole clusters",
            "ok" if not exp.n_dropped else "caution",
            "the estimates describe the units with an outcome; ask whether treatment could change "
            "who has one",
        )
    for method, reason in comparison.skipped.items():
        yield f"{method} left out", reason, "caution", "the other methods do not need it"
    lost = int(comparison.bootstrap.undefined.max())
    if lost:
        yield (
            "undefined bootstrap replicates",
            f"{lost:,} of {len(comparison.bootstrap.draws):,}",
            "caution",
            "replicates that do not identify an effect (an arm or all exposed units lost) are left "
            "out of the percentiles",
        )


def _agreement(comparison: Comparison) -> Iterator[Row]:
    for row in comparison.agreement.itertuples():
        yield (
            f"posterior v. bootstrap: {row.term}",
            f"width ratio {row.width_ratio:.2f}, overlap {row.overlap:.0%}",
            "ok" if row.agree else "caution",
            str(row.verdict),
        )
