"""Horvitz-Thompson and Hajek contrasts of exposure conditions, with design-based variances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from .._support.arrays import BLOCK_ELEMENTS, Booleans, Floats, Integers
from .._support.tidy import Tidy
from ..errors import DesignError
from ..exposure.expose import Exposure
from ..exposure.joint_probability_of_exposure import (
    JointProbabilities,
    in_condition,
    joint_probabilities,
)
from ..exposure.mappings import CustomMapping, TreatedShare
from .estimates_record import COLUMNS

Kind = Literal["hajek", "horvitz_thompson"]
Variance = Literal["auto", "aronow_samii", "drawn"]
Bound = Literal["cluster", "pairwise"]

#: What each effect compares.
CONTRASTS = {
    "direct": ("direct", "pure_control"),
    "spillover": ("spillover", "pure_control"),
    "direct_with_exposure": ("direct_with_exposure", "pure_control"),
}
#: Least probability of a condition that is weighted, by default.
MIN_PROBABILITY = 0.01
#: Sets of users that the pairwise variance takes; above it assignments are drawn.
MAX_SETS = 4_000
#: Assignments drawn for a variance, at scale.
VARIANCE_DRAWS = 500


@dataclass(frozen=True, eq=False)
class ExposureContrast(Tidy):
    """Differences between exposure conditions, weighted by their probabilities under the design.

    Parameters
    ----------
    kind : {"hajek", "horvitz_thompson"}
        Ratio or plain inverse-probability weighting.
    terms : tuple of str
        The effects.
    estimate, variance : ndarray, shape (len(terms),)
        Estimates and their estimated variances. With few clusters an estimate of a variance may
        fall below 0. It is kept, and there is then no interval rather than one of width 0.
    n_users : ndarray, shape (len(terms),)
        Users that each effect is an average over: they can be in both conditions.
    n_apart : ndarray, shape (len(terms),)
        Users set apart, because one of the conditions has probability 0, or less than
        `min_probability`.
    min_probability : float
        Smallest probability of a condition that is weighted.
    variance_method : str
        How the variance was found, in words.
    drawn : bool
        Whether the variance is that over drawn assignments, not Aronow & Samii's.
    ci_prob : float
        Probability of the intervals (normal).
    """

    kind: Kind
    terms: tuple[str, ...]
    estimate: Floats
    variance: Floats
    n_users: Integers
    n_apart: Integers
    min_probability: float
    variance_method: str
    drawn: bool
    ci_prob: float

    @property
    def method(self) -> str:
        """Name of the estimator in tables."""
        kind = "Hajek" if self.kind == "hajek" else "Horvitz-Thompson"
        return f"{kind} ({'drawn assignments' if self.drawn else 'Aronow-Samii'})"

    @property
    def estimand(self) -> list[str]:
        """What each effect is an average over, in words."""
        least = f" with probability {self.min_probability:g} or more" * bool(self.min_probability)
        return [
            f"{term}: mean over the {n:,} users who could have been in either condition{least}"
            + f" ({apart:,} could not, and are set apart)" * bool(apart)
            for term, n, apart in zip(self.terms, self.n_users, self.n_apart, strict=True)
        ]

    @property
    def std_error(self) -> Floats:
        """Standard errors; NaN where the estimated variance is negative; shape (len(terms),)."""
        return np.sqrt(np.where(self.variance >= 0, self.variance, np.nan))

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per effect, with the columns that all frequentist results share."""
        from scipy import special

        half = special.ndtri(0.5 + self.ci_prob / 2) * self.std_error
        with np.errstate(divide="ignore", invalid="ignore"):
            p_value = 2 * special.ndtr(-np.abs(self.estimate / self.std_error))
        table = pd.DataFrame(
            {
                "method": self.method,
                "term": self.terms,
                "estimate": self.estimate,
                "std_error": self.std_error,
                "df": np.inf,
                "ci_lower": self.estimate - half,
                "ci_upper": self.estimate + half,
                "ci_prob": self.ci_prob,
                "p_value": p_value,
            }
        )
        return table[COLUMNS]


