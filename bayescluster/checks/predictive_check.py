"""Predictive checks: what the model expects data to look like, before and after seeing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.checks import Verdict, worst
from .._support.display import Tidy
from .._support.doors import draw
from ..bayes.parameter_draws import ParameterDraws, check_posterior
from ..bayes.recovered_intercepts import draw_prior, labels_of, likelihood_of
from ..data.experiment import Experiment
from .predictive_replicates import Groups, expected_means, replicate
from .predictive_statistics import (
    Aspect,
    Statistic,
    draw_within_sd,
    observed_totals,
    observed_within_sd,
    of_cluster_means,
    of_groups,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


#: Two-sided tail probabilities below which what was observed is a surprise, and a misfit.
SURPRISING, MISFIT = 0.05, 0.01
#: Share of absurd cluster means that a prior may imply, before caution and before it is a problem.
MAX_ABSURD, MOSTLY_ABSURD = 0.2, 0.5
#: What absurd is: conversion rates this near 0 or 1 (of rare events: so many times nearer than the
#: observed rate), ...
EXTREME_RATE, RARER = 0.01, 10.0
#: ... counts and money this many times above or below the observed mean, ...
ABSURD_RATIO = 100.0
#: ... and other means this many standard deviations of users away from it.
ABSURD_SDS = 10.0

#: The row on all cluster means that the priors imply.
ALL_MEANS = "all cluster means"
#: The prior that each aspect of the cluster means goes back to.
PRIOR_OF = {
    Aspect.LEVEL: "intercept_mean",
    Aspect.BETWEEN: "between_sd",
    Aspect.EXTREME: "intercept_mean and between_sd",
    Aspect.CONTRAST: "direct (and the other effects)",
}
_EFFECTS = (
    "an effect is not what the model says it is: look for an interaction, a dose or a covariate "
    "that is left out, and at the effects' priors"
)
#: What to do where a fitted model misses each aspect.
MISFITS = {
    Aspect.LEVEL: "a prior pulls the level away from the data; look at intercept_mean's",
    Aspect.BETWEEN: "look at the prior of between_sd, and at slopes that vary between clusters",
    Aspect.BETWEEN_BY_ARM: "the arms differ in how much clusters vary; set between_sd_by_arm",
    Aspect.WITHIN: (
        "users of the two arms vary by different amounts; read a cluster-robust interval beside "
        "the posterior, and ask what treatment does to the spread"
    ),
    Aspect.EXTREME: (
        "one cluster lies apart from the normal distribution of the others; look at it, and "
        "report the effect without it too"
    ),
    Aspect.CONTRAST: _EFFECTS,
    Aspect.CONDITION: _EFFECTS,
}
#: What to do where counts vary less than the family allows.
TOO_EVEN = (
    "the counts vary less than the family allows, so that intervals are too wide rather than too "
    "short; ask what evens them out (a cap, a quota), and read a cluster-robust interval beside "
    "the posterior"
)

COLUMNS = ["statistic", "observed", "predicted", "ci_lower", "ci_upper", "ci_prob", "tail_prob"]
COLUMNS += ["verdict", "advice"]


@dataclass(frozen=True, eq=False)
class PredictiveCheck(Tidy):
    """Statistics of the data beside those of experiments that the model predicts.

    Parameters
    ----------
    kind : {"prior", "posterior"}
        What the parameters of the predicted experiments were drawn from.
    table : DataFrame
        Columns statistic, observed, predicted (median), ci_lower, ci_upper, ci_prob (equal-tailed),
        tail_prob (probability that a predicted experiment has more, ties counted half), verdict
        (ok, caution, problem), advice (empty where ok).
    draws : dict of ndarray
        The statistics of the predicted experiments, by name.
    scale : str
        Scale of the statistics, in words.
    """

    kind: Literal["prior", "posterior"]
    table: pd.DataFrame
    draws: Mapping[str, Floats]
    scale: str

    @property
    def verdict(self) -> Verdict:
        """The worst of the verdicts."""
        return worst(self.table["verdict"])

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw each statistic's predicted distribution with its interval and the observed value."""
        return draw("model_checks.predictive", self, figure)


