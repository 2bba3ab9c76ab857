"""What is being estimated: each estimand by name, with its definition and its posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .experiment import Experiment
from .spec import ReportSpec

if TYPE_CHECKING:
    import xarray as xr

Floats = NDArray[np.float64]

#: What each estimand means, in words for the report.
DEFINITIONS = {
    "direct": "treated users against control users who are not exposed to spillover",
    "spillover": "fully exposed control users against control users who are not exposed",
    "direct - spillover": "treated users against exposed control users",
    "full rollout": (
        "all clusters treated against none; equals the direct effect, assuming that treated users "
        "gain nothing further from other treated clusters"
    ),
    "tutorial projection": (
        "direct + exposed share of all users x spillover; kept for comparison with the tutorial "
        "only: under a full rollout no control users are left to be exposed"
    ),
    "ICC": "intracluster correlation: share of the outcome's variance that lies between clusters",
}


def estimand_draws(exp: Experiment, posterior: xr.DataTree) -> dict[str, Floats]:
    """Return posterior draws of every estimand, each of shape (chains x draws,).

    Estimands that need a spillover column are absent where the specification has none.
    """
    draws = {
        name: posterior["posterior"][name].to_numpy().ravel()
        for name in ("direct", "spillover", "between_sd", "within_sd")
        if name in posterior["posterior"]
    }
    direct = draws["direct"]
    estimands = {"direct": direct}
    if "spillover" in draws:
        spillover = draws["spillover"]
        estimands["spillover"] = spillover
        estimands["direct - spillover"] = direct - spillover
        estimands["full rollout"] = direct
        estimands["tutorial projection"] = direct + exp.exposed_share * spillover
    else:
        estimands["full rollout"] = direct
    between, within = draws["between_sd"] ** 2, draws["within_sd"] ** 2
    estimands["ICC"] = between / (between + within)
    return estimands


def summarise(draws: dict[str, Floats], report: ReportSpec) -> pd.DataFrame:
    """Summarise posterior draws against the decision rule.

    Parameters
    ----------
    draws : dict of ndarray
        Draws of each estimand.
    report : ReportSpec
        Level of the equal-tailed intervals, threshold and ROPE.

    Returns
    -------
    DataFrame
        Columns estimand, mean, sd, ci_lower, ci_upper, ci_prob, prob_positive,
        prob_above_threshold, prob_in_rope (NaN without a ROPE, and for the ICC), definition.
    """
    return pd.DataFrame([_row(name, values, report) for name, values in draws.items()])


def _row(name: str, values: Floats, report: ReportSpec) -> dict[str, object]:
    tail = (1 - report.ci_prob) / 2
    lower, upper = np.quantile(values, [tail, 1 - tail])
    effect = name != "ICC"
    in_rope = np.nan
    if effect and report.rope is not None:
        in_rope = float(np.mean((values > report.rope[0]) & (values < report.rope[1])))
    return {
        "estimand": name,
        "mean": values.mean(),
        "sd": values.std(ddof=1),
        "ci_lower": lower,
        "ci_upper": upper,
        "ci_prob": report.ci_prob,
        "prob_positive": float(np.mean(values > 0)) if effect else np.nan,
        "prob_above_threshold": float(np.mean(values > report.threshold)) if effect else np.nan,
        "prob_in_rope": in_rope,
        "definition": DEFINITIONS[name],
    }
