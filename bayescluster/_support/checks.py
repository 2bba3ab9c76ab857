"""What a check finds: a value, a verdict on it, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd


class Verdict(StrEnum):
    """A level, from ok to problem; the order is that of severity."""

    OK = "ok"
    CAUTION = "caution"
    PROBLEM = "problem"

    @property
    def severity(self) -> int:
        """0 for ok, 1 for caution, 2 for problem."""
        return list(Verdict).index(self)

    def __lt__(self, other: str) -> bool:
        """Whether this verdict is less severe; the order of text plays no part."""
        return self.severity < Verdict(other).severity

    def __le__(self, other: str) -> bool:
        """Whether this verdict is at most as severe."""
        return self.severity <= Verdict(other).severity

    def __gt__(self, other: str) -> bool:
        """Whether this verdict is more severe."""
        return self.severity > Verdict(other).severity

    def __ge__(self, other: str) -> bool:
        """Whether this verdict is at least as severe."""
        return self.severity >= Verdict(other).severity


def worst(verdicts: Iterable[str]) -> Verdict:
    """Return the most severe verdict; ok where there is none."""
    return max(map(Verdict, verdicts), default=Verdict.OK)


class Subject(StrEnum):
    """What checks are about: the five assumptions, then the data and the computation."""

    ASSIGNMENT = "cluster random assignment"
    INTERFERENCE = "partial interference"
    SUTVA = "cluster-level SUTVA"
    EXCHANGEABILITY = "exchangeability"
    CLUSTERS = "cluster count"
    DATA = "data"
    SAMPLER = "sampler"
    MODEL = "model"
    AGREEMENT = "agreement"


@dataclass(frozen=True)
class Check:
    """One check.

    Parameters
    ----------
    about : Subject
        What it is about.
    name : str
        What was looked at.
    value : str
        What was found.
    verdict : Verdict
        How it is.
    advice : str
        What to do unless the verdict is ok.
    """

    about: Subject
    name: str
    value: str
    verdict: Verdict
    advice: str = ""


def check_table(checks: Iterable[Check]) -> pd.DataFrame:
    """Return checks as a table: about, check, value, verdict, advice (empty where ok)."""
    rows = [
        (
            str(check.about),
            check.name,
            check.value,
            str(check.verdict),
            "" if check.verdict is Verdict.OK else check.advice,
        )
        for check in checks
    ]
    return pd.DataFrame(rows, columns=["about", "check", "value", "verdict", "advice"])


def judged(ok: bool, caution: bool = True) -> Verdict:
    """Return ok where `ok` holds; otherwise caution or, where `caution` does not hold, problem."""
    return Verdict.OK if ok else Verdict.CAUTION if caution else Verdict.PROBLEM
