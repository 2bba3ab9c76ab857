"""One decision from both paths: the posterior, its cross-check, and the checks that bear on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from .._support.check_record import Subject, Verdict
from .._support.display import OutcomeUnit, percent, probability
from ..spec.model_spec import ReportSpec

#: Numbers without a unit.
PLAIN = OutcomeUnit()


class State(StrEnum):
    """What to do about an effect."""

    SHIP = "ship"
    DONT_SHIP = "don't ship"
    KEEP_MEASURING = "keep measuring"
    NOT_USABLE = "not usable"


@dataclass(frozen=True)
class Evidence:
    """What is known of one effect, on the scale of the threshold.

    Parameters
    ----------
    effect : str
        The effect, with what it is averaged over, in words.
    prob_beyond : float
        Posterior probability that it lies beyond the threshold, on the desired side.
    prob_in_rope : float
        Posterior probability that it lies in the ROPE; NaN without one.
    method : str
        Method of the cross-check.
    lower, upper : float
        Interval of the cross-check, at `ci_prob`; NaN if it gives none.
    ci_prob : float
        Its level: 2 p - 1, so that each side is tested at 1 - p.
    error : float
        Posterior standard deviation, by which numbers are rounded.
    unit : OutcomeUnit
        How effects are written.
    problems : tuple of str
        Checks at "problem" that bear on the effect, each with its value.
    failures : tuple of str
        Why there is no answer: a failed sampler, or an effect that is not identified.
    """

    effect: str
    prob_beyond: float
    prob_in_rope: float
    method: str
    lower: float
    upper: float
    ci_prob: float
    error: float = np.nan
    unit: OutcomeUnit = PLAIN
    problems: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """The state of one effect.

    Parameters
    ----------
    state : State
        What to do.
    reason : str
        Why, with the numbers, in one sentence that begins with the state.
    against : tuple of str
        What stands against acting.
    """

    state: State
    reason: str
    against: tuple[str, ...] = ()


def judge(evidence: Evidence, report: ReportSpec) -> Judgement:
    """Apply the decision rule to one effect.

    *Ship* if the posterior probability of an effect beyond the threshold is at least
    `decision_prob`, the interval of the cross-check lies beyond it too, and no check that bears on
    the effect is a problem. *Don't ship* is the mirror image, or an effect that both paths place in
    the ROPE. *Not usable* if the sampler failed or the effect is not identified. Otherwise *keep
    measuring*, with what stands against a decision.

    Parameters
    ----------
    evidence : Evidence
        What is known.
    report : ReportSpec
        Threshold, direction, ROPE and decision probability.

    Notes
    -----
    An interval at level 2 p - 1 that lies beyond the threshold is a one-sided test at level 1 - p
    (two of them for the ROPE: Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15:
    657-680), so that both paths are held to the same bar.
    """
    if evidence.failures:
        return Judgement(
            State.NOT_USABLE,
            f"Not usable: {'; '.join(evidence.failures)}. Do not read the numbers below as an "
            "answer.",
            evidence.failures,
        )
    bar = report.decision_prob
    low, high = evidence.lower, evidence.upper
    sides = {"above": low > report.threshold, "below": high < report.threshold}
    wanted, unwanted = sides if report.direction == "increase" else reversed(sides)
    for state, prob, side in (
        (State.SHIP, evidence.prob_beyond, wanted),
        (State.DONT_SHIP, 1 - evidence.prob_beyond, unwanted),
    ):
        if prob >= bar:
            where = f"is {side} {_value(evidence, report)}"
            return _decided(state, evidence, where, prob, sides[side], report)
    if report.rope is not None and evidence.prob_in_rope >= bar:
        within = bool(report.rope[0] < low and high < report.rope[1])
        first, last = (evidence.unit.value(x) for x in report.rope)
        where = f"lies within {first} to {last}, practically no effect,"
        return _decided(State.DONT_SHIP, evidence, where, evidence.prob_in_rope, within, report)
    problems = _problems(evidence)
    also = f"; also against one: {'; '.join(problems)}" if problems else ""
    reason = (
        f"Keep measuring: the probability that {evidence.effect} is {wanted} "
        f"{_value(evidence, report)} is {probability(evidence.prob_beyond)}; a decision needs "
        f"{percent(bar)}, or less than {percent(round(1 - bar, 12))}{also}."
    )
    against = (
        f"the posterior leaves it open: {probability(evidence.prob_beyond)} of {percent(bar)}",
        *problems,
    )
    return Judgement(State.KEEP_MEASURING, reason, against)


def _decided(
    state: State,
    evidence: Evidence,
    where: str,
    prob: float,
    agrees: bool,
    report: ReportSpec,
) -> Judgement:
    """Return the judgement where the posterior decides, if the rest agrees."""
    interval = _interval(evidence)
    chance = f"{probability(prob)} probability (asked for: {percent(report.decision_prob)})"
    against = [] if agrees else [_contradiction(evidence, interval)]
    against += _problems(evidence)
    if not against:
        act = "Ship" if state is State.SHIP else "Don't ship"
        return Judgement(
            state,
            f"{act}: {evidence.effect} {where} with {chance}, and the cross-check agrees "
            f"({interval}).",
        )
    return Judgement(
        State.KEEP_MEASURING,
        f"Keep measuring: the posterior says that {evidence.effect} {where} with {chance}, but "
        f"{'; and '.join(against)}.",
        tuple(against),
    )


def _problems(evidence: Evidence) -> list[str]:
    """Return the first problem in words, and how many there are."""
    if not evidence.problems:
        return []
    count = len(evidence.problems)
    how_many = "a check is at problem" if count == 1 else f"{count} checks are at problem, such as"
    return [f"{how_many}{':' * (count == 1)} {evidence.problems[0]}"]


def _interval(evidence: Evidence) -> str:
    level = percent(round(evidence.ci_prob, 12))
    if np.isinf(evidence.lower) and np.isinf(evidence.upper):
        return f"{evidence.method}: the {level} interval is unbounded"
    ends = evidence.unit.interval(evidence.lower, evidence.upper, evidence.error)
    return f"{evidence.method}: {level} interval {ends}"


def _contradiction(evidence: Evidence, interval: str) -> str:
    if np.isnan(evidence.lower) or np.isnan(evidence.upper):
        return f"the cross-check ({evidence.method}) gives no interval to check it by"
    return f"the cross-check does not confirm it ({interval})"


def _value(evidence: Evidence, report: ReportSpec) -> str:
    return evidence.unit.value(report.threshold) if report.threshold else "zero"


def bearing_on(checks: pd.DataFrame, effects: Iterable[str]) -> tuple[str, ...]:
    """Return the problems among checks that bear on any of some effects, each with its value.

    The number of clusters is left out: the choice of the cross-check accounts for it. So is the
    sampler: see :func:`sampler_failures`.
    """
    apart = [Subject.CLUSTERS, Subject.SAMPLER]
    rows = checks[(checks["verdict"] == Verdict.PROBLEM) & ~checks["about"].isin(apart)]
    rows = rows[rows["effect"].isin(["", *effects])]
    return tuple(f"{row.check} ({row.value})" for row in rows.itertuples())


def sampler_failures(checks: pd.DataFrame) -> tuple[str, ...]:
    """Return the failed checks of the sampler, each with its value."""
    rows = checks[(checks["verdict"] == Verdict.PROBLEM) & (checks["about"] == Subject.SAMPLER)]
    return tuple(f"the sampler failed: {row.check} {row.value}" for row in rows.itertuples())
