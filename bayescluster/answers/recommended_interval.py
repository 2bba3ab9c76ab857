"""The cross-check of the posterior: the interval to read first besides it, and its computation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..data.experiment import Experiment
from ..frequentist.average_regression import differs, named_moments
from ..frequentist.cluster_influence import effective_clusters
from ..frequentist.method_labels import (
    OVER_CLUSTERS,
    OVER_USERS,
    RANDOMIZATION,
    TWO_EXPOSURE,
    WILD,
    Method,
)
from ..frequentist.ols import ols
from ..frequentist.randomization import randomization_test
from ..frequentist.wild_cluster_bootstrap import wild_bootstrap

#: Below this (effective) number of clusters, normal approximations fail ...
MIN_CLUSTERS = 30
#: ... and below this, so do most remedies.
FEW_CLUSTERS = 10

CR2 = Method("cr2", "OLS, CR2")
TWO_EXPOSURE_CR2 = Method("two_exposure_cr2", f"{TWO_EXPOSURE.label}, CR2")
OVER_USERS_CR2 = Method("over_users_cr2", f"{OVER_USERS.label}, CR2")
OVER_CLUSTERS_CR2 = Method("over_clusters_cr2", f"{OVER_CLUSTERS.label}, CR2")


@dataclass(frozen=True)
class Recommendation:
    """The interval to read first besides the posterior's.

    Parameters
    ----------
    method : Method
        Method of the interval; its label begins the method's name in the table of estimates.
    reason : str
        Why to read it first.
    """

    method: Method
    reason: str


def least_squares_of(exp: Experiment) -> Method:
    """Return the regression, with CR2, of the average that the specification names."""
    average = exp.spec.report.estimand
    if not differs(exp, average):
        return TWO_EXPOSURE_CR2 if exp.has_spillover else CR2
    return OVER_USERS_CR2 if average == "user" else OVER_CLUSTERS_CR2


def clusters_behind(exp: Experiment, effect: str) -> float:
    """Return the effective number of clusters of an effect, as the specification averages it."""
    return effective_clusters(exp, effect, moments=named_moments(exp))


def recommend(
    clusters: float,
    least_squares: Method = CR2,
    unusable: Mapping[Method, str] | None = None,
    *,
    randomized: bool = True,
) -> Recommendation:
    """Return the interval to read first besides the posterior's, with the reason.

    Parameters
    ----------
    clusters : float
        Effective number of clusters.
    least_squares : Method
        The regression with CR2 that estimates the named average; see :func:`least_squares_of`.
    unusable : mapping of Method to str, optional
        Methods that this design does not allow, or that cannot reject in it, each with the reason.
        They are skipped, and the reason is quoted.
    randomized : bool
        Whether the randomisation test is about this effect: the direct effect of a design without
        spillover, averaged over users.
    """
    known = unusable or {}
    if clusters >= MIN_CLUSTERS:
        return Recommendation(
            least_squares, f"{MIN_CLUSTERS} or more effective clusters are enough for CR2"
        )
    fallback = (
        "read CR2: CR2 has degrees of freedom for few clusters, and intervals of CR1 and of the "
        "pairs bootstrap are too short"
    )
    if clusters >= FEW_CLUSTERS:
        first = Recommendation(
            WILD,
            "read the wild cluster bootstrap, or CR2 with its degrees of freedom; intervals "
            "of the pairs bootstrap and of CR1 are too short",
        )
    elif randomized:
        first = Recommendation(
            RANDOMIZATION,
            "read the randomisation test, which is exact for any number of clusters",
        )
    else:
        return Recommendation(least_squares, fallback)
    if reason := known.get(first.method):
        why = f"{fallback}; the {first.method.label} cannot be used here: {reason}"
        return Recommendation(least_squares, why)
    return first


def recommended_for(
    exp: Experiment, effect: str, unusable: Mapping[Method, str] | None = None
) -> Recommendation:
    """Return the interval of an effect to read first, by the experiment's effective clusters."""
    return recommend(
        clusters_behind(exp, effect),
        least_squares_of(exp),
        unusable,
        randomized=tested_by_randomization(exp, effect),
    )


def tested_by_randomization(exp: Experiment, effect: str) -> bool:
    """Return whether the randomisation test of the arms is about an effect."""
    own = not differs(exp, exp.spec.report.estimand)
    whole = exp.spec.design.level == "cluster"
    return effect == "direct" and not exp.has_spillover and own and whole


def cross_check(
    exp: Experiment, effect: str, method: Method, ci_prob: float, seed: int = 0
) -> pd.Series:
    """Return one effect by the recommended method, with an interval of any level.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    effect : str
        The effect.
    method : Method
        Method of a :class:`Recommendation`.
    ci_prob : float
        Level of the interval.
    seed : int
        Seed of the draws, if there are any.

    Returns
    -------
    Series
        method (the label), estimate, std_error, df, ci_lower, ci_upper, ci_prob, p_value.
    """
    if method == RANDOMIZATION:
        found = randomization_test(exp, effect, seed=seed, ci_prob=ci_prob).to_dataframe()
    elif method == WILD:
        found = wild_bootstrap(
            named_moments(exp), effect, seed=seed, ci_prob=ci_prob
        ).to_dataframe()
    else:
        found = ols(named_moments(exp), "CR2", ci_prob=ci_prob).to_dataframe()
    return found.assign(method=method.label)[found["term"] == effect].iloc[0]


def cross_check_of_sum(exp: Experiment, effects: Sequence[str], ci_prob: float) -> pd.Series:
    """Return the sum of effects by least squares with CR2; see :func:`cross_check`."""
    together = {"sum": dict.fromkeys(effects, 1.0)}
    found = ols(named_moments(exp), "CR2", contrasts=together, ci_prob=ci_prob).to_dataframe()
    return found.assign(method=least_squares_of(exp).label).iloc[-1]
