"""The estimators of a comparison, in the order of its table.

To add one, write its function in a file of this folder and add an entry to `ESTIMATORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .._support.tidy import Tidy
from ..data.cluster_sizes import LEAST_LOG_SD, log_size_sd
from ..data.experiment import Experiment
from ..errors import DataError
from ..exposure.expose import exposure_of
from ..spec.model_spec import Average
from . import method_labels as methods
from .average_regression import average_effects, average_of_ols, differs, named_moments
from .conditional_randomization import spillover_test
from .graph_estimators import (
    exposure_weighted_ols,
    hajek,
    horvitz_thompson,
    recentred_ols,
    unadjusted_ols,
)
from .inverted_tests import ResamplingTest
from .method_labels import Method, Unusable
from .randomization import randomization_test
from .standard_regressions import cluster_wls, naive_ols, two_exposure
from .wild_cluster_bootstrap import wild_bootstrap

#: Why contrasts of conditions do not estimate spillover from a dose.
DOSE = (
    "exposure is a dose: the contrast of exposed with unexposed users is not the effect per unit "
    "of exposure"
)


@dataclass(frozen=True)
class Estimator:
    """An estimator of effects.

    Parameters
    ----------
    method : Method
        Its key and label.
    run : callable
        Takes ``(exp, seed=, ci_prob=)``, and ``effect=`` if `each_effect`. Returns a result whose
        table has the columns of :class:`bayescluster.frequentist.Estimates`. Raises DataError if
        the design does not allow it.
    each_effect : bool
        Whether it runs once per effect.
    wanted : callable
        Takes an experiment; returns whether its rows are wanted: not without a collaboration graph,
        for example, if it needs exposure from one.
    required : bool
        Whether its DataError stops the comparison.
    not_for : callable
        Takes an experiment; returns the effects that it does not estimate, each with the reason.
    average : callable
        Takes an experiment; returns what its estimates average over: user, cluster or neither.
    """

    method: Method
    run: Callable[..., Tidy]
    each_effect: bool = False
    wanted: Callable[[Experiment], bool] = lambda exp: True
    required: bool = False
    not_for: Callable[[Experiment], Mapping[str, str]] = lambda exp: {}
    average: Callable[[Experiment], str] = average_of_ols


@dataclass(frozen=True, eq=False)
class Estimated:
    """Results of the registry's estimators.

    Parameters
    ----------
    results : dict
        Results by method (of the last effect, if there is one per effect).
    tables : list of DataFrame
        Their tables, with a column average, in the order of the registry.
    skipped : tuple of Unusable
        Methods that the design does not allow.
    powerless : tuple of Unusable
        Methods that cannot reject at the experiment's level, whatever the effect.
    """

    results: dict[Method, Any]
    tables: list[pd.DataFrame]
    skipped: tuple[Unusable, ...]
    powerless: tuple[Unusable, ...]


def _has_graph(exp: Experiment) -> bool:
    return exp.exposure is not None


def _treats_whole_clusters(exp: Experiment) -> bool:
    return exp.spec.design.level == "cluster"


def _wants(average: Average) -> Callable[[Experiment], bool]:
    """Return whether an average is wanted, and ordinary least squares does not give it."""

    def wanted(exp: Experiment) -> bool:
        asked = average in ("user", exp.spec.report.estimand)
        varies = log_size_sd(exp.moments()) >= LEAST_LOG_SD
        return (asked or varies) and differs(exp, average)

    return wanted


def _named(exp: Experiment) -> str:
    return exp.spec.report.estimand


def _contrasts_by_dose(exp: Experiment) -> dict[str, str]:
    return {"spillover": DOSE} if exposure_of(exp).mapping.is_dose else {}


ESTIMATORS: tuple[Estimator, ...] = (
    Estimator(methods.NAIVE_OLS, lambda exp, **_: naive_ols(exp), required=True),
    Estimator(methods.TWO_EXPOSURE, lambda exp, **_: two_exposure(exp), required=True),
    Estimator(
        methods.OVER_USERS,
        lambda exp, **_: average_effects(exp, "user"),
        wanted=_wants("user"),
        average=lambda exp: "user",
    ),
    Estimator(
        methods.OVER_CLUSTERS,
        lambda exp, **_: average_effects(exp, "cluster"),
        wanted=_wants("cluster"),
        average=lambda exp: "cluster",
    ),
    Estimator(methods.UNADJUSTED, lambda exp, **_: unadjusted_ols(exp), wanted=_has_graph),
    Estimator(methods.RECENTRED, lambda exp, **_: recentred_ols(exp), wanted=_has_graph),
    Estimator(
        methods.EXPOSURE_WEIGHTED, lambda exp, **_: exposure_weighted_ols(exp), wanted=_has_graph
    ),
    Estimator(
        methods.HAJEK,
        lambda exp, seed, **_: hajek(exp, seed=seed),
        wanted=_has_graph,
        not_for=_contrasts_by_dose,
        average=lambda exp: "user",
    ),
    Estimator(
        methods.HORVITZ_THOMPSON,
        lambda exp, seed, **_: horvitz_thompson(exp, seed=seed),
        wanted=_has_graph,
        not_for=_contrasts_by_dose,
        average=lambda exp: "user",
    ),
    Estimator(
        methods.SPILLOVER_TEST,
        lambda exp, seed, **_: spillover_test(exp, seed=seed),
        wanted=_has_graph,
    ),
    Estimator(
        methods.CLUSTER_WLS, lambda exp, **_: cluster_wls(exp), wanted=_treats_whole_clusters
    ),
    Estimator(
        methods.RANDOMIZATION,
        lambda exp, seed, **_: randomization_test(exp, seed=seed),
        wanted=_treats_whole_clusters,
    ),
    Estimator(
        methods.WILD,
        lambda exp, seed, ci_prob, effect: wild_bootstrap(
            named_moments(exp), effect, seed=seed, ci_prob=ci_prob
        ),
        each_effect=True,
        average=_named,
    ),
)


def run_all(exp: Experiment, seed: int) -> Estimated:
    """Run every estimator of the registry that the experiment allows.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    seed : int
        Seed of the estimators that draw random numbers.
    """
    results: dict[Method, Any] = {}
    tables: list[pd.DataFrame] = []
    skipped: list[Unusable] = []
    powerless: list[Unusable] = []
    for estimator in ESTIMATORS:
        if not estimator.wanted(exp):
            continue
        reasons = estimator.not_for(exp)
        for effect in exp.spec.design.effects if estimator.each_effect else (None,):
            given = {} if effect is None else {"effect": effect}
            try:
                result = estimator.run(exp, seed=seed, ci_prob=exp.spec.report.ci_prob, **given)
            except DataError as error:
                if estimator.required:
                    raise
                skipped.append(Unusable(estimator.method, str(error), effect))
                continue
            table = result.to_dataframe().assign(average=estimator.average(exp))
            tables.append(table[~table["term"].isin(list(reasons))])
            results[estimator.method] = result
            if reason := _powerless(result, 1 - exp.spec.report.ci_prob):
                powerless.append(Unusable(estimator.method, reason, effect))
            skipped += [
                Unusable(estimator.method, why, name, applies=False)
                for name, why in reasons.items()
            ]
    return Estimated(results, tables, tuple(skipped), tuple(powerless))


def _powerless(result: Tidy, level: float) -> str:
    """Return why a test cannot reject at a level; empty if it can."""
    if not isinstance(result, ResamplingTest) or result.smallest_p_value <= level:
        return ""
    return (
        f"with {result.draws:,} {'possible' if result.enumerated else 'drawn'} {result.draws_of} "
        f"no p-value is below {result.smallest_p_value:.2g}, so it cannot reject at {level:.2g}"
    )
