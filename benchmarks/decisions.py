"""How often the decision rule ships, holds and waits, beside the posterior alone."""

from __future__ import annotations

import warnings
from collections import Counter
from itertools import product

import numpy as np

import bayescluster as bc
from bayescluster.answers.recommended_interval import cross_check, recommended_for
from bayescluster.decisions.decision_rule import Evidence, State, judge

from .processes import progress
from .rejection import SPEC, two_arms
from .tables import Section

EXPERIMENTS = 1_000
CLUSTERS = (12, 40)
#: True effects in within-cluster SDs; the threshold is zero.
TRUTHS = (-0.3, -0.1, 0.0, 0.1, 0.3, 0.5)


def simulate(clusters: int, effect: float, seed: int) -> bc.Experiment:
    """Draw moments: lognormal sizes (log-SD 0.7, median 40), SD 0.3 between clusters, 1 within."""
    rng = np.random.default_rng([clusters, seed])
    n = np.maximum(4, np.round(40 * np.exp(rng.normal(0, 0.7, clusters))))
    treated = rng.permutation(np.arange(clusters) % 2).astype(float)
    moments = two_arms(rng, n, treated, effect, between=0.3**2, within=1.0)
    return bc.Experiment.from_moments(moments, SPEC)


def states(exp: bc.Experiment) -> tuple[State, State]:
    """Return the state by both paths, and by the posterior alone; checks of the model left out."""
    report = exp.spec.report
    exact = bc.bayes.exact_posterior(exp)
    above = 1 - float(exact.combination({"direct": 1.0}).cdf(np.array([0.0]))[0])
    level = 2 * report.decision_prob - 1
    row = cross_check(exp, "direct", recommended_for(exp, "direct").method, level)
    both = Evidence("", above, np.nan, "", row["ci_lower"], row["ci_upper"], level)
    end = 1.0 if above > 0.5 else -1.0  # an interval that always agrees
    alone = Evidence("", above, np.nan, "", end, end, level)
    return judge(both, report).state, judge(alone, report).state


def run(quick: bool = False) -> Section:
    """Simulate every cell."""
    experiments = 20 if quick else EXPERIMENTS
    rows = []
    for clusters, truth in product(CLUSTERS, TRUTHS):
        progress(f"{clusters} clusters, effect {truth:g}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [states(simulate(clusters, truth, seed)) for seed in range(experiments)]
        both, alone = (Counter(pair[i] for pair in found) for i in (0, 1))
        shown = [both[State.SHIP], both[State.DONT_SHIP], both[State.KEEP_MEASURING]]
        shown += [alone[State.SHIP], alone[State.DONT_SHIP]]
        rows.append([f"{clusters}", f"{truth:+.1f}", *(f"{n / experiments:.1%}" for n in shown)])
    error = 100 * np.sqrt(0.05 * 0.95 / experiments)
    return Section(
        "Decisions",
        f"Share of {experiments:,} experiments in each state, at threshold 0 and decision_prob "
        f"95% (Monte Carlo error of 5%: {error:.1f} points). Sizes have log-SD 0.7; the checks of "
        "the model are left out.",
        [
            "clusters",
            "true effect (SD)",
            "ship",
            "don't ship",
            "keep measuring",
            "posterior alone: ship",
            "posterior alone: don't ship",
        ],
        rows,
    )
