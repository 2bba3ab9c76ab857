"""Joint probabilities of two users' exposure conditions, for the variance of their contrasts."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from .._support.arrays import Booleans, Floats, Integers
from ..assignment.block_probabilities import Blocks
from ..assignment.mechanisms import Mechanism
from .collaborators import Collaborators
from .expose import Exposure
from .mappings import AtLeast, ExposureMapping, TreatedShare
from .probability_of_exposure import MAX_ENUMERATED

#: Conditions as sums of "none of a set of units is treated": the own unit, what is touched, both.
TERMS: dict[str, dict[tuple[str, ...], int]] = {
    "pure_control": {("own", "touched"): 1},
    "spillover": {("own",): 1, ("own", "touched"): -1},
    "direct": {("touched",): 1, ("own", "touched"): -1},
    "direct_with_exposure": {(): 1, ("own",): -1, ("touched",): -1, ("own", "touched"): 1},
    "any direct": {(): 1, ("own",): -1},
}
#: Stands for the logarithm of 0.
LOG_ZERO = -1e4


class JointProbabilities(ABC):
    """P(user i is in condition a and user j in condition b) for lists of users.

    Parameters are positions of users, which stand for their sets: users with the same own unit and
    the same ties are always in the same condition.
    """

    #: How the probabilities are found, in words.
    method: str

    @abstractmethod
    def of(self, a: str, rows: Integers, b: str, columns: Integers) -> Floats:
        """Return joint probabilities; shape (len(rows), len(columns))."""


class ClosedForm(JointProbabilities):
    """Joint probabilities of "any treated" under exchangeable blocks, by inclusion and exclusion.

    Every condition is a signed sum of events "no unit of a set is treated", and two such events
    together are one of the same kind, of the union of the sets.
    """

    method = "closed form"

    def __init__(self, exposure: Exposure, blocks: Blocks) -> None:
        self._touches, self._blocks = exposure.collaborators, blocks
        self._within = isinstance(exposure.mapping, TreatedShare) and exposure.mapping.within
        self._merged = not exposure.interaction

    def of(self, a: str, rows: Integers, b: str, columns: Integers) -> Floats:
        """Return joint probabilities; shape (len(rows), len(columns))."""
        total = np.zeros((len(rows), len(columns)))
        for left, sign in self._terms(a).items():
            for right, other in self._terms(b).items():
                total += sign * other * self._none(self._set(left, rows), self._set(right, columns))
        total[np.abs(total) < 1e-13] = 0.0
        return total

    def _terms(self, condition: str) -> dict[tuple[str, ...], int]:
        merged = self._merged and condition == "direct"
        return TERMS["any direct" if merged else condition]

    def _set(self, parts: tuple[str, ...], at: Integers) -> Floats:
        """Return indicators of the units in each user's set; shape (len(at), U)."""
        inside = np.zeros((len(at), self._touches.n_units))
        if "touched" in parts:
            matrix = self._touches.matrix("clusters", within=self._within)
            inside[:] = np.asarray(matrix[at].todense())
        if "own" in parts:
            inside[np.arange(len(at)), self._touches.unit[at]] = 1.0
        return inside

    def _none(self, left: Floats, right: Floats) -> Floats:
        """Return P(no unit of either set is treated), the product over blocks; (rows, columns)."""
        log = np.zeros((len(left), len(right)))
        for h in range(self._blocks.n_blocks):
            members = self._blocks.code == h
            x, y = left[:, members], right[:, members]
            r, c = x.sum(axis=1), y.sum(axis=1)
            table = self._log_none(h, int(members.sum()))
            i, j = np.flatnonzero(r), np.flatnonzero(c)
            log += table[r.astype(int)][:, None] + table[c.astype(int)][None, :]
            if not (len(i) and len(j)):
                continue
            union = r[i][:, None] + c[j][None, :] - x[i] @ y[j].T
            both = table[union.round().astype(int)]
            alone = table[r[i].astype(int)][:, None] + table[c[j].astype(int)][None, :]
            log[np.ix_(i, j)] += both - alone
        return np.where(log < LOG_ZERO / 2, 0.0, np.exp(log))

    def _log_none(self, block: int, size: int) -> Floats:
        kind = self._blocks.kinds[block]
        values = np.array([kind.specific(u, 0) for u in range(size + 1)])
        return np.where(values > 0, np.log(np.where(values > 0, values, 1.0)), LOG_ZERO)


class Averaged(JointProbabilities):
    """Joint probabilities as shares of enumerated or drawn assignments.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    assignments : ndarray of bool, shape (B, U)
        All assignments, or draws.
    method : str
        Which of the two.
    """

    def __init__(self, exposure: Exposure, assignments: Booleans, method: str) -> None:
        self.method = method
        self._exposure, self._assignments = exposure, assignments

    def of(self, a: str, rows: Integers, b: str, columns: Integers) -> Floats:
        """Return joint probabilities; shape (len(rows), len(columns))."""
        left, right = self._inside(a, rows), self._inside(b, columns)
        return (left @ right.T) / float(len(self._assignments))

    def _inside(self, condition: str, at: Integers) -> Floats:
        exposure = self._exposure
        treated = self._assignments[:, exposure.collaborators.unit[at]].T
        inside = in_condition(condition, treated, self._exposed(at), exposure.interaction)
        return inside.astype(np.float64)

    def _exposed(self, at: Integers) -> Booleans:
        """Say which of some users are exposed under each assignment; shape (len(at), B)."""
        exposure = self._exposure
        found = np.empty((len(at), len(self._assignments)), dtype=bool)
        for now, value in exposure.mapping.in_blocks(exposure.collaborators, self._assignments):
            found[:, now] = value[at] > 0
        return found


def in_condition(
    condition: str, treated: Booleans, exposed: Booleans, interaction: bool
) -> Booleans:
    """Say who is in a condition; without interaction, treated users are one condition."""
    if condition == "pure_control":
        return ~treated & ~exposed
    if condition == "spillover":
        return ~treated & exposed
    if condition == "direct":
        return treated & ~exposed if interaction else treated
    return treated & exposed


def joint_probabilities(
    exposure: Exposure, draws: int = 2_000, seed: int = 0
) -> JointProbabilities:
    """Return joint probabilities by the best available method: closed form, enumeration, draws."""
    mechanism: Mechanism = exposure.mechanism
    blocks = mechanism.blocks()
    if blocks is not None and any_is_enough(exposure.mapping, exposure.collaborators):
        return ClosedForm(exposure, blocks)
    if mechanism.n_assignments <= MAX_ENUMERATED:
        return Averaged(exposure, np.array(list(mechanism.enumerate())), "enumeration")
    drawn = mechanism.draw(np.random.default_rng(seed), draws)
    return Averaged(exposure, drawn, f"{draws:,} drawn assignments")


def any_is_enough(mapping: ExposureMapping, collaborators: Collaborators) -> bool:
    """Whether a user is exposed as soon as any unit of a set is treated."""
    if isinstance(mapping, TreatedShare):
        return not mapping.within or collaborators.by_user
    return isinstance(mapping, AtLeast) and mapping.k == 1
