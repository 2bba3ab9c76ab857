"""Before the experiment: what a planned assignment will make of the collaboration graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._support.arrays import BLOCK_ELEMENTS, Booleans, Floats
from .._support.calls_to_figures_and_report import draw
from .._support.check_record import Check, Subject, Verdict, check_table, judged
from .._support.display import number
from .._support.tidy import Tidy
from ..assignment.block_probabilities import Blocks
from ..assignment.mechanisms import Mechanism
from ..data.conditions import GRAPH_CONDITIONS
from ..exposure.collaboration_graph import CollaborationGraph
from ..exposure.collaborators import Collaborators
from ..exposure.joint_probability_of_exposure import in_condition
from ..exposure.mappings import AtLeast, CustomMapping, ExposureMapping
from ..exposure.probability_of_exposure import ExposureProbabilities, exposure_probabilities
from ..frequentist.exposure_contrasts import MIN_PROBABILITY

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Share of ties across arms above which the check is a caution.
MAX_CROSS_ARMS = 0.1
#: Expected share of users in a condition below which its mean rests on few of them.
MIN_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class ExposurePlan(Tidy):
    """What is to be expected of a planned assignment, before anybody is assigned.

    Parameters
    ----------
    checks : DataFrame
        Columns check, figure, verdict (ok, caution, problem), advice.
    conditions : DataFrame
        One row per condition: condition, users (expected number), sd (of that number, over
        assignments), share, never (users who cannot be in it), min_probability (of those who can).
    probabilities : ExposureProbabilities
        Of every condition, for every user, and how they were found.
    cross_clusters : float
        Share of ties that cross clusters.
    cross_arms : float
        Expected share of ties that cross arms.
    cross_arms_sd : float
        Standard deviation of that share over assignments.
    cross_arms_method : {"closed form", "enumeration", "drawn assignments"}
        How `cross_arms` was computed.
    sd_method : str
        If the standard deviations come from: all assignments, or so many drawn ones.
    mapping : ExposureMapping
        When a user is exposed.
    """

    checks: pd.DataFrame
    conditions: pd.DataFrame
    probabilities: ExposureProbabilities
    cross_clusters: float
    cross_arms: float
    cross_arms_sd: float
    cross_arms_method: str
    sd_method: str
    mapping: ExposureMapping

    def to_dataframe(self) -> pd.DataFrame:
        """Return `checks`."""
        return self.checks

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw expected users by condition, and the users' probabilities of exposure."""
        return draw("exposure.plan", self, figure)


def plan_exposure(
    graph: CollaborationGraph | Collaborators,
    mechanism: Mechanism,
    mapping: ExposureMapping | None = None,
    *,
    interaction: bool = False,
    draws: int = 1_000,
    seed: int = 0,
) -> ExposurePlan:
    """Say what a planned assignment is expected to do: who will be exposed, which ties will cross.

    Parameters
    ----------
    graph : CollaborationGraph or Collaborators
        The graph. Ties are those to collaborators, even where exposure comes over two hops.
    mechanism : Mechanism
        How the clusters are to be assigned, in the order of their labels.
    mapping : ExposureMapping, optional
        When a user is exposed; by default with any treated collaborator outside the own cluster.
    interaction : bool
        Whether exposure of treated users is a condition of its own.
    draws : int
        Assignments drawn for standard deviations (their relative error is some
        ``1 / sqrt(2 draws)``), and for expectations without a closed form; if the
        mechanism has no more assignments than this, all of them are taken and the result is exact.
    seed : int
        Of the draws.

    Returns
    -------
    ExposurePlan
        Expected numbers are exact where the probabilities are, see :func:`exposure_probabilities`;
        so is the share of ties across arms where the mechanism's clusters are exchangeable within
        independent blocks.

    Raises
    ------
    DesignError
        If the mechanism is of another number of clusters than the graph.

    Examples
    --------
    >>> from bayescluster.assignment import Complete
    >>> from bayescluster.simulate import GraphScenario
    >>> plan = plan_exposure(GraphScenario(n_clusters=10).graph, Complete(10, 5))
    >>> plan.conditions["condition"].tolist()
    ['direct', 'spillover', 'pure_control']
    >>> float(plan.conditions["users"].sum())
    500.0
    """
    if draws < 2:
        raise ValueError(f"draws must be at least 2; given {draws}")
    mapping = mapping or AtLeast(1)
    collaborators, ties = (
        (graph.collaborators, graph.one_hop)
        if isinstance(graph, CollaborationGraph)
        else (graph, graph)
    )
    found = exposure_probabilities(collaborators, mapping, mechanism, draws=draws, seed=seed)
    probability = condition_probabilities(found, interaction)
    assignments, every = _assignments(mechanism, draws, seed)
    counts = _counts(collaborators, mapping, assignments, list(probability), interaction)
    drawn = np.concatenate([_crossing(ties, block) for block in _split(assignments, ties.n_units)])
    exact = cross_arms(ties, mechanism.blocks())
    ddof = 0 if every else 1
    conditions = pd.DataFrame(
        {
            "condition": list(probability),
            "users": [float(p.sum()) for p in probability.values()],
            "sd": counts.std(axis=0, ddof=ddof),
            "share": [float(p.mean()) for p in probability.values()],
            "never": [int((p == 0).sum()) for p in probability.values()],
            "min_probability": [float(p[p > 0].min(initial=1.0)) for p in probability.values()],
        }
    )
    shares = (
        cross_clusters(ties),
        float(drawn.mean()) if exact is None else exact,
        float(drawn.std(ddof=ddof)),
    )
    return ExposurePlan(
        _checks(found, conditions, shares),
        conditions,
        found,
        *shares,
        cross_arms_method="closed form"
        if exact is not None
        else "enumeration"
        if every
        else "drawn assignments",
        sd_method=f"all {len(assignments):,} assignments"
        if every
        else f"{len(assignments):,} drawn assignments",
        mapping=mapping,
    )


