"""Records of checks: a value, a verdict and advice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd


class Verdict(StrEnum):
    """A level: ok, caution or problem. Verdicts compare by severity."""

    OK = "ok"
    CAUTION = "caution"
    PROBLEM = "problem"

    @property
    def severity(self) -> int:
        """0 for ok, 1 for caution, 2 for problem."""
        return list(Verdict).index(self)

    def __lt__(self, other: str) -> bool:
        """Whether this verdict is less severe."""
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
    """Return the most severe verdict; ok if there are none."""
    return max(map(Verdict, verdicts), default=Verdict.OK)


class Subject(StrEnum):
    """Subject of a check: one of the five assumptions, the data or the computation."""

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
    """The result of one check.

    Parameters
    ----------
    about : Subject
        Subject of the check.
    name : str
        What was checked.
    value : str
        What was found.
    verdict : Verdict
        Level of severity.
    advice : str
        What to do if the verdict is not ok.
    effect : str
        The only effect that it bears on; empty if it bears on all.
    """

    about: Subject
    name: str
    value: str
    verdict: Verdict
    advice: str = ""
    effect: str = ""


#: Columns of a table of checks.
COLUMNS = ["about", "check", "effect", "value", "verdict", "advice"]


def check_table(checks: Iterable[Check]) -> pd.DataFrame:
    """Return checks as a table: about, check, effect, value, verdict, advice (empty if ok)."""
    rows = [
        (
            str(check.about),
            check.name,
            check.effect,
            check.value,
            str(check.verdict),
            "" if check.verdict is Verdict.OK else check.advice,
        )
        for check in checks
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def judged(ok: bool, caution: bool = True) -> Verdict:
    """Return ok if `ok` holds; otherwise caution, or problem if `caution` does not hold."""
    return Verdict.OK if ok else Verdict.CAUTION if caution else Verdict.PROBLEM
