"""Who could have been in which exposure condition, and how exposure differs from chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._support.arrays import Floats, Integers
from .._support.calls_to_figures_and_report import draw
from .._support.check_record import Check, Subject, Verdict, check_table, judged
from .._support.display import number
from .._support.tidy import Tidy
from .mapped_exposure import MappedExposure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Effective share of the weights below which a condition's mean rests on few users.
MIN_EFFECTIVE_SHARE = 0.2
#: Correlation of the exposure with degree above which comparing exposed users with others misleads.
MAX_CORRELATION = 0.1
#: The check of whether exposed users are simply those with more ties.
DEGREE = "exposure against degree, untreated users"
#: The effect of each condition; pure controls bear on every effect.
EFFECTS = {"direct_with_exposure": "direct with exposure", "spillover": "spillover"}
#: Upper ends of the degree classes; the last one is open.
DEGREES = (0, 1, 2, 5, 10, 20, 50)


@dataclass(frozen=True, eq=False)
class Positivity(Tidy):
    """Positivity and identification of the effects, before any outcome is looked at.

    Parameters
    ----------
    found : tuple of Check
        What was checked, all of it about interference.
    conditions : DataFrame
        One row per condition: condition, users (in it), never (users with probability 0),
        min_probability (of those who can be in it), effective (Kish's effective number of the
        weights 1 / probability), effective_share.
    by_degree : DataFrame
        One row per class of degree (collaborators outside the own cluster): degree, users, exposed
        (share of untreated users), and mean, lowest and highest probability of spillover.
    contamination : DataFrame
        One row per pair of clusters, from a treated to an untreated one, most ties first: source,
        target, ties (over two hops, pairs within reach), users (of the target, touched by the
        source).
    """

    found: tuple[Check, ...]
    conditions: pd.DataFrame
    by_degree: pd.DataFrame
    contamination: pd.DataFrame

    @classmethod
    def of(cls, exposure: MappedExposure) -> Positivity:
        """Report on one exposure."""
        conditions = _conditions(exposure)
        return cls(
            tuple(_checks(exposure, conditions)),
            conditions,
            _by_degree(exposure),
            _contamination(exposure),
        )

    @property
    def checks(self) -> pd.DataFrame:
        """The checks as a table: columns check, value, verdict (ok, caution, problem), advice."""
        return check_table(self.found).drop(columns="about")

    def to_dataframe(self) -> pd.DataFrame:
        """Return `checks`."""
        return self.checks

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw the probability of spillover by degree; see `figures.exposure.positivity`."""
        return draw("exposure.positivity", self, figure)


def _conditions(exposure: MappedExposure) -> pd.DataFrame:
    rows = []
    for name, (inside, p) in exposure.arms.items():
        weight = 1 / p[inside & (p > 0)]
        effective = float(weight.sum() ** 2 / (weight**2).sum()) if len(weight) else 0.0
        rows.append(
            {
                "condition": name,
                "users": int(inside.sum()),
                "never": int((p == 0).sum()),
                "min_probability": float(p[p > 0].min(initial=1.0)),
                "effective": effective,
                "effective_share": effective / max(int(inside.sum()), 1),
            }
        )
    return pd.DataFrame(rows)


def _checks(exposure: MappedExposure, conditions: pd.DataFrame) -> Iterator[Check]:
    yield from _who(exposure)
    yield from _weights(conditions)
    yield _confounding(exposure)
    yield _graph(exposure)


def _who(exposure: MappedExposure) -> list[Check]:
    p = exposure.probabilities.condition
    n = len(p)
    never = exposure.probabilities.of("spillover") == 0
    always = exposure.probabilities.of("pure_control") == 0
    both = int((~never & ~always).sum())
    found = exposure.probabilities
    seen = f" in {found.draws:,} drawn assignments" * (found.method == "simulation")
    return [
        Check(
            Subject.INTERFERENCE,
            "users who can be exposed, and not",
            f"{both:,} of {n:,} ({both / n:.1%}){seen}",
            judged(both >= 0.5 * n, both > 0),
            "the spillover effect describes these users only: say so wherever you report it",
            effect="spillover",
        ),
        Check(
            Subject.INTERFERENCE,
            "users who can never be exposed",
            f"{int(never.sum()):,} of {n:,}{seen}",
            Verdict.OK,
        ),
        Check(
            Subject.INTERFERENCE,
            "users who are always exposed while untreated",
            f"{int(always.sum()):,} of {n:,}{seen}",
            judged(bool(always.sum() <= 0.05 * n)),
            "no assignment shows their outcome without exposure, so they are left out; fewer and "
            "larger units of assignment would help",
        ),
    ]


