"""Agreement of posterior and bootstrap intervals, by their widths and overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..frequentist.cluster_bootstrap import BootstrapEstimates

#: Posterior and bootstrap agree if neither interval is wider by more than this factor ...
MAX_WIDTH_RATIO = 1.25
#: ... and their intersection is at least this share of their joint range.
MIN_OVERLAP = 0.75


def agreement(bootstrap: BootstrapEstimates, estimands: pd.DataFrame) -> pd.DataFrame:
    """Compare the intervals of posterior and bootstrap, one row per effect.

    Columns term, width_ratio (posterior over bootstrap), overlap (intersection of the intervals
    over their joint range), shift (difference of centres in bootstrap standard errors), agree,
    conclusion.
    """
    table = bootstrap.to_dataframe()
    rows = []
    for at, (estimator, term) in enumerate(zip(bootstrap.estimators, bootstrap.terms, strict=True)):
        if estimator == "two_exposure":
            ours = estimands[estimands["estimand"] == term].iloc[0]
            rows.append(_agree(term, ours, table.iloc[at]))
    return pd.DataFrame(rows)


def _agree(term: str, posterior: pd.Series, bootstrap: pd.Series) -> dict[str, Any]:
    """Compare the two intervals of one effect."""
    low = np.array([posterior["ci_lower"], bootstrap["ci_lower"]])
    high = np.array([posterior["ci_upper"], bootstrap["ci_upper"]])
    width_ratio = float((high - low)[0] / (high - low)[1])
    shared = max(high.min() - low.max(), 0.0)
    overlap = float(shared / (high.max() - low.min())) if shared else 0.0
    shift = float((posterior["mean"] - bootstrap["estimate"]) / bootstrap["std_error"])
    agree = overlap >= MIN_OVERLAP and 1 / MAX_WIDTH_RATIO <= width_ratio <= MAX_WIDTH_RATIO
    return {
        "term": term,
        "width_ratio": width_ratio,
        "overlap": overlap,
        "shift": shift,
        "agree": agree,
        "conclusion": _conclusion(term, width_ratio, overlap, shift, agree, low, high),
    }


def _conclusion(
    term: str,
    width_ratio: float,
    overlap: float,
    shift: float,
    agree: bool,
    low: np.ndarray,
    high: np.ndarray,
) -> str:
    wider = (
        "as wide as"
        if abs(width_ratio - 1) < 0.005
        else (f"{abs(width_ratio - 1):.0%} {'wider' if width_ratio > 1 else 'narrower'} than")
    )
    facts = (
        f"the posterior interval of the {term} effect is {wider} the bootstrap interval and they "
        f"share {overlap:.0%} of their joint range"
    )
    if not agree:
        causes = []
        if not 1 / MAX_WIDTH_RATIO <= width_ratio <= MAX_WIDTH_RATIO:
            causes.append("their widths differ: look at the number of clusters and the priors")
        if abs(shift) > 0.25 or not causes:
            causes.append(
                "their centres differ: look at the priors and at cluster sizes, since least "
                "squares weights clusters by size and the hierarchical model by precision"
            )
        return f"Posterior and bootstrap disagree: {facts}; {'; '.join(causes)}."
    excluding = int(((low > 0) | (high < 0)).sum())
    both = ("neither excludes zero", "only one of them excludes zero", "both exclude zero")
    return f"Posterior and bootstrap agree: {facts}; {both[excluding]}."