def condition_probabilities(found: ExposureProbabilities, interaction: bool) -> dict[str, Floats]:
    """Return the probability of each condition that estimators compare; each of shape (n,).

    Without interaction treated users are one condition, exposed or not.
    """
    columns = dict(zip(GRAPH_CONDITIONS, found.condition.T, strict=True))
    if not interaction:
        columns["direct"] = columns["direct"] + columns.pop("direct_with_exposure")
    return columns


def cross_clusters(ties: Collaborators) -> float:
    """Return the share of ties that cross clusters, counted from the users' side."""
    total = float(ties.count.sum())
    return float(ties.count[ties.outside].sum()) / total if total else 0.0


def cross_arms(ties: Collaborators, blocks: Blocks | None) -> float | None:
    """Return the expected share of ties whose ends are in different arms.

    Parameters
    ----------
    ties : Collaborators
        Collaborators by unit of assignment.
    blocks : Blocks or None
        Independent blocks in which units are exchangeable.

    Returns
    -------
    float or None
        Two units of one block differ with probability 2 P(just the first is treated); those of two
        blocks independently. None without blocks.
    """
    if blocks is None:
        return None
    here, there = ties.unit[ties.user], ties.other
    own, other = blocks.code[here], blocks.code[there]
    one = np.ones_like(own)
    p, q = blocks.specific(own, one, 1), blocks.specific(other, one, 1)
    differ = p * (1 - q) + q * (1 - p)
    together = (own == other) & (here != there)
    differ[together] = 2 * blocks.specific(own[together], 2 * one[together], 1)
    differ[here == there] = 0.0
    total = float(ties.count.sum())
    return float(ties.count @ differ) / total if total else 0.0


def _assignments(mechanism: Mechanism, draws: int, seed: int) -> tuple[Booleans, bool]:
    """Return all assignments if they are few, otherwise drawn ones; and whether they are all."""
    if mechanism.n_assignments <= draws:
        return np.array(list(mechanism.enumerate())), True
    return mechanism.draw(np.random.default_rng(seed), draws), False


