"""The decision on each effect: its state by both paths, and the expected losses of acting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.display import number, probability
from .._support.tidy import Tidy
from ..answers.estimands import (
    DIRECT_EFFECT,
    FULL_ROLLOUT,
    Estimand,
    effect_named,
    estimand_draws,
)
from ..answers.method_comparison import Comparison, compare
from ..answers.posterior_summary import rope_probabilities
from ..answers.recommended_interval import cross_check, cross_check_of_sum
from ..bayes.parameter_draws import check_posterior
from ..checks.check_registry import diagnose
from ..data.experiment import Experiment
from ..spec.model_spec import ReportSpec
from .decision_rule import Evidence, bearing_on, judge, sampler_failures

if TYPE_CHECKING:
    import xarray as xr

#: Effects whose cross-check is that of the direct effect.
AS_DIRECT = (DIRECT_EFFECT.name, FULL_ROLLOUT.name)
#: Bootstrap replicates where the comparison is made here: the rule does not read them.
FEW_DRAWS = 500


@dataclass(frozen=True, eq=False)
class Decision(Tidy):
    """What to do about each effect, why, and the expected losses of acting and of not acting.

    Parameters
    ----------
    table : DataFrame
        One row per effect: effect, average (user or cluster: whom it is averaged over), state
        (ship, don't ship, keep measuring or not usable: see
        :func:`bayescluster.decisions.decision_rule.judge`; empty for effects that cannot be shipped
        by themselves, such as spillover, and for draws given by hand), mean, sd, threshold,
        direction, prob_beyond_threshold (on the desired side), prob_in_rope, prob_below_rope,
        prob_above_rope (NaN without a ROPE), cross_check, check_lower, check_upper, check_prob
        (method and interval of the cross-check, at level 2 decision_prob - 1), against (what stands
        against acting; empty if nothing does), loss_ship and loss_hold (expected loss per user of
        acting and of not acting, in the outcome's unit), smaller_loss (ship or hold), margin
        (difference of the losses), value_of_information (of perfect information: the smaller loss),
        conclusion.
    report : ReportSpec
        Threshold, direction, ROPE and decision probability.
    """

    table: pd.DataFrame
    report: ReportSpec

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    @property
    def state(self) -> str:
        """The state of the direct effect."""
        return str(self.table["state"].iloc[0])

    @property
    def headline(self) -> str:
        """The decision on the direct effect in one sentence, with the numbers."""
        return str(self.table["conclusion"].iloc[0])

    @property
    def conclusions(self) -> list[str]:
        """Conclusions, one sentence per effect."""
        return [str(text) for text in self.table["conclusion"]]


def decide(
    exp: Experiment,
    tree: xr.DataTree,
    *,
    comparison: Comparison | None = None,
    checks: pd.DataFrame | None = None,
    estimands: Mapping[str, Floats] | None = None,
) -> Decision:
    """Decide on each effect by posterior, cross-check and checks, with the expected losses.

    Parameters
    ----------
    exp : Experiment
        Data and specification; its report section sets average, threshold, direction, ROPE and
        decision probability.
    tree : DataTree
        The result of :func:`fit` or :func:`fit_exact`.
    comparison : Comparison, optional
        The result of :func:`compare`; made here if not given.
    checks : DataFrame, optional
        The result of :func:`diagnose`; made here if not given.
    estimands : mapping of str to ndarray, optional
        Draws of each effect, shape (S,), by name; by default, those of :func:`estimand_draws` on
        the scale of the threshold. Draws given by hand have losses, but no cross-check and no
        state.

    Returns
    -------
    Decision
        One row per effect.

    Raises
    ------
    ValueError
        If the posterior belongs to another experiment.

    Notes
    -----
    With gain = effect - threshold (threshold - effect if a decrease is desired), acting loses
    max(-gain, 0) and not acting max(gain, 0). Their expectations differ by the mean gain, so its
    sign decides the action. The smaller expected loss is what a perfect experiment would be worth
    per user: the expected value of perfect information (Raiffa & Schlaifer 1961, Applied
    Statistical Decision Theory, chapter 4). The Monte Carlo error of each loss is its standard
    deviation over the square root of the effective number of draws. For the lognormal family,
    effects, threshold and losses are on the log scale; to decide in the outcome's unit, pass the
    "difference of means" of :func:`estimand_draws` as `estimands`.

    Examples
    --------
    >>> from bayescluster import Experiment, fit_exact
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50, direct=0.8)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> decide(exp, fit_exact(exp, seed=1)).table.loc[0, ["effect", "state"]].tolist()
    ['direct', 'ship']
    """
    if estimands is not None:
        draws = {effect_named(name): values for name, values in estimands.items()}
    else:
        check_posterior(exp, tree)
        draws = {e: values for e, values in estimand_draws(exp, tree).items() if e.is_effect}
    report = exp.spec.report
    logs = exp.spec.family.log_outcome and estimands is None
    if estimands is None:
        comparison = comparison or compare(exp, tree, bootstrap_draws=FEW_DRAWS)
        checks = diagnose(comparison) if checks is None else checks
    rows = []
    for effect, values in draws.items():
        row = _losses(effect, values, report)
        row |= NO_STATE | {"conclusion": _conclusion(row, report, logs=logs)}
        if comparison is not None and checks is not None and effect.is_action:
            row |= _state(_evidence(effect, row, comparison, checks), report)
        rows.append(row)
    return Decision(pd.DataFrame(rows)[COLUMNS], report)


def _state(evidence: Evidence, report: ReportSpec) -> dict[str, Any]:
    """Return the columns of an effect that can be shipped."""
    judgement = judge(evidence, report)
    return {
        "state": str(judgement.state),
        "cross_check": evidence.method,
        "check_lower": evidence.lower,
        "check_upper": evidence.upper,
        "check_prob": evidence.ci_prob,
        "against": "; ".join(judgement.against),
        "conclusion": judgement.reason,
    }


def _evidence(
    effect: Estimand, row: Mapping[str, Any], comparison: Comparison, checks: pd.DataFrame
) -> Evidence:
    """Return what both paths and the checks say of an effect that can be shipped."""
    exp = comparison.experiment
    report = exp.spec.report
    level = 2 * report.decision_prob - 1
    if effect.name in AS_DIRECT:
        parts: tuple[str, ...] = ("direct",)
        recommended = comparison.recommended["direct"]
        found = cross_check(exp, "direct", recommended.method, level)
    else:
        parts = ("direct", "spillover", "interaction")
        found = cross_check_of_sum(exp, parts, level)
    not_identified = (
        [f"{effect.name} is not identified: {effect.extrapolates}"] if effect.extrapolates else []
    )
    return Evidence(
        effect=f"the {effect.name} effect, averaged over {effect.average}s,"
        if exp.size_terms
        else f"the {effect.name} effect",
        prob_beyond=row["prob_beyond_threshold"],
        prob_in_rope=row["prob_in_rope"],
        method=str(found["method"]),
        lower=float(found["ci_lower"]),
        upper=float(found["ci_upper"]),
        ci_prob=level,
        error=row["sd"],
        unit=exp.spec.unit,
        problems=bearing_on(checks, (*parts, effect.name)),
        failures=(*sampler_failures(checks), *not_identified),
    )


#: Columns of an effect without a decision: it cannot be shipped, or its draws were given by hand.
NO_STATE = {
    "state": "",
    "cross_check": "",
    "check_lower": np.nan,
    "check_upper": np.nan,
    "check_prob": np.nan,
    "against": "",
}
#: Columns of the table, in order.
COLUMNS = [
    "effect",
    "average",
    "state",
    "mean",
    "sd",
    "threshold",
    "direction",
    "prob_beyond_threshold",
    "prob_in_rope",
    "prob_below_rope",
    "prob_above_rope",
    "cross_check",
    "check_lower",
    "check_upper",
    "check_prob",
    "against",
    "loss_ship",
    "loss_hold",
    "smaller_loss",
    "margin",
    "value_of_information",
    "conclusion",
]


def _losses(effect: Estimand, values: Floats, report: ReportSpec) -> dict[str, Any]:
    """Return what the posterior alone says of one effect."""
    values = np.asarray(values, dtype=float).ravel()
    sign = 1.0 if report.direction == "increase" else -1.0
    gain = sign * (values - report.threshold)
    loss_ship = float(np.maximum(-gain, 0).mean())
    loss_hold = float(np.maximum(gain, 0).mean())
    return {
        "effect": effect.label,
        "average": effect.average,
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)),
        "threshold": report.threshold,
        "direction": report.direction,
        "prob_beyond_threshold": float(np.mean(gain > 0)),
        **rope_probabilities(values, report),
        "loss_ship": loss_ship,
        "loss_hold": loss_hold,
        "smaller_loss": ("ship" if loss_ship < loss_hold else "hold") if effect.is_action else "",
        "margin": abs(loss_hold - loss_ship),
        "value_of_information": min(loss_ship, loss_hold),
    }


def _conclusion(row: Mapping[str, Any], report: ReportSpec, *, logs: bool) -> str:
    """Return the posterior probability in words, and the losses of what can be shipped."""
    unit = "per user, on the log scale," if logs else "per user"
    side = "above" if report.direction == "increase" else "below"
    chance = (
        f"{row['effect']}: the probability of an effect {side} {report.threshold:g} is "
        f"{probability(row['prob_beyond_threshold'])}"
    )
    if not row["smaller_loss"]:
        return chance
    return (
        f"{chance}; shipping has an expected loss of {number(row['loss_ship'])} {unit} holding one "
        f"of {number(row['loss_hold'])}"
    )
