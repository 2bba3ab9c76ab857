"""The probability of every exposure condition under the design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from .._support.arrays import BLOCK_ELEMENTS, Booleans, Floats, Integers
from .._support.tidy import Tidy
from ..assignment.block_probabilities import Blocks
from ..assignment.mechanisms import Mechanism
from ..data.conditions import GRAPH_CONDITIONS, graph_condition
from ..errors import DesignError
from .collaborators import Collaborators
from .mappings import AtLeast, CustomMapping, ExposureMapping, TreatedShare

Method = Literal["auto", "closed form", "enumeration", "simulation"]

#: Assignments are enumerated rather than drawn if there are at most this many.
MAX_ENUMERATED = 20_000
#: A probability below this is rounding of one that is zero.
ROUNDING = 1e-14
#: Largest k whose probabilities are worked out by dynamic programming.
MAX_K = 64


@dataclass(frozen=True, eq=False)
class ExposureProbabilities(Tidy):
    """Probabilities over the assignments that the design could have made.

    Parameters
    ----------
    condition : ndarray, shape (n, 4)
        Probability of each of `GRAPH_CONDITIONS`, for every user.
    expected : ndarray, shape (n, 2)
        Expected exposure while untreated, E[(1 - T) E], and while treated, E[T E].
    method : {"closed form", "enumeration", "simulation"}
        How they were found.
    draws : int
        Number of assignments enumerated or drawn; 0 for a closed form.
    """

    condition: Floats
    expected: Floats
    method: str
    draws: int = 0

    @property
    def error(self) -> Floats:
        """Monte Carlo standard error of each of `condition`; 0 unless drawn; shape (n, 4).

        At the share (x + 1) / (B + 2), so that an event that never occurred still has an error.
        """
        if self.method != "simulation":
            return np.zeros_like(self.condition)
        share = (self.condition * self.draws + 1) / (self.draws + 2)
        return np.sqrt(share * (1 - share) / self.draws)

    @property
    def max_error(self) -> float:
        """Largest Monte Carlo standard error."""
        return float(self.error.max(initial=0.0))

    def of(self, condition: str) -> Floats:
        """Return the probability of one condition; shape (n,)."""
        return self.condition[:, GRAPH_CONDITIONS.index(condition)]

    def __str__(self) -> str:
        n = len(self.condition)
        error = f", Monte Carlo error up to {self.max_error:.2g}" * (self.method == "simulation")
        return f"probabilities of {n:,} users' exposure conditions by {self.method}{error}"

    def _repr_html_(self) -> str:
        return self.to_dataframe().describe().to_html(float_format=lambda x: f"{x:.4g}")

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per user: the probability of each condition, and expected exposures."""
        table = pd.DataFrame(self.condition, columns=list(GRAPH_CONDITIONS))
        return table.assign(
            expected_untreated=self.expected[:, 0], expected_treated=self.expected[:, 1]
        )


def exposure_probabilities(
    collaborators: Collaborators,
    mapping: ExposureMapping,
    mechanism: Mechanism,
    *,
    method: Method = "auto",
    draws: int = 10_000,
    seed: int = 0,
) -> ExposureProbabilities:
    """Work out how probable each user's exposure conditions were under the design.

    Parameters
    ----------
    collaborators : Collaborators
        The graph.
    mapping : ExposureMapping
        When a user is exposed.
    mechanism : Mechanism
        How the units were assigned, in the order of the graph's units (labels sorted).
    method : {"auto", "closed form", "enumeration", "simulation"}
        ``auto`` takes the first that is available: closed forms for "at least k" and for shares
        (their mean, and the probability of any) under mechanisms whose clusters are
        exchangeable within independent blocks (complete, stratified, paired, coin flips);
        enumeration of up to 20,000 assignments; draws.
    draws, seed : int
        Of a simulation.

    Returns
    -------
    ExposureProbabilities
        Of every condition, for every user, and the expected exposure.

    Raises
    ------
    DesignError
        If the mechanism is of another number of units, or the method asked for does not exist.
    """
    check_size(collaborators, mechanism)
    if method not in ("auto", "closed form", "enumeration", "simulation"):
        raise ValueError(f"method must be auto, closed form, enumeration or simulation: {method!r}")
    blocks = mechanism.blocks()
    if (
        method in ("auto", "closed form")
        and blocks is not None
        and has_closed_form(mapping, collaborators)
    ):
        return _closed_form(collaborators, mapping, blocks)
    if method == "closed form":
        raise DesignError(
            f"there is no closed form for {mapping} under {type(mechanism).__name__}; enumerate or "
            "simulate"
        )
    countable = mechanism.n_assignments <= MAX_ENUMERATED
    if method == "enumeration" and not countable:
        raise DesignError(
            f"{mechanism.n_assignments:.3g} assignments are too many to enumerate; simulate"
        )
    if countable and method != "simulation":
        return _averaged(
            collaborators, mapping, np.array(list(mechanism.enumerate())), "enumeration"
        )
    if draws < 2:
        raise ValueError(f"draws must be at least 2; given {draws}")
    rng = np.random.default_rng(seed)
    return _averaged(collaborators, mapping, mechanism.draw(rng, draws), "simulation")


