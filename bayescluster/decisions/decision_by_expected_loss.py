"""Decisions by expected loss: acting against waiting, in the outcome's unit per user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.display import Tidy, number, percent, probability
from ..answers.estimands import Estimand, effect_named, estimand_draws
from ..answers.posterior_summary import rope_probabilities
from ..bayes.parameter_draws import check_posterior
from ..data.experiment import Experiment
from ..spec.model_spec import ReportSpec

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class Decision(Tidy):
    """Expected losses of acting and of not acting on each effect.

    Parameters
    ----------
    table : DataFrame
        One row per effect: effect, mean, sd, threshold, direction, prob_beyond_threshold (on the
        desired side), prob_in_rope, prob_below_rope, prob_above_rope (NaN without a ROPE),
        loss_ship and loss_hold (expected loss per user of acting and of not acting, in the
        outcome's unit), action (ship or hold, by the smaller loss; empty for effects that cannot
        be shipped by themselves, such as spillover), margin (difference of the losses),
        value_of_information (of perfect information: the smaller loss), clear (whether the
        probability or its complement reaches the specification's decision_prob), conclusion.
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
        """Conclusions, one sentence per effect."""
        return [str(text) for text in self.table["conclusion"]]


def decide(
    exp: Experiment, tree: xr.DataTree, *, estimands: Mapping[str, Floats] | None = None
) -> Decision:
    """Compare acting with not acting on each effect, by expected loss.

    Parameters
    ----------
    exp : Experiment
        Data and specification; its report section sets threshold, direction and ROPE.
    tree : DataTree
        The result of :func:`fit` or :func:`fit_exact`.
    estimands : mapping of str to ndarray, optional
        Draws of each effect, shape (S,), by name; by default, those of :func:`estimand_draws` on
        the scale of the threshold.

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
    >>> decide(exp, fit_exact(exp, seed=1)).table.loc[0, ["effect", "action"]].tolist()
    ['direct', 'ship']
    """
    if estimands is not None:
        draws = {effect_named(name): values for name, values in estimands.items()}
    else:
        check_posterior(exp, tree)
        draws = {e: values for e, values in estimand_draws(exp, tree).items() if e.is_effect}
    report = exp.spec.report
    logs = exp.spec.family.log_outcome and estimands is None
    rows = [_row(k, v, report, logs=logs) for k, v in draws.items()]
    return Decision(pd.DataFrame(rows), report)


def _row(effect: Estimand, values: Floats, report: ReportSpec, *, logs: bool) -> dict[str, Any]:
    values = np.asarray(values, dtype=float).ravel()
    sign = 1.0 if report.direction == "increase" else -1.0
    gain = sign * (values - report.threshold)
    loss_ship = float(np.maximum(-gain, 0).mean())
    loss_hold = float(np.maximum(gain, 0).mean())
    beyond = float(np.mean(gain > 0))
    row: dict[str, Any] = {
        "effect": effect.label,
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)),
        "threshold": report.threshold,
        "direction": report.direction,
        "prob_beyond_threshold": beyond,
        **rope_probabilities(values, report),
        "loss_ship": loss_ship,
        "loss_hold": loss_hold,
        "action": ("ship" if loss_ship < loss_hold else "hold") if effect.is_action else "",
        "margin": abs(loss_hold - loss_ship),
        "value_of_information": min(loss_ship, loss_hold),
        "clear": max(beyond, 1 - beyond) >= report.decision_prob,
    }
    return row | {"conclusion": _conclusion(row, report, logs=logs)}


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
