"""The decision rule: every combination of posterior, cross-check and checks, by a table."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from bayescluster.decisions.decision_rule import (
    Evidence,
    State,
    bearing_on,
    judge,
    sampler_failures,
)
from bayescluster.spec import ReportSpec

WAIT, SHIP, DONT = State.KEEP_MEASURING, State.SHIP, State.DONT_SHIP


def evidence(prob, low, high, problems=(), failures=(), rope=np.nan):
    return Evidence(
        "the direct effect",
        prob,
        rope,
        "OLS, CR2",
        low,
        high,
        0.9,
        problems=problems,
        failures=failures,
    )


@pytest.mark.parametrize(
    ("report", "prob", "low", "high", "state", "words"),
    [
        ({}, 0.97, 0.1, 1.0, SHIP, "Ship: the direct effect is above zero with 97.0% probability"),
        (
            {},
            0.97,
            -0.1,
            1.0,
            WAIT,
            "but the cross-check does not confirm it (OLS, CR2: 90% interval",
        ),
        ({}, 0.97, np.nan, np.nan, WAIT, "but the cross-check (OLS, CR2) gives no interval"),
        ({}, 0.97, -np.inf, np.inf, WAIT, "90% interval is unbounded)"),
        ({}, 0.94, 0.1, 1.0, WAIT, "is 94.0%; a decision needs 95%, or less than 5%"),
        ({}, 0.02, -1.0, -0.1, DONT, "Don't ship: the direct effect is below zero with 98.0%"),
        ({}, 0.02, -1.0, 0.1, WAIT, "Keep measuring: the posterior says"),
        ({"threshold": 0.5}, 0.97, 0.4, 1.0, WAIT, "above 0.5 with 97.0%"),
        ({"direction": "decrease"}, 0.97, -1.0, -0.1, SHIP, "Ship: the direct effect is below"),
        ({"direction": "decrease"}, 0.97, 0.1, 1.0, WAIT, "is below zero with 97.0%"),
        ({"direction": "decrease"}, 0.02, 0.1, 1.0, DONT, "Don't ship: the direct effect is above"),
        ({"decision_prob": 0.975}, 0.97, 0.1, 1.0, WAIT, "a decision needs 97.5%"),
    ],
)
def test_the_rule(report, prob, low, high, state, words):
    found = judge(evidence(prob, low, high), ReportSpec(**report))
    assert found.state is state
    assert words in found.reason
    assert bool(found.against) == (state is WAIT)


def test_the_rule_is_the_one_that_is_written():
    """Against its definition, over a grid of probabilities and intervals, in both directions."""
    ends = [-0.3, -0.05, 0.05, 0.3]
    pairs = [(low, high) for low, high in product(ends, ends) if low < high]
    for direction, p, (low, high), problems in product(
        ("increase", "decrease"), (0.01, 0.2, 0.8, 0.99), pairs, ((), ("balance (p = 0)",))
    ):
        report = ReportSpec(direction=direction, threshold=0.1)
        sign = 1 if direction == "increase" else -1
        beyond = min(sign * (low - 0.1), sign * (high - 0.1)) > 0
        short = max(sign * (low - 0.1), sign * (high - 0.1)) < 0
        expected = WAIT
        if p >= 0.95 and beyond and not problems:
            expected = SHIP
        if 1 - p >= 0.95 and short and not problems:
            expected = DONT
        assert judge(evidence(p, low, high, problems), report).state is expected


def test_a_problem_stands_against_a_decision_and_a_failure_ends_it():
    report = ReportSpec()
    found = judge(evidence(0.99, 0.1, 1.0, problems=("balance of the arms (p = 0.0001)",)), report)
    assert found.state is WAIT
    assert found.reason.endswith("a check is at problem: balance of the arms (p = 0.0001).")
    failed = judge(evidence(0.99, 0.1, 1.0, failures=("the sampler failed: R-hat 1.5",)), report)
    assert failed.state is State.NOT_USABLE
    assert failed.reason.startswith("Not usable: the sampler failed: R-hat 1.5.")
    assert "99" not in failed.reason


def test_an_effect_in_the_rope_by_both_paths_is_not_shipped():
    report = ReportSpec(rope=(-0.1, 0.1))
    inside = judge(evidence(0.7, -0.05, 0.08, rope=0.97), report)
    assert inside.state is DONT
    assert "practically no effect" in inside.reason
    assert judge(evidence(0.7, -0.05, 0.12, rope=0.97), report).state is WAIT
    assert judge(evidence(0.97, 0.01, 0.09, rope=0.97), report).state is SHIP


def test_only_problems_that_bear_on_the_effect_count():
    checks = pd.DataFrame(
        [
            ("model", "predictive", "", "p = 0", "problem", ""),
            ("partial interference", "nobody exposed", "spillover", "0", "problem", ""),
            ("cluster count", "number of clusters", "", "6", "problem", ""),
            ("sampler", "R-hat", "", "1.2", "problem", ""),
            ("model", "k", "", "0.6", "caution", ""),
        ],
        columns=["about", "check", "effect", "value", "verdict", "advice"],
    )
    assert bearing_on(checks, ["direct"]) == ("predictive (p = 0)",)
    assert bearing_on(checks, ["spillover"]) == ("predictive (p = 0)", "nobody exposed (0)")
    assert sampler_failures(checks) == ("the sampler failed: R-hat 1.2",)
