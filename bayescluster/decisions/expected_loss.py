"""What to do: expected losses of acting and of waiting, in the outcome's unit per user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.display import (
    Tidy,
    number,
    percent,
    probability,
)
from ..answers.estimands import estimand_draws, is_effect
from ..bayes.parameter_draws import check_posterior
from ..data.experiment import Experiment
from ..spec.model_spec import ReportSpec

if TYPE_CHECKING:
    import xarray as xr


#: Estimands that no decision is about.
NOT_DECIDED = ("tutorial projection",)
#: Effects of something that one can ship. Others (spillover, contrasts of effects) come with it, or
#: do not: they have probabilities, and no action of their own.
ACTIONABLE = ("direct", "full rollout")


@dataclass(frozen=True, eq=False)
class Decision(Tidy):
    """What each effect says about acting on it, by expected loss.

    Parameters
    ----------
    table : DataFrame
        A row an effect: effect, mean, sd, threshold, direction, prob_beyond_threshold (on the side
        that is sought), prob_in_rope, prob_below_rope, prob_above_rope (NaN without a ROPE),
        loss_ship and loss_hold (expected loss per user of acting and of not acting, in the
        outcome's unit), action (ship or hold: the smaller loss; empty for effects that cannot be
        shipped by themselves, such as spillover), margin (by how much),
        value_of_information (that of perfect information, the smaller loss), clear (whether the
        probability reaches the specification's decision_prob), conclusion.
    report : ReportSpec
        Threshold, direction, ROPE and decision probability.
    """

    table: pd.DataFrame
    report: ReportSpec

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    @property
    def conclusions(self) -> list[str]:
        """The conclusions in words, a sentence an item."""
        return [str(text) for text in self.table["conclusion"]]


def decide(
    exp: Experiment, tree: xr.DataTree, *, estimands: Mapping[str, Floats] | None = None
) -> Decision:
    """Weigh acting on each effect against not acting, by their expected losses.

    Parameters
    ----------
    exp : Experiment
        Data and specification, whose report section has threshold, direction and ROPE.
    tree : DataTree
        The result of :func:`fit` or :func:`fit_exact`.
    estimands : mapping of str to ndarray, optional
        Draws of the effects on the outcome's scale, (S,) each; by default those of
        :func:`estimand_draws` that are on the scale of the threshold.

    Returns
    -------
    Decision
        A row an effect.

    Raises
    ------
    ValueError
        Where the posterior is of another experiment.

    Notes
    -----
    With gain = effect - threshold (threshold - effect where a decrease is sought), acting loses
    max(-gain, 0) and not acting max(gain, 0). Their difference is the mean gain, so that the
    smaller expected loss is the sign of the mean's, while its size is what a perfect experiment
    would be worth per user: the expected value of perfect information (Raiffa & Schlaifer 1961,
    Applied Statistical Decision Theory, chapter 4). Draws give each loss with a Monte Carlo error
    of its standard deviation over the square root of their effective number. Effects of the
    lognormal family are differences of logarithms, and so are threshold and losses; hand over the
    "difference of means" of :func:`estimand_draws` to decide in the outcome's unit.

    Examples
    --------
    >>> from bayescluster import Experiment, fit_exact
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50, direct=0.8)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> decide(exp, fit_exact(exp, seed=1)).table.loc[0, ["effect", "action"]].tolist()
    ['direct', 'ship']
    """
    if estimands is not None:
        draws = dict(estimands)
    else:
        check_posterior(exp, tree)
        draws = estimand_draws(exp, tree)
        draws = {k: v for k, v in draws.items() if is_effect(k) and k not in NOT_DECIDED}
    report = exp.spec.report
    logs = exp.spec.outcome.family == "lognormal" and estimands is None
    rows = [_row(k, v, report, logs=logs) for k, v in draws.items()]
    return Decision(pd.DataFrame(rows), report)


def _row(effect: str, values: Floats, report: ReportSpec, *, logs: bool) -> dict[str, Any]:
    values = np.asarray(values, dtype=float).ravel()
    sign = 1.0 if report.direction == "increase" else -1.0
    gain = sign * (values - report.threshold)
    loss_ship = float(np.maximum(-gain, 0).mean())
    loss_hold = float(np.maximum(gain, 0).mean())
    beyond = float(np.mean(gain > 0))
    row: dict[str, Any] = {
        "effect": effect,
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)),
        "threshold": report.threshold,
        "direction": report.direction,
        "prob_beyond_threshold": beyond,
        **_in_rope(values, report),
        "loss_ship": loss_ship,
        "loss_hold": loss_hold,
        "action": _action(effect, loss_ship, loss_hold),
        "margin": abs(loss_hold - loss_ship),
        "value_of_information": min(loss_ship, loss_hold),
        "clear": max(beyond, 1 - beyond) >= report.decision_prob,
    }
    return row | {"conclusion": _conclusion(row, report, logs=logs)}


def _action(effect: str, loss_ship: float, loss_hold: float) -> str:
    if not effect.startswith(ACTIONABLE) or " - " in effect:
        return ""
    return "ship" if loss_ship < loss_hold else "hold"


def _in_rope(values: Floats, report: ReportSpec) -> dict[str, float]:
    names = ("prob_in_rope", "prob_below_rope", "prob_above_rope")
    if report.rope is None:
        return dict.fromkeys(names, np.nan)
    below = float(np.mean(values <= report.rope[0]))
    above = float(np.mean(values >= report.rope[1]))
    return dict(zip(names, (1 - below - above, below, above), strict=True))


def _conclusion(row: Mapping[str, Any], report: ReportSpec, *, logs: bool) -> str:
    unit = "per user, on the log scale," if logs else "per user"
    side = "above" if report.direction == "increase" else "below"
    loss = {"ship": row["loss_ship"], "hold": row["loss_hold"]}
    chance = (
        f"the probability of an effect {side} {report.threshold:g} is "
        f"{probability(row['prob_beyond_threshold'])}"
    )
    if not row["action"]:
        return f"{row['effect']}: {chance}"
    other = "hold" if row["action"] == "ship" else "ship"
    text = (
        f"{row['effect']}: {row['action']}, with an expected loss of "
        f"{number(loss[row['action']])} {unit} against {number(loss[other])}; {chance}"
    )
    if row["clear"]:
        return text + ", a clear case"
    return text + (
        f", short of a clear case ({percent(report.decision_prob)} or its complement): knowing the "
        f"effect exactly would be worth {number(row['value_of_information'])} {unit.rstrip(',')}"
    )