def check_size(collaborators: Collaborators, mechanism: Mechanism) -> None:
    """Raise DesignError if the mechanism assigns another number of units than the graph has."""
    if mechanism.n_clusters != collaborators.n_units:
        raise DesignError(
            f"the mechanism assigns {mechanism.n_clusters:,} units, the graph has "
            f"{collaborators.n_units:,}"
        )


def has_closed_form(mapping: ExposureMapping, collaborators: Collaborators) -> bool:
    """Whether probabilities under exchangeable blocks are worked out exactly."""
    if isinstance(mapping, AtLeast):
        of_units = mapping.of == "collaborators" or not collaborators.by_user
        return mapping.k == 1 or (mapping.k <= MAX_K and of_units)
    return isinstance(mapping, TreatedShare)


def _averaged(
    collaborators: Collaborators, mapping: ExposureMapping, assignments: Booleans, method: str
) -> ExposureProbabilities:
    """Average over assignments, a block at a time."""
    n = collaborators.n_users
    condition, expected = np.zeros((n, 4)), np.zeros((n, 2))
    one = 1 if isinstance(mapping, CustomMapping) else None
    for now, value in mapping.in_blocks(collaborators, assignments, one):
        treated = assignments[now][:, collaborators.unit].T
        exposed = value > 0
        at = graph_condition(treated, exposed)
        for i in range(4):
            condition[:, i] += (at == i).sum(axis=1)
        expected[:, 0] += (value * ~treated).sum(axis=1)
        expected[:, 1] += (value * treated).sum(axis=1)
    count = len(assignments)
    return ExposureProbabilities(condition / count, expected / count, method, count)


def _closed_form(
    collaborators: Collaborators, mapping: ExposureMapping, blocks: Blocks
) -> ExposureProbabilities:
    within = isinstance(mapping, TreatedShare) and mapping.within
    keep = ~collaborators.outside if within else collaborators.outside
    of, k = ("clusters", 1)
    if isinstance(mapping, AtLeast):
        of, k = (mapping.of, mapping.k) if mapping.k > 1 else ("clusters", 1)
    own = blocks.code[collaborators.unit]
    one = np.ones_like(own)
    arm = np.stack([blocks.specific(own, one, a) for a in (0, 1)], axis=1)
    if within and not collaborators.by_user:  # the own cluster: all of it is treated, or nothing
        has = np.bincount(collaborators.user[keep], minlength=collaborators.n_users) > 0
        unexposed = np.stack([arm[:, 0], np.where(has, 0.0, arm[:, 1])], axis=1)
    else:
        unexposed = _fewer_than(collaborators, keep, of, k, blocks)
    exposed = arm - unexposed
    exposed[np.abs(exposed) < ROUNDING] = 0.0
    condition = np.stack([unexposed[:, 1], exposed[:, 1], exposed[:, 0], unexposed[:, 0]], axis=1)
    expected = exposed
    if isinstance(mapping, TreatedShare):
        expected = _expected_share(collaborators, keep, blocks, arm)
    return ExposureProbabilities(condition, expected, "closed form")


