"""Summary of the posterior: interval, and probabilities beyond the threshold and in the ROPE."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from ..spec.model_spec import ReportSpec
from .estimands import Estimand, definition


def summarise(draws: Mapping[Estimand, Floats], report: ReportSpec) -> pd.DataFrame:
    """Summarise posterior draws against the decision rule.

    Parameters
    ----------
    draws : mapping of Estimand to ndarray
        Draws of each estimand.
    report : ReportSpec
        Level of the equal-tailed intervals, threshold and ROPE.

    Returns
    -------
    DataFrame
        Columns estimand, average (user or cluster: whom the effect is averaged over; empty for
        what is no average), mean, sd, ci_lower, ci_upper, ci_prob, prob_positive,
        prob_above_threshold, prob_in_rope (NaN without a ROPE), definition. The three
        probabilities are NaN for estimands that are not differences on the scale of the threshold:
        ratios, coefficients on a link scale, the ICC.
    """
    effects = {one.name for one in draws}
    return pd.DataFrame([_row(one, values, report, effects) for one, values in draws.items()])


def _row(
    estimand: Estimand, values: Floats, report: ReportSpec, effects: Collection[str]
) -> dict[str, object]:
    tail = (1 - report.ci_prob) / 2
    lower, upper = np.quantile(values, [tail, 1 - tail])
    effect = estimand.is_effect
    return {
        "estimand": estimand.label,
        "average": estimand.average,
        "mean": values.mean(),
        "sd": values.std(ddof=1),
        "ci_lower": lower,
        "ci_upper": upper,
        "ci_prob": report.ci_prob,
        "prob_positive": float(np.mean(values > 0)) if effect else np.nan,
        "prob_above_threshold": float(np.mean(values > report.threshold)) if effect else np.nan,
        "prob_in_rope": rope_probabilities(values, report)["prob_in_rope"] if effect else np.nan,
        "definition": definition(estimand, effects),
    }


def rope_probabilities(values: Floats, report: ReportSpec) -> dict[str, float]:
    """Return the probabilities inside, below and above the ROPE; NaN without a ROPE.

    Inside excludes both limits.
    """
    names = ("prob_in_rope", "prob_below_rope", "prob_above_rope")
    if report.rope is None:
        return dict.fromkeys(names, np.nan)
    below = float(np.mean(values <= report.rope[0]))
    above = float(np.mean(values >= report.rope[1]))
    return dict(zip(names, (1 - below - above, below, above), strict=True))