def _split(assignments: Booleans, elements: int, step: int | None = None) -> Iterator[Booleans]:
    """Yield assignments in blocks that fit in memory."""
    step = step or max(BLOCK_ELEMENTS // max(elements, 1), 1)
    for at in range(0, len(assignments), step):
        yield assignments[at : at + step]


def _counts(
    collaborators: Collaborators,
    mapping: ExposureMapping,
    assignments: Booleans,
    conditions: list[str],
    interaction: bool,
) -> Floats:
    """Count the users in each condition under each assignment; shape (B, len(conditions))."""
    rows = []
    step = 1 if isinstance(mapping, CustomMapping) else None
    for block in _split(assignments, collaborators.n_users, step):
        exposed = mapping.values(collaborators, block) > 0
        treated = block[:, collaborators.unit].T
        rows.append(
            np.stack(
                [
                    in_condition(name, treated, exposed, interaction).sum(axis=0)
                    for name in conditions
                ],
                axis=1,
            )
        )
    return np.concatenate(rows).astype(float)


def _crossing(ties: Collaborators, assignments: Booleans) -> Floats:
    """Return the share of ties that cross arms under each assignment; shape (B,)."""
    import scipy.sparse as sp

    u = ties.n_units
    ends = ties.unit[ties.user], ties.other
    between = sp.csr_array(sp.coo_array((ties.count.astype(float), ends), shape=(u, u)))
    treated = assignments.T.astype(float)
    into = (between @ treated) * (1 - treated)
    out = (between @ (1 - treated)) * treated
    total = float(ties.count.sum())
    return np.asarray((into + out).sum(axis=0)) / (total or 1.0)


def _checks(
    found: ExposureProbabilities, conditions: pd.DataFrame, shares: tuple[float, float, float]
) -> pd.DataFrame:
    checks = [*_who(found), *_expected(conditions), _smallest(conditions), *_ties(*shares)]
    return check_table(checks).drop(columns="about")


def _who(found: ExposureProbabilities) -> list[Check]:
    never, always = found.of("spillover") == 0, found.of("pure_control") == 0
    n, both = len(never), int((~never & ~always).sum())
    seen = f" in {found.draws:,} drawn assignments" * (found.method == "simulation")
    return [
        Check(
            Subject.INTERFERENCE,
            "users who can be exposed, and not",
            f"{both:,} of {n:,} ({both / n:.1%}){seen}",
            judged(both >= 0.5 * n, both > 0),
            "the spillover effect will describe these users only: decide now whether that answers "
            "your question",
        ),
        Check(
            Subject.INTERFERENCE,
            "users who can never be exposed",
            f"{int(never.sum()):,} of {n:,}",
            Verdict.OK,
        ),
        Check(
            Subject.INTERFERENCE,
            "users who are always exposed while untreated",
            f"{int(always.sum()):,} of {n:,}",
            judged(bool(always.sum() <= 0.05 * n)),
            "no assignment shows their outcome without exposure: group clusters that share ties "
            "(group_clusters), treat fewer, or ask for a higher threshold of exposure",
        ),
    ]


def _expected(conditions: pd.DataFrame) -> list[Check]:
    advice = {
        "pure_control": "few users will be untouched by the treatment, so that there is little to "
        "compare with: group clusters that share ties (group_clusters), or treat fewer",
        "spillover": "few users will be exposed, so that the spillover effect will be imprecise "
        "(and contaminate the direct one little)",
    }
    other = "few users will be in this condition: treat another share of the clusters"
    rows = []
    for row in conditions.itertuples():
        few = row.share < MIN_SHARE or row.users < 2 * row.sd
        rows.append(
            Check(
                Subject.INTERFERENCE,
                f"expected users: {row.condition}",
                f"{row.users:,.1f} ({row.share:.1%}), SD {row.sd:,.1f}",
                judged(row.users >= 1 and not few, row.users >= 1),
                advice.get(str(row.condition), other),
            )
        )
    return rows


def _smallest(conditions: pd.DataFrame) -> Check:
    lowest = conditions.loc[conditions["min_probability"].idxmin()]
    p = float(lowest["min_probability"])
    return Check(
        Subject.INTERFERENCE,
        "smallest probability of a condition that is possible",
        f"{number(p)} ({lowest['condition']})",
        judged(p >= MIN_PROBABILITY),
        f"users below {MIN_PROBABILITY:g} would carry weighted means, and are set apart by default",
    )


def _ties(across: float, arms: float, sd: float) -> list[Check]:
    return [
        Check(
            Subject.INTERFERENCE,
            "ties that cross clusters",
            f"{across:.1%}",
            Verdict.OK,
        ),
        Check(
            Subject.INTERFERENCE,
            "ties expected to cross arms",
            f"{arms:.1%}, SD {sd:.1%}",
            judged(arms <= MAX_CROSS_ARMS),
            "arms share many ties: group_clusters shows groupings of clusters that cut fewer",
        ),
    ]