def _fewer_than(
    collaborators: Collaborators, keep: Booleans, of: str, k: int, blocks: Blocks
) -> Floats:
    """Return P(own treatment is a, and the treated entries' sizes sum to less than k); (n, 2).

    Within a block e[t, s] counts the sets of t touched units with total s, by dynamic programming
    over the units, and each set's probability depends on t alone; blocks are then convolved.
    """
    n, h = collaborators.n_users, blocks.n_blocks
    key = collaborators.user[keep] * h + blocks.code[collaborators.other[keep]]
    # Of one treated entry or none its size says nothing.
    capped = (
        np.minimum(collaborators.entry_values(of)[keep], k).astype(np.int64) if k > 1 else key[:0]
    )
    if h > 1:
        order = np.argsort(key, kind="stable")
        key, capped = key[order], capped[order] if k > 1 else capped
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])[: len(key)])
    length = np.diff(np.append(first, len(key)))
    user, block = key[first] // h, key[first] % h
    home = blocks.code[collaborators.unit]
    own = block == home[user]
    rest = np.flatnonzero(~own)
    total = np.zeros((n, 2, k))
    for a in (0, 1):
        total[:, a, 0] = blocks.specific(home, np.ones_like(home), a)
    law = np.zeros((len(first), k))
    step = max(BLOCK_ELEMENTS // k**2, 1)
    for at in range(0, len(first), step):
        now = slice(at, at + step)
        sets = _subsets(capped, first[now], length[now], k)  # (groups, t, s)
        mine = own[now]
        law[now][~mine] = _block_law(
            sets[~mine], length[now][~mine], block[now][~mine], blocks, None
        )
        for a in (0, 1):
            total[user[now][mine], a] = _block_law(
                sets[mine], length[now][mine], block[now][mine], blocks, a
            )
    law = law[rest]
    turn = _position_in_run(user[rest])
    for r in range(int(turn.max(initial=-1)) + 1):
        now = turn == r
        at, add = user[rest[now]], law[now]
        before = total[at]
        after = before * add[:, None, :1]
        for s in range(1, k):
            after[:, :, s:] += before[:, :, : k - s] * add[:, None, s : s + 1]
        total[at] = after
    return total.sum(axis=2)


def _subsets(size: Integers, first: Integers, length: Integers, k: int) -> Floats:
    """Count the subsets of each group by number of units t < k and total s < k; (groups, k, k)."""
    found = np.zeros((len(first), k, k))
    found[:, 0, 0] = 1.0
    if k == 1:
        return found
    for r in range(int(length.max(initial=0))):
        now = np.flatnonzero(length > r)
        c = size[first[now] + r]
        for value in range(1, k):
            at = now[c == value]
            if len(at):
                before = found[at]
                before[:, 1:, value:] += found[at][:, :-1, : k - value]
                found[at] = before
    return found


def _block_law(
    sets: Floats, length: Integers, block: Integers, blocks: Blocks, own: int | None
) -> Floats:
    """Return P(total is s) of each group, jointly with the own unit's treatment; (groups, k)."""
    k = sets.shape[1]
    law = np.zeros((len(sets), k))
    for t in range(k):
        possible = length >= t
        of = np.where(possible, length, t) + (own is not None)
        probability = blocks.specific(block, of, np.full_like(of, t + (own or 0)))
        law += sets[:, t, :] * np.where(possible, probability, 0.0)[:, None]
    return law


def _position_in_run(values: Integers) -> Integers:
    """Return how many equal values stand before each of sorted values."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    new = np.concatenate([[True], values[1:] != values[:-1]])
    start = np.flatnonzero(new)
    return np.arange(len(values)) - start[np.cumsum(new) - 1]


def _expected_share(
    collaborators: Collaborators, keep: Booleans, blocks: Blocks, arm: Floats
) -> Floats:
    """Return E[share while the own treatment is a]; shape (n, 2)."""
    user, other, weight = (
        collaborators.user[keep],
        collaborators.other[keep],
        collaborators.weight[keep],
    )
    n = collaborators.n_users
    total = np.bincount(user, weight, minlength=n)
    here, there = blocks.code[collaborators.unit[user]], blocks.code[other]
    same = here == there
    itself = collaborators.unit[user] == other
    two, one = np.full_like(here, 2), np.ones_like(here)
    treated = blocks.specific(there, one, 1)
    expected = np.zeros((n, 2))
    for a in (0, 1):
        joint = np.where(same, 0.0, treated * arm[user, a])
        joint[same] = blocks.specific(here[same], two[same], 1 + a)
        joint[itself] = arm[user[itself], 1] if a else 0.0
        expected[:, a] = np.bincount(user, weight * joint, minlength=n)
    return expected / np.where(total > 0, total, 1.0)[:, None]
