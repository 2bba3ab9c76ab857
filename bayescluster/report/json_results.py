"""The results as JSON, from the same tables as the page."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..bayes.convergence_checks import convergence
from ..bayes.fit import versions
from .first_screen import headline

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis


def to_json(analysis: Analysis) -> str:
    """Return the results as JSON."""
    return json.dumps(as_dict(analysis), indent=2, ensure_ascii=False, allow_nan=False)


def as_dict(analysis: Analysis) -> dict[str, Any]:
    """Return all results as plain lists, dictionaries, numbers and text."""
    comparison, exp = analysis.comparison, analysis.experiment
    tables = {
        "effects": headline(analysis).frame,
        "lights": analysis.lights,
        "checks": analysis.checks,
        "estimates": comparison.estimates,
        "agreement": comparison.agreement,
        "estimands": comparison.estimands,
        "lift": comparison.lift.to_dataframe() if comparison.lift else pd.DataFrame(),
        "bias": comparison.bias.to_dataframe(),
        "decision": analysis.decision.to_dataframe(),
        "convergence": convergence(analysis.posterior),
    }
    return {
        "title": analysis.spec.title,
        "question": analysis.spec.question,
        "conclusions": analysis.conclusions,
        **{name: records(table) for name, table in tables.items()},
        "specification": analysis.spec.model_dump(mode="json"),
        "provenance": {
            "spec_hash": analysis.spec.hash,
            "data_fingerprint": exp.fingerprint,
            "seed": plain(analysis.posterior.attrs["seed"]),
            "n_units": exp.n_units,
            "n_clusters": len(exp.treated),
            "n_dropped": exp.n_dropped,
            "versions": versions(),
        },
    }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries that JSON can hold."""
    return [
        {str(name): plain(value) for name, value in row.items()} for row in table.to_dict("records")
    ]


def plain(value: Any) -> Any:
    """Return a value that JSON can hold: infinities and labels as text, NaN as None."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return None
        return float(value) if math.isfinite(value) else ("inf" if value > 0 else "-inf")
    return None if value is None else str(value)