def prior_predictive_check(
    exp: Experiment, tree: xr.DataTree | None = None, *, seed: int = 0
) -> PredictiveCheck:
    """Check what the priors imply for the clusters' means, on the outcome's scale.

    Needs no fit: where there is none, parameters are drawn from their priors. The data then give
    the scale and the design, and what was observed is for comparison.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    tree : DataTree, optional
        The result of :func:`fit`, whose prior draws are used.
    seed : int
        Seed of draws where there is no tree.

    Returns
    -------
    PredictiveCheck
        Of the clusters' means (lognormal: geometric means; bernoulli: rates): all of them together,
        their mean over clusters, spread, smallest and largest, and the difference (lognormal:
        ratio) between treated and control clusters. The row "all cluster means" has as observed the
        observed mean and is judged by the share of absurd means, in its advice; the others by
        whether the prior allows for what was observed: a standard deviation is in conflict only
        where the prior's are too small, as priors are wider than posteriors by intention.

    Notes
    -----
    Tail probabilities are those of Box (1980, Journal of the Royal Statistical Society A 143:
    383-430). Absurd are rates below 1% or above 99% (of events that are rarer than 10%, or more
    frequent than 90%: ten times as near to 0 or 1 as the observed rate), counts and money 100 times
    the observed mean or a hundredth of it, and other means 10 standard deviations of users away.
    Rates and counts are judged by what is expected of a cluster, since the share of a few users is
    0 or 1 by chance.
    """
    drawn, expected = _prior_means(exp, tree, seed)
    observed = _observed_means(exp)
    family, everything = exp.spec.family, drawn.ravel()
    rows = [_absurd_row(exp, everything, expected)]
    draws = {ALL_MEANS: family.restored(everything)}
    for statistic, of in of_cluster_means(exp).items():
        shown, change = _from_logs(statistic) if family.log_outcome else (statistic, np.asarray)
        draws[shown.name] = values = change(of(drawn))
        row = _row(shown.name, float(change(of(observed))), values, exp.spec.report.ci_prob)
        rows.append(row | _prior_verdict(shown, float(row["tail_prob"])))
    return PredictiveCheck(
        "prior",
        pd.DataFrame(rows, columns=COLUMNS),
        draws,
        family.words.cluster_mean,
    )


