"""Predictive checks: the data compared with predictions of the prior and of the fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.calls_to_figures_and_report import draw
from .._support.check_record import Verdict, worst
from .._support.tidy import Tidy
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


#: Two-sided tail probabilities below which an observed value is surprising, and is a misfit.
SURPRISING, MISFIT = 0.05, 0.01
#: Shares of absurd cluster means in the prior from which the verdict is caution, and problem.
MAX_ABSURD, MOSTLY_ABSURD = 0.2, 0.5
#: Absurd are conversion rates this near 0 or 1 (for rare events: this many times nearer than the
#: observed rate), ...
EXTREME_RATE, RARER = 0.01, 10.0
#: ... counts and money this many times above or below the observed mean, ...
ABSURD_RATIO = 100.0
#: ... and other means this many standard deviations of users away from it.
ABSURD_SDS = 10.0

#: Name of the row for all cluster means that the priors imply.
ALL_MEANS = "all cluster means"
#: The prior that determines each aspect of the cluster means.
PRIOR_OF = {
    Aspect.LEVEL: "intercept_mean",
    Aspect.BETWEEN: "between_sd",
    Aspect.EXTREME: "intercept_mean and between_sd",
    Aspect.CONTRAST: "direct (and the other effects)",
}
_EFFECTS = (
    "an effect differs from the model's: look for an interaction, a dose or an omitted covariate, "
    "and check the effects' priors"
)
#: Advice if a fitted model misses an aspect.
MISFITS = {
    Aspect.LEVEL: "a prior pulls the level away from the data; check that of intercept_mean",
    Aspect.BETWEEN: "check the prior of between_sd, and slopes that vary between clusters",
    Aspect.BETWEEN_BY_ARM: "clusters vary more in one arm than in the other; set between_sd_by_arm",
    Aspect.WITHIN: (
        "users vary more in one arm than in the other; compare with a cluster-robust interval, and "
        "check how the treatment affects the spread"
    ),
    Aspect.EXTREME: (
        "one cluster is far from the normal distribution of the others; inspect it, and also "
        "report the effect without it"
    ),
    Aspect.CONTRAST: _EFFECTS,
    Aspect.CONDITION: _EFFECTS,
}
#: Advice if counts vary less than the family allows.
TOO_EVEN = (
    "the counts vary less than the family allows, so intervals are too wide rather than too "
    "short; check what limits the counts (a cap, a quota), and compare with a cluster-robust "
    "interval"
)

COLUMNS = ["statistic", "observed", "predicted", "ci_lower", "ci_upper", "ci_prob", "tail_prob"]
COLUMNS += ["verdict", "advice"]


@dataclass(frozen=True, eq=False)
class PredictiveCheck(Tidy):
    """Statistics of the data, compared with those of experiments that the model predicts.

    Parameters
    ----------
    kind : {"prior", "posterior"}
        Source of the parameters of the predicted experiments.
    table : DataFrame
        Columns statistic, observed, predicted (median), ci_lower, ci_upper, ci_prob (equal-tailed),
        tail_prob (probability that a predicted experiment has a larger value, ties counted half),
        verdict (ok, caution, problem), advice (empty if ok).
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
    """Check what the priors imply for the cluster means, on the outcome's scale.

    Needs no fit: without a tree, parameters are drawn from their priors. The data only give the
    scale, the design and the observed values for comparison.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    tree : DataTree, optional
        The result of :func:`fit`, whose prior draws are used.
    seed : int
        Seed of the draws, if there is no tree.

    Returns
    -------
    PredictiveCheck
        For the cluster means (lognormal: geometric means; bernoulli: rates): all of them together,
        their mean, spread, smallest and largest, and the difference (lognormal: ratio) between
        treated and control clusters. The row "all cluster means" shows the observed mean, and its
        verdict depends on the share of absurd means, which the advice gives. The other verdicts
        depend on whether the prior allows the observed value. A standard deviation conflicts only
        if the prior's values are too small, because priors are meant to be wider than posteriors.

    Notes
    -----
    Tail probabilities are those of Box (1980, Journal of the Royal Statistical Society A 143:
    383-430). Absurd values are rates below 1% or above 99% (for events rarer than 10%, or more
    frequent than 90%: ten times nearer to 0 or 1 than the observed rate), counts and money 100
    times above or below the observed mean, and other means 10 standard deviations of users away.
    Rates and counts are judged by a cluster's expected value, because the share among a few users
    is 0 or 1 by chance.
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
    """Check whether experiments that the fitted model predicts look like the observed one.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    tree : DataTree
        The result of :func:`fit` or :func:`fit_exact`.
    draws : int
        Number of replicated experiments; posterior draws are thinned to this number.
    seed : int
        Seed of the replicates.

    Returns
    -------
    PredictiveCheck
        For the mean over users; the standard deviation between clusters (by arm, if whole
        clusters are treated); the smallest and largest cluster mean; the mean over users in each
        exposure condition (in each arm, if spillover is a dose and the outcome gaussian); for
        gaussian outcomes, the standard deviation within clusters by arm; for counts, the share of
        zeros and the ratio of variance to mean over all users. Lognormal outcomes are checked on
        the log scale.

    Notes
    -----
    A replicate has the same design, covariates and cluster sizes but new clusters. Posterior
    predictive p-values (Gelman, Meng & Stern 1996, Statistica Sinica 6: 733-807) are conservative
    because the parameters were fitted to the same data: values near 0 or 1 indicate a misfit, but
    values near 1/2 do not prove a good fit. With S replicates their Monte Carlo error is at most
    1 / (2 sqrt(S)).
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

    For families with a link, also return the expected means, (S, J).
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
    """Return the cluster means; those of counts are exact, because ties count."""
    if exp.spec.family.has_link:
        cells = exp.cells()
        return np.bincount(cells.cluster, cells.total) / np.bincount(cells.cluster, cells.n)
    return exp.moments().means[:, -1]


def _from_logs(statistic: Statistic) -> tuple[Statistic, Any]:
    """Return a statistic on the outcome's own scale, and the function that maps it from logs.

    Quantiles of an increasing function are this function of the quantiles.
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
    # By order statistics, because draws may be infinite.
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
    """Summarise all cluster means that the prior implies, and judge whether they are plausible."""
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
            raise ValueError(f"define absurd means for the {other} link")
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
        f"observed one: the prior of {PRIOR_OF[statistic.aspect]} conflicts with the data; justify "
        "it, or widen it"
    )
    return {"verdict": verdict, "advice": "" if verdict == "ok" else advice}


def _verdict(surprise: float) -> str:
    if surprise >= SURPRISING:
        return "ok"
    return "caution" if surprise >= MISFIT else "problem"


def _posterior_verdict(exp: Experiment, statistic: Statistic, tail: float) -> dict[str, str]:
    verdict = _verdict(2 * min(tail, 1 - tail))
    size = "larger" if tail < 0.5 else "smaller"
    return {
        "verdict": verdict,
        "advice": "" if verdict == "ok" else _misfit_advice(exp, statistic, size),
    }


def _misfit_advice(exp: Experiment, statistic: Statistic, size: str) -> str:
    start = f"the observed value is {size} than the model predicts: "
    if statistic.aspect is not Aspect.DISPERSION:
        return start + MISFITS[statistic.aspect]
    return start + (TOO_EVEN if size == "smaller" else exp.spec.family.words.too_variable)
