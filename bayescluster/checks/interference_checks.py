"""Checks of interference: the modelled spillover, and who could have been exposed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .._support.check_record import Check, Subject, Verdict, judged
from ..answers.method_comparison import Comparison
from ..data.experiment import Experiment
from ..exposure.expose import Exposure, exposure_of
from ..exposure.positivity import DEGREE
from ..frequentist.exposure_contrasts import CONTRASTS, MIN_PROBABILITY
from .five_assumptions import interference_rows


def interference_checks(comparison: Comparison) -> Iterator[Check]:
    """Check the modelled spillover and, with a graph, who could have been exposed."""
    exp, modelled = comparison.experiment, comparison.named_estimands.set_index("estimand")
    spillover = modelled.loc["spillover"] if exp.has_spillover else None
    yield from interference_rows(exp, spillover)
    if exp.exposure is not None and exp.spec.exposure is not None:
        yield from _positivity(exp, exposure_of(exp), exp.spec.exposure.expected)
        yield from _users_in_contrasts(exp, exposure_of(exp))


def _positivity(exp: Experiment, exposure: Exposure, expected: str) -> Iterator[Check]:
    """Report positivity, and whether the expected exposure is adjusted for."""
    adjusted = expected in exp.spec.outcome.adjusted_for
    for check in exposure.positivity.found:
        if check.name != DEGREE:
            yield check
            continue
        value = f"{check.value}; {expected} is {'' if adjusted else 'not '}among the covariates"
        yield replace(check, value=value, verdict=Verdict.OK if adjusted else check.verdict)


def _users_in_contrasts(exp: Experiment, exposure: Exposure) -> Iterator[Check]:
    """Report how many users each weighted contrast averages over."""
    seen = np.isfinite(exp.outcomes())
    for term in ("direct",) if exposure.mapping.is_dose else ("direct", "spillover"):
        one, other = CONTRASTS[term]
        lowest = np.minimum(exposure.arms[one][1], exposure.arms[other][1])[seen]
        inside = int(((lowest > 0) & (lowest >= MIN_PROBABILITY)).sum())
        yield Check(
            Subject.INTERFERENCE,
            f"users in the weighted contrast: {term}",
            f"{inside:,} of {len(lowest):,}; {len(lowest) - inside:,} left out because one of "
            f"their conditions has a probability below {MIN_PROBABILITY:g}",
            judged(inside >= 0.5 * len(lowest), inside > 0),
            "Hajek and Horvitz-Thompson contrasts describe only these users: say so in the report",
            effect=term,
        )
