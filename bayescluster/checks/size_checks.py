"""Checks of cluster size: whether effects depend on it, and whether the arms differ in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._support.check_record import Check, Subject, Verdict, judged
from .._support.display import rounded
from ..answers.method_comparison import Comparison
from ..data.cluster_sizes import LEAST_LOG_SD, log_size_sd
from ..data.experiment import Experiment
from ..spec.size_terms import by_log_size
from .arm_balance import Balance

#: The arms' sizes differ if a difference this large has at most this probability.
LEAST_P_VALUE = 0.01


def size_checks(comparison: Comparison) -> Iterator[Check]:
    """Check whether the effects depend on cluster size."""
    exp = comparison.experiment
    if exp.size_terms:
        for effect in comparison.effects:
            yield _informative(comparison, effect)
    elif log_size_sd(exp.moments()) >= LEAST_LOG_SD:
        yield Check(
            Subject.EXCHANGEABILITY,
            "informative cluster size",
            f"not modelled (size_effects = false), and sizes vary: log-SD "
            f"{log_size_sd(exp.moments()):.2f}",
            Verdict.CAUTION,
            "if effects depend on cluster size, the posterior is an average over neither users nor "
            "clusters: leave size_effects at true",
        )


def _informative(comparison: Comparison, effect: str) -> Check:
    """Judge the change of an effect with log size, and show both averages."""
    draws = comparison.posterior["posterior"][by_log_size(effect)].to_numpy()
    tail = (1 - comparison.experiment.spec.report.ci_prob) / 2
    low, high = (float(x) for x in np.quantile(draws, [tail, 1 - tail]))
    table = comparison.estimands
    rows = table[table["estimand"] == effect].set_index("average")
    means, errors, error = rows["mean"], rows["sd"], float(draws.std())
    return Check(
        Subject.EXCHANGEABILITY,
        f"informative cluster size: {effect}",
        f"{rounded(float(means['user']), float(errors['user']))} averaged over users, "
        f"{rounded(float(means['cluster']), float(errors['cluster']))} over clusters; change per "
        f"unit of log size {rounded(float(draws.mean()), error)}, {rounded(low, error)} to "
        f"{rounded(high, error)}",
        judged(low <= 0 <= high),
        "the effect depends on cluster size: name the average that your decision is about "
        "([report] estimand), and look at large and small clusters separately",
        effect=effect,
    )


def sizes_of_arms(exp: Experiment, found: Balance) -> Iterator[Check]:
    """Judge whether the number of users differs between the arms by more than chance.

    Nothing to judge if sizes hardly vary, or if sizes before treatment are given.
    """
    if exp.spec.design.size is not None or log_size_sd(exp.moments()) < LEAST_LOG_SD:
        return
    row = found.table.iloc[0]
    yield Check(
        Subject.ASSIGNMENT,
        "cluster sizes of the arms",
        f"{row['treated']:,.1f} users per treated cluster, {row['control']:,.1f} per control "
        f"cluster, p = {row['p_value']:.3f}",
        judged(row["p_value"] > LEAST_P_VALUE),
        "treatment may have changed who is counted: give each cluster's size before treatment as "
        "[design] size, and ask why the arms differ",
    )