def posterior_predictive_check(
    exp: Experiment, tree: xr.DataTree, *, draws: int = 1_000, seed: int = 0
) -> PredictiveCheck:
    """Check whether experiments that the fitted model predicts look like the one observed.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    tree : DataTree
        The result of :func:`fit` or :func:`fit_exact`.
    draws : int
        Replicated experiments; posterior draws are thinned to as many.
    seed : int
        Seed of the replicates.

    Returns
    -------
    PredictiveCheck
        Of the mean over users; the standard deviation between clusters (by arm, where whole
        clusters are treated); the smallest and largest cluster mean; the mean over users in each
        exposure condition (in each arm, where spillover is a dose and the outcome gaussian); of
        gaussian outcomes the standard deviation within clusters by arm; of counts the share of
        zeros and the ratio of variance to mean over all users. Lognormal outcomes are checked on
        the log scale.

    Notes
    -----
    A replicate has the same design, covariates and cluster sizes but new clusters. Posterior
    predictive p-values (Gelman, Meng & Stern 1996, Statistica Sinica 6: 733-807) are conservative:
    parameters were fitted to the data that they are compared with, so that values near 0 or 1 mean
    a misfit and values near 1/2 are no proof of a fit. With S replicates their Monte Carlo error is
    at most 1 / (2 sqrt(S)).
    """
    check_posterior(exp, tree)
    rng = np.random.default_rng(seed)
    groups = Groups.of(exp)
    parameters = ParameterDraws.of(tree["posterior"].to_dataset(), exp).flattened()
    size = len(parameters.effects)
    parameters = parameters[:: max(1, size // draws)]
    replicates = replicate(rng, exp, groups, parameters)
    predicted = of_groups(exp, groups, replicates)
    observed = of_groups(exp, groups, observed_totals(exp, groups, replicates))
    predicted |= draw_within_sd(rng, exp, parameters)
    observed |= observed_within_sd(exp)
    rows = []
    for statistic, values in predicted.items():
        seen = float(np.squeeze(observed[statistic]))
        row = _row(statistic.name, seen, values, exp.spec.report.ci_prob)
        rows.append(row | _posterior_verdict(exp, statistic, float(row["tail_prob"])))
    scale = "log outcome" if exp.spec.family.log_outcome else "outcome"
    draws_by_name = {statistic.name: values for statistic, values in predicted.items()}
    return PredictiveCheck("posterior", pd.DataFrame(rows, columns=COLUMNS), draws_by_name, scale)


def _prior_means(
    exp: Experiment, tree: xr.DataTree | None, seed: int
) -> tuple[Floats, Floats | None]:
    """Return cluster means (S, J) of experiments with parameters from the prior.

    For families with a link also the expected ones, (S, J).
    """
    rng = np.random.default_rng(seed)
    if tree is not None:
        prior = ParameterDraws.of(tree["prior"].to_dataset(), exp)
        means = tree["prior_predictive"]["cluster_mean"].to_numpy()
    else:
        moments = exp.moments()
        labels = {
            "cluster": labels_of(moments.clusters),
            "stratum": labels_of(moments.stratum_levels),
        }
        prior = ParameterDraws.of(draw_prior(exp, labels, rng), exp)
        means = likelihood_of(exp).draw_cluster_means(rng, prior)
    expected = None
    if exp.spec.family.has_link:
        expected = expected_means(rng, exp, Groups.of(exp), prior.flattened())
    return means.reshape(-1, means.shape[-1]), expected


def _observed_means(exp: Experiment) -> Floats:
    """Return the clusters' means, to the last digit where they are means of counts: ties count."""
    if exp.spec.family.has_link:
        cells = exp.cells()
        return np.bincount(cells.cluster, cells.total) / np.bincount(cells.cluster, cells.n)
    return exp.moments().means[:, -1]


def _from_logs(statistic: Statistic) -> tuple[Statistic, Any]:
    """Return a statistic on the outcome's own scale, and how to get there from logarithms.

    Quantiles of an increasing function are that function of the quantiles.
    """
    match statistic.aspect:
        case Aspect.BETWEEN:
            return replace(statistic, name=f"{statistic.name} (log scale)"), np.asarray
        case Aspect.CONTRAST:
            return replace(statistic, name="treated over control clusters (ratio)"), _exp
    return statistic, _exp


def _exp(values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.exp(values)


def _row(name: str, observed: float, values: Floats, ci_prob: float) -> dict[str, Any]:
    values = values[~np.isnan(values)]
    tail = (1 - ci_prob) / 2
    # By order statistics: draws may be infinite.
    lower, middle, upper = np.quantile(values, [tail, 0.5, 1 - tail], method="inverted_cdf")
    more = float(np.mean(values > observed) + 0.5 * np.mean(values == observed))
    return {
        "statistic": name,
        "observed": observed,
        "predicted": float(middle),
        "ci_lower": float(lower),
        "ci_upper": float(upper),
        "ci_prob": ci_prob,
        "tail_prob": more,
    }


def _absurd_row(exp: Experiment, means: Floats, expected: Floats | None) -> dict[str, Any]:
    """Describe all cluster means that the prior implies, and judge whether they can be."""
    judged = means if expected is None else expected
    m, family = exp.moments(), exp.spec.family
    center, sd = float(m.grand_means[-1]), float(m.sd[-1])
    match family.link.name:
        case "logit":
            low = min(EXTREME_RATE, center / RARER)
            high = 1 - min(EXTREME_RATE, (1 - center) / RARER)
            absurd = (judged < low) | (judged > high)
            what = f"rates below {100 * low:.2g}% or above {100 * high:.4g}%"
        case "log":
            absurd = (judged > ABSURD_RATIO * center) | (judged < center / ABSURD_RATIO)
            what = f"means {ABSURD_RATIO:.0f} times the observed one or a hundredth of it"
        case "identity" if family.log_outcome:
            absurd = np.abs(judged - center) > np.log(ABSURD_RATIO)
            what = f"geometric means {ABSURD_RATIO:.0f} times the observed one or a hundredth of it"
        case "identity":
            absurd = np.abs(judged - center) > ABSURD_SDS * sd
            what = f"means {ABSURD_SDS:.0f} standard deviations of users from the observed one"
        case other:
            raise ValueError(f"no means are known to be absurd under a {other} link: say which")
    share = float(absurd.mean())
    verdict = "ok" if share <= MAX_ABSURD else "caution"
    verdict = "problem" if share > MOSTLY_ABSURD else verdict
    advice = (
        f"{share:.0%} of the clusters that the priors imply have {what}: use smaller scales for "
        "intercept_mean, between_sd and the effects"
    )
    seen, drawn = float(family.restored(center)), family.restored(means)
    row = _row(ALL_MEANS, seen, drawn, exp.spec.report.ci_prob)
    return row | {"verdict": verdict, "advice": "" if verdict == "ok" else advice}


def _prior_verdict(statistic: Statistic, tail: float) -> dict[str, str]:
    upper_only = statistic.aspect is Aspect.BETWEEN
    verdict = _verdict(2 * tail if upper_only else 2 * min(tail, 1 - tail))
    side = "below" if tail < 0.5 else "above"
    advice = (
        f"nearly all experiments that the priors imply have their {statistic.name} {side} the "
        f"observed one: the prior of {PRIOR_OF[statistic.aspect]} conflicts with the data; state "
        "where it comes from, or widen it"
    )
    return {"verdict": verdict, "advice": "" if verdict == "ok" else advice}


def _verdict(surprise: float) -> str:
    if surprise >= SURPRISING:
        return "ok"
    return "caution" if surprise >= MISFIT else "problem"


def _posterior_verdict(exp: Experiment, statistic: Statistic, tail: float) -> dict[str, str]:
    verdict = _verdict(2 * min(tail, 1 - tail))
    more = "more" if tail < 0.5 else "less"
    return {
        "verdict": verdict,
        "advice": "" if verdict == "ok" else _misfit_advice(exp, statistic, more),
    }


def _misfit_advice(exp: Experiment, statistic: Statistic, more: str) -> str:
    start = f"the data have {more} of it than the model predicts: "
    if statistic.aspect is not Aspect.DISPERSION:
        return start + MISFITS[statistic.aspect]
    return start + (TOO_EVEN if more == "less" else exp.spec.family.words.too_variable)
