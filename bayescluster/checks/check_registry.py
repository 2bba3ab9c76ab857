"""All checks of a comparison, as one table.

To add one, write a function from a :class:`Comparison` to :class:`Check` records and add it to
`CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pandas as pd

from .._support.check_record import Check, Subject, check_table, worst
from ..answers.method_comparison import Comparison
from .design_checks import assignment_checks, cluster_checks, data_checks
from .five_assumptions import cluster_levels, level_rows, spread_rows
from .interference_checks import interference_checks
from .model_checks import agreement_checks, model_checks, sampling_checks
from .size_checks import size_checks


def _level_checks(comparison: Comparison) -> Iterator[Check]:
    levels = cluster_levels(comparison.experiment, comparison.posterior)
    yield from spread_rows(comparison.experiment, levels)
    yield from level_rows(levels)


#: The checks, in the order of the report.
CHECKS: tuple[Callable[[Comparison], Iterable[Check]], ...] = (
    assignment_checks,
    interference_checks,
    _level_checks,
    size_checks,
    cluster_checks,
    data_checks,
    sampling_checks,
    model_checks,
    agreement_checks,
)


def diagnose(comparison: Comparison) -> pd.DataFrame:
    """Check the assumptions, the sampler, the model and the agreement of the methods.

    Parameters
    ----------
    comparison : Comparison
        The result of :func:`compare`.

    Returns
    -------
    DataFrame
        Columns about (one of the five assumptions, or data, sampler, model, agreement), check,
        effect (the only one that the check bears on, or empty), value, verdict (ok, caution or
        problem), advice (empty if ok); problems first.

    Examples
    --------
    >>> from bayescluster import Experiment, compare, fit_exact
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> checks = diagnose(compare(exp, fit_exact(exp, seed=1), bootstrap_draws=500))
    >>> checks.columns.tolist()
    ['about', 'check', 'effect', 'value', 'verdict', 'advice']
    """
    found = [check for checks in CHECKS for check in checks(comparison)]
    return check_table(sorted(found, key=lambda check: -check.verdict.severity))


def lights(checks: pd.DataFrame) -> pd.DataFrame:
    """Return the worst verdict on each subject, with columns about, verdict, checks, worst."""
    rows = []
    for about in Subject:
        part = checks[checks["about"] == about]
        if len(part):
            verdict = worst(part["verdict"])
            first = part[part["verdict"] == verdict].iloc[0]
            rows.append(
                (str(about), str(verdict), len(part), f"{first['check']}: {first['value']}")
            )
    return pd.DataFrame(rows, columns=["about", "verdict", "checks", "worst"])