def exposure_contrast(
    exposure: Exposure,
    y: Floats,
    kind: Kind = "hajek",
    *,
    min_probability: float = MIN_PROBABILITY,
    variance: Variance = "auto",
    bound: Bound = "cluster",
    draws: int = VARIANCE_DRAWS,
    seed: int = 0,
    ci_prob: float = 0.95,
    joint: JointProbabilities | None = None,
) -> ExposureContrast:
    """Estimate effects as differences of inverse-probability-weighted means of exposure conditions.

    A user whose exposure is above 0 is exposed: of a dose, the spillover effect is that of any
    exposure against none, and not, as in a regression, that per unit of exposure.

    Parameters
    ----------
    exposure : Exposure
        Exposures and their probabilities.
    y : ndarray, shape (n,)
        Outcomes in the order of the users' ids; NaN where there is none (such users are left out).
    kind : {"hajek", "horvitz_thompson"}
        ``horvitz_thompson`` divides weighted totals by the number of users, and is unbiased;
        ``hajek`` divides by the sum of the weights, and has much the smaller variance.
    min_probability : float
        Users for whom a condition is less probable are left out, and the estimand says so: one
        user with a probability of 1e-6 would carry the whole mean. 0 keeps all users who can be
        in both conditions.
    variance : {"auto", "aronow_samii", "drawn"}
        ``aronow_samii`` from the joint probabilities of pairs, conservative: its expectation is no
        less than the variance (of the linearised estimator, for Hajek). ``drawn``: the variance
        over drawn assignments of outcomes imputed under constant effects, at any scale. ``auto``
        takes the former up to 4,000 distinct sets of users.
    bound : {"cluster", "pairwise"}
        What stands for the product of two outcomes that are never seen together. ``pairwise`` is
        Aronow & Samii's own, y_i y_j <= (y_i^2 + y_j^2) / 2 for every pair; ``cluster`` applies it
        to the totals of like users and, where the arms exclude each other, of clusters, which is
        still conservative: of Hajek contrasts much less so, of Horvitz-Thompson's direct effect on
        outcomes far from zero more so, where the estimates by ``pairwise`` often fall below 0.
    draws, seed : int
        Of assignments, where the variance or the joint probabilities need them.
    ci_prob : float
        Probability of the intervals.
    joint : JointProbabilities, optional
        Joint probabilities, where they are known already.

    Returns
    -------
    ExposureContrast
        Direct and spillover effect (with interaction, also that of both).

    Raises
    ------
    DesignError
        If nobody could have been in both conditions, or nobody was in one of them.

    References
    ----------
    Aronow & Samii (2017), Annals of Applied Statistics 11: 1912-1947: equations 3 to 12, section 5.
    """
    _check(exposure, y, kind, variance, bound, min_probability)
    if draws < 2:
        raise ValueError(f"draws must be at least 2; given {draws}")
    y = np.asarray(y, dtype=float)
    terms = [t for t in CONTRASTS if exposure.interaction or t != "direct_with_exposure"]
    parts = [_Contrast.between(exposure, y, *CONTRASTS[term], min_probability) for term in terms]
    n_sets = exposure.collaborators.n_users if bound == "pairwise" else parts[0].group.max() + 1
    few = n_sets <= MAX_SETS
    drawn = variance == "drawn" or (variance == "auto" and not few)
    if not drawn:
        joint = joint or joint_probabilities(exposure, seed=seed)
        found = [_aronow_samii(part, kind, joint, bound) for part in parts]
        words = f"Aronow-Samii ({bound} bound), joint probabilities: {joint.method}"
    else:
        found = _drawn(exposure, y, parts, kind, draws, seed)
        words = f"{draws:,} drawn assignments of outcomes imputed under constant effects"
    sizes = np.array([part.n for part in parts])
    return ExposureContrast(
        kind=kind,
        terms=tuple(terms),
        estimate=np.array([part.estimate(kind) for part in parts]),
        variance=np.array(found),
        n_users=sizes,
        n_apart=int(np.isfinite(y).sum()) - sizes,
        min_probability=min_probability,
        variance_method=words,
        drawn=drawn,
        ci_prob=ci_prob,
    )


