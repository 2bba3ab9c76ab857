"""Agreement of posterior and bootstrap intervals, by their widths and overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._support.arrays import Floats
from ..data.experiment import Experiment
from ..frequentist.cluster_bootstrap import BootstrapEstimates
from .disagreement import Disagreement
from .interval_overlap import Interval, intervals_agree, overlap

if TYPE_CHECKING:
    import xarray as xr

NO_CAUSE = (
    "neither the prior, few clusters, weights, outliers nor a single cluster explains it: "
    "look at the checks of the model"
)


def agreement(
    exp: Experiment,
    bootstrap: BootstrapEstimates,
    estimands: pd.DataFrame,
    draws: Mapping[str, Floats],
    posterior: xr.Dataset,
) -> pd.DataFrame:
    """Compare the intervals of posterior and bootstrap for the same average, one row per effect.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    bootstrap : BootstrapEstimates
        The bootstrap; the estimator of the average that the specification names is compared.
    estimands : DataFrame
        Summary of the estimands, those of the named average first.
    draws : mapping of str to ndarray
        Posterior draws of the effects, as the named average.
    posterior : Dataset
        Posterior draws of the parameters.

    Returns
    -------
    DataFrame
        Columns term, average, width_ratio (posterior over bootstrap), overlap (intersection of the
        intervals over their joint range), shift (difference of centres in bootstrap standard
        errors), agree, causes (of a disagreement; empty if they agree), conclusion.
    """
    table = bootstrap.to_dataframe()
    rows = []
    for at, (estimator, term) in enumerate(zip(bootstrap.estimators, bootstrap.terms, strict=True)):
        if estimator != bootstrap.named:
            continue
        ours, theirs = estimands[estimands["estimand"] == term].iloc[0], table.iloc[at]
        case = Disagreement(exp, posterior, term, draws[term], _interval(ours), _interval(theirs))
        rows.append(_agree(case, ours, theirs))
    return pd.DataFrame(rows)


def _interval(row: pd.Series) -> Interval:
    return float(row["ci_lower"]), float(row["ci_upper"])


def _agree(case: Disagreement, posterior: pd.Series, bootstrap: pd.Series) -> dict[str, Any]:
    """Compare the two intervals of one effect."""
    ours, theirs = case.posterior, case.bootstrap
    width_ratio = (ours[1] - ours[0]) / (theirs[1] - theirs[0])
    agree = intervals_agree(ours, theirs)
    causes = [] if agree else case.causes()
    return {
        "term": case.effect,
        "average": posterior["average"],
        "width_ratio": width_ratio,
        "overlap": overlap(ours, theirs),
        "shift": float((posterior["mean"] - bootstrap["estimate"]) / bootstrap["std_error"]),
        "agree": agree,
        "causes": "; ".join(causes),
        "conclusion": _conclusion(case, width_ratio, agree, causes),
    }


def _conclusion(case: Disagreement, width_ratio: float, agree: bool, causes: list[str]) -> str:
    wider = (
        "as wide as"
        if abs(width_ratio - 1) < 0.005
        else (f"{abs(width_ratio - 1):.0%} {'wider' if width_ratio > 1 else 'narrower'} than")
    )
    shared = overlap(case.posterior, case.bootstrap)
    facts = (
        f"the posterior interval of the {case.effect.replace('_', ' ')} effect is {wider} the "
        f"bootstrap interval and they share {shared:.0%} of their joint range"
    )
    if not agree:
        why = f"the likely cause is {causes[0]}" if causes else NO_CAUSE
        also = f"; also possible: {'; '.join(causes[1:])}" if causes[1:] else ""
        return f"Posterior and bootstrap disagree: {facts}; {why}{also}."
    excluding = sum(low > 0 or high < 0 for low, high in (case.posterior, case.bootstrap))
    both = ("neither excludes zero", "only one of them excludes zero", "both exclude zero")
    return f"Posterior and bootstrap agree: {facts}; {both[excluding]}."