def _weights(conditions: pd.DataFrame) -> list[Check]:
    return [
        Check(
            Subject.INTERFERENCE,
            f"effective sample size: {row.condition}",
            f"{row.effective:,.0f} of {row.users:,} users, lowest probability "
            f"{number(row.min_probability)}",
            judged(row.users > 0 and row.effective_share >= MIN_EFFECTIVE_SHARE, row.users > 0),
            "a few users with small probabilities carry the weighted mean: read the recentred "
            "regression beside it, or ask for a lower threshold of exposure"
            if row.users
            else "nobody is in this condition: its effect is not identified",
            effect=EFFECTS.get(row.condition, ""),
        )
        for row in conditions.itertuples()
    ]


def _confounding(exposure: MappedExposure) -> Check:
    """Compare the exposure of untreated users with what the design would have given them."""
    control = ~exposure.treated
    degree = exposure.collaborators.degree[control]
    raw = exposure.value[control]
    p = exposure.probabilities
    arm = (p.of("spillover") + p.of("pure_control"))[control]
    chance = p.expected[control, 0] / np.where(arm > 0, arm, 1.0)
    before, after = _correlation(raw, degree), _correlation(raw - chance, degree)
    return Check(
        Subject.INTERFERENCE,
        DEGREE,
        f"correlation {before:.2f}, {after:.2f} after subtracting what the design makes of it",
        judged(abs(before) <= MAX_CORRELATION),
        "users with more ties are exposed more often, and differ otherwise: do not compare exposed "
        "with unexposed users without the expected exposure as a covariate (or the weights)",
    )


def _graph(exposure: MappedExposure) -> Check:
    t = exposure.collaborators if exposure.graph is None else exposure.graph.one_hop
    total = float(t.count.sum())
    outside = float(t.count[t.outside].sum())
    return Check(
        Subject.INTERFERENCE,
        "ties that cross clusters",
        f"{outside / total:.1%} of {total:,.0f}" if total else "none",
        Verdict.OK,
    )


def _correlation(x: Floats, y: Integers) -> float:
    if len(x) < 2 or not np.ptp(x) or not np.ptp(y):
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def _by_degree(exposure: MappedExposure) -> pd.DataFrame:
    degree = exposure.collaborators.degree
    bins = [-1, *DEGREES, np.iinfo(np.int64).max]
    names = ["0"]
    names += [
        f"{low + 1}" if high == low + 1 else f"{low + 1}-{high}" for low, high in pairwise(DEGREES)
    ]
    names.append(f"> {DEGREES[-1]}")
    control = ~exposure.treated
    table = pd.DataFrame(
        {
            "degree": pd.cut(degree, bins=bins, labels=names),
            "exposed": np.where(control, (exposure.value > 0).astype(float), np.nan),
            "p": exposure.probabilities.of("spillover"),
        }
    )
    grouped = table.groupby("degree", observed=True)
    found = grouped.agg(
        users=("p", "size"),
        exposed=("exposed", "mean"),
        mean_probability=("p", "mean"),
        min_probability=("p", "min"),
        max_probability=("p", "max"),
    )
    return found.reset_index()


def _contamination(exposure: MappedExposure) -> pd.DataFrame:
    """Count ties from treated units' clusters to untreated users of other clusters."""
    t = exposure.collaborators
    keep = t.outside & exposure.assignment[t.other] & ~exposure.treated[t.user]
    table = pd.DataFrame(
        {
            "source": t.clusters[t.unit_cluster[t.other[keep]]],
            "target": t.clusters[t.cluster[t.user[keep]]],
            "ties": t.count[keep],
            "user": t.user[keep],
        }
    )
    grouped = table.groupby(["source", "target"], sort=True)
    found = grouped.agg(ties=("ties", "sum"), users=("user", "nunique")).reset_index()
    return found.sort_values("ties", ascending=False, kind="stable", ignore_index=True)