def _check(
    exposure: Exposure, y: Floats, kind: str, variance: str, bound: str, min_probability: float
) -> None:
    if not 0 <= min_probability < 1:
        raise ValueError(f"min_probability must lie in [0, 1); given {min_probability}")
    valid = {
        "kind": (kind, ("hajek", "horvitz_thompson")),
        "variance": (variance, ("auto", "aronow_samii", "drawn")),
        "bound": (bound, ("cluster", "pairwise")),
    }
    for name, (value, choices) in valid.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}; given {value!r}")
    if np.shape(y) != (exposure.collaborators.n_users,):
        raise ValueError(
            f"y has shape {np.shape(y)}, where an outcome for each of "
            f"{exposure.collaborators.n_users:,} users is needed (NaN if there is none)"
        )


@dataclass(frozen=True, eq=False)
class _Side:
    """Users seen in one condition.

    Positions, outcomes, probabilities and own units of assignment; each of shape (m,).
    """

    name: str
    at: Integers
    y: Floats
    p: Floats
    unit: Integers

    def mean(self, kind: Kind, n: int) -> float:
        total = (self.y / self.p).sum()
        return float(total / (n if kind == "horvitz_thompson" else (1 / self.p).sum()))

    def added_up(self, group: Integers) -> _Side:
        """Return like users, who are always seen together, as one; outcomes are totals."""
        _, first, code = np.unique(group[self.at], return_index=True, return_inverse=True)
        y = np.bincount(code.reshape(-1), self.y)
        return _Side(self.name, self.at[first], y, self.p[first], self.unit[first])


@dataclass(frozen=True, eq=False)
class _Contrast:
    """Two conditions, among the users who can be in both.

    Parameters
    ----------
    eligible : ndarray, shape (n,)
        Positions of those users.
    a, b : _Side
        Who was seen in each.
    group, unit : ndarray, shape (number of all users,)
        Set of like users, and own unit of assignment.
    """

    eligible: Integers
    a: _Side
    b: _Side
    group: Integers
    unit: Integers

    @classmethod
    def between(
        cls, exposure: Exposure, y: Floats, a: str, b: str, min_probability: float
    ) -> _Contrast:
        arms = exposure.arms
        (in_a, p_a), (in_b, p_b) = arms[a], arms[b]
        lowest = np.minimum(p_a, p_b)
        eligible = np.isfinite(y) & (lowest > 0) & (lowest >= min_probability)
        if not eligible.any():
            raise DesignError(
                f"no user could have been in condition {a!r} under some assignments and in {b!r} "
                f"under others (with probability {min_probability:g} or more): the design cannot "
                "compare them"
            )
        unit = exposure.collaborators.unit
        sides = []
        for name, inside, p in ((a, in_a, p_a), (b, in_b, p_b)):
            at = np.flatnonzero(eligible & inside)
            if not len(at):
                raise DesignError(
                    f"none of the {int(eligible.sum()):,} users who could be in condition {name!r} "
                    "is in it: there is nothing to compare"
                )
            sides.append(_Side(name, at, y[at], p[at], unit[at]))
        group = _groups(exposure)
        return cls(np.flatnonzero(eligible), sides[0], sides[1], group, unit)

    @property
    def n(self) -> int:
        return len(self.eligible)

    def estimate(self, kind: Kind) -> float:
        return self.a.mean(kind, self.n) - self.b.mean(kind, self.n)


def _groups(exposure: Exposure) -> Integers:
    """Return the set of like users that each is in: they are always in the same condition; (n,)."""
    collaborators, mapping = exposure.collaborators, exposure.mapping
    inside = isinstance(mapping, TreatedShare) and mapping.within
    if inside or isinstance(mapping, CustomMapping):  # more than ties outside plays a part
        return np.arange(collaborators.n_users)
    return collaborators.sets[0]


def _aronow_samii(part: _Contrast, kind: Kind, joint: JointProbabilities, bound: Bound) -> float:
    """Return the conservative variance of a contrast."""
    sides = []
    for side in (part.a, part.b):
        center = side.mean(kind, part.n) if kind == "hajek" else 0.0
        side = replace(side, y=side.y - center)
        sides.append(side.added_up(part.group) if bound == "cluster" else side)
    everybody = part.eligible
    if bound == "cluster":
        _, first = np.unique(part.group[everybody], return_index=True)
        everybody = everybody[first]
    a, b = sides
    pairs = {side.name: _Pairs.of(side, everybody, joint) for side in sides}
    total = sum(_own_variance(side, pairs[side.name]) for side in sides)
    total -= 2 * float(a.y @ _weights(joint.of(a.name, a.at, b.name, b.at), a.p, b.p) @ b.y)
    excluding = bound == "cluster" and (a.name == "pure_control") != (b.name == "pure_control")
    excluding = excluding and "spillover" not in (a.name, b.name)
    for side, other in ((a, b), (b, a)):
        never = joint.of(side.name, side.at, other.name, everybody) == 0
        if excluding:
            never &= side.unit[:, None] != part.unit[everybody][None, :]
            total += _square_of_totals(side, pairs[side.name], part.unit[everybody])
        total += float((side.y**2 / side.p) @ never.sum(axis=1))
    return float(total / part.n**2)


def _weights(both: Floats, p: Floats, q: Floats) -> Floats:
    """Return (p_ij - p_i p_j) / (p_ij p_i p_j), 0 for pairs that are never seen together."""
    product = np.outer(p, q)
    seen = both > 0
    return np.where(seen, (both - product) / (np.where(seen, both, 1.0) * product), 0.0)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of users in one condition.

    Parameters
    ----------
    both : ndarray, shape (m, m)
        Joint probabilities of those seen in it.
    never : ndarray of bool, shape (m, number of all units)
        Whether one seen in it and any other are never in it together.
    """

    both: Floats
    never: Booleans

    @classmethod
    def of(cls, side: _Side, everybody: Integers, joint: JointProbabilities) -> _Pairs:
        both = joint.of(side.name, side.at, side.name, side.at)
        np.fill_diagonal(both, side.p)
        return cls(both, joint.of(side.name, side.at, side.name, everybody) == 0)


def _own_variance(side: _Side, pairs: _Pairs) -> float:
    """Variance of one weighted total: pairs seen together, and a bound for the others."""
    seen = side.y @ _weights(pairs.both, side.p, side.p) @ side.y
    return float(seen + (side.y**2 / side.p) @ pairs.never.sum(axis=1))


def _square_of_totals(side: _Side, pairs: _Pairs, unit: Integers) -> float:
    """Estimate the sum over units of assignment of the squared total of their outcomes."""
    here = (side.unit[:, None] == side.unit[None, :]) & (pairs.both > 0)
    seen = float(side.y @ np.where(here, 1 / np.where(here, pairs.both, 1.0), 0.0) @ side.y)
    never = pairs.never & (side.unit[:, None] == unit[None, :])
    return seen + float((side.y**2 / side.p) @ never.sum(axis=1))


def _drawn(
    exposure: Exposure, y: Floats, parts: list[_Contrast], kind: Kind, draws: int, seed: int
) -> list[float]:
    """Return variances over drawn assignments, each outcome moved by differences of means."""
    arms = exposure.arms
    mean, level = {}, np.zeros(len(y))
    for name, (inside, p) in arms.items():
        used = inside & np.isfinite(y) & (p > 0)
        weight = 1 / p[used]
        mean[name] = float(weight @ y[used] / weight.sum()) if used.any() else 0.0
        level[inside] = mean[name]
    base = y - level
    rng = np.random.default_rng(seed)
    step = max(BLOCK_ELEMENTS // len(y), 1)
    found: list[list[Floats]] = [[] for _ in parts]
    for start in range(0, draws, step):
        assignments = exposure.mechanism.draw(rng, min(step, draws - start))
        value = exposure.mapping.values(exposure.collaborators, assignments)
        treated = assignments[:, exposure.collaborators.unit].T
        for part, rows in zip(parts, found, strict=True):
            sides = []
            for name in (part.a.name, part.b.name):
                at = part.eligible
                seen = in_condition(name, treated[at], value[at] > 0, exposure.interaction)
                weight = seen / arms[name][1][at][:, None]
                total = (weight * (base[at] + mean[name])[:, None]).sum(axis=0)
                size = part.n if kind == "horvitz_thompson" else weight.sum(axis=0)
                with np.errstate(divide="ignore", invalid="ignore"):
                    sides.append(total / size)
            rows.append(sides[0] - sides[1])
    return [float(np.nanvar(np.concatenate(rows), ddof=1)) for rows in found]
