"""One self-contained HTML page: no network, nothing but text, tables and SVG."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._display import number, percent, probability
from .._files import write_whole
from ..bayes.checks import convergence
from ..bayes.fit import versions
from ..bayes.model import resolved_priors
from . import plots

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from ..analysis import Analysis

#: Columns of each table on the page, by their heading.
ESTIMATES = {
    "method": "method",
    "term": "effect",
    "estimate": "estimate",
    "std_error": "SE / SD",
    "df": "df",
    "ci_lower": "lower",
    "ci_upper": "upper",
    "p_value": "p-value",
}
ESTIMANDS = {
    "estimand": "estimand",
    "mean": "mean",
    "sd": "SD",
    "ci_lower": "lower",
    "ci_upper": "upper",
    "prob_positive": "P(> 0)",
    "prob_above_threshold": "P(> threshold)",
    "prob_in_rope": "P(in ROPE)",
}
AGREEMENT = {
    "term": "effect",
    "width_ratio": "width ratio",
    "overlap": "overlap",
    "shift": "shift (SE)",
    "verdict": "verdict",
}
BIAS = {"component": "component", "value": "value", "note": "note"}
CONDITIONS = {"condition": "condition", "n_units": "units", "mean": "mean", "std": "SD"}
CONVERGENCE = {
    "parameter": "parameter",
    "mean": "mean",
    "sd": "SD",
    "mcse_mean": "MCSE",
    "ess_bulk": "bulk ESS",
    "ess_tail": "tail ESS",
    "r_hat": "R-hat",
}
PROBABILITIES = ("prob_positive", "prob_above_threshold", "prob_in_rope")


def write_report(analysis: Analysis, path: Path) -> Path:
    """Render the page and write it; the file appears only when it is whole.

    Raises
    ------
    OSError
        Where the file cannot be written.
    """
    text = render(analysis)
    return write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def render(analysis: Analysis) -> str:
    """Return the page as text; every value from the data is escaped."""
    import jinja2

    source = resources.files(__package__).joinpath("template.html.j2").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source).render(**_context(analysis))


def _context(analysis: Analysis) -> dict[str, Any]:
    comparison, exp, spec = analysis.comparison, analysis.experiment, analysis.spec
    chains = convergence(analysis.posterior)
    return {
        "title": spec.title,
        "question": spec.question,
        "verdict": analysis.verdict,
        "exp": exp,
        "outcome": spec.outcome.label or spec.outcome.column,
        "treated": int(exp.treated.sum()),
        "control": int((~exp.treated).sum()),
        "conditions": _table(exp.conditions, CONDITIONS) if exp.has_units else None,
        "checks": analysis.checks.to_dict("records"),
        "estimates": _table(comparison.estimates, ESTIMATES),
        "estimands": _table(comparison.estimands, ESTIMANDS),
        "definitions": comparison.estimands[["estimand", "definition"]].to_dict("records"),
        "agreement": _table(comparison.agreement, AGREEMENT),
        "bias": _table(comparison.bias.to_dataframe(), BIAS),
        "bias_words": str(comparison.bias) if exp.has_spillover else "",
        "convergence": _table(chains, CONVERGENCE),
        "sampling": chains.attrs,
        "forest": _svg(comparison.plot),
        "distributions": _svg(lambda: plots.distributions(exp)) if exp.has_units else None,
        "ranks": _svg(lambda: plots.ranks(analysis.posterior)),
        "priors": {name: str(prior) for name, prior in resolved_priors(exp).items()},
        "report": spec.report,
        "level": percent(spec.report.ci_prob),
        "bootstrap": comparison.bootstrap,
        "spec_toml": spec.to_toml(),
        "spec_hash": spec.hash,
        "fingerprint": exp.fingerprint,
        "seed": analysis.posterior.attrs["seed"],
        "versions": versions(),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _table(frame: pd.DataFrame, headings: dict[str, str]) -> dict[str, Any]:
    """Return headings, which columns are numbers, and the cells as text."""
    shown = frame[[name for name in headings if not frame[name].isna().all()]]
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in shown.dtypes]
    rows = [
        [_cell(name, row[name], row.get("std", row.get("sd"))) for name in shown.columns]
        for row in shown.to_dict("records")
    ]
    return {
        "headings": list(zip([headings[name] for name in shown.columns], numeric, strict=True)),
        "rows": [list(zip(row, numeric, strict=True)) for row in rows],
    }


def _cell(name: str, value: Any, sd: float | None) -> str:
    if name in PROBABILITIES:
        return probability(float(value))
    if name == "p_value":
        return "< 0.0001" if value < 1e-4 else number(float(value))
    if name.startswith("ess_") or name == "n_units":
        return f"{value:,.0f}"
    if name == "df" and float(value).is_integer():
        return f"{value:,.0f}"
    if isinstance(value, int | float):
        return number(float(value), sd if name in ("mean", "ci_lower", "ci_upper") else None)
    return str(value).replace("pure_control", "pure control")


def _svg(draw: Callable[[], Figure]) -> str:
    """Draw a figure and return it as a data URI: SVG that keeps its text, in its own id space."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    style = {"svg.fonttype": "none", "svg.hashsalt": "bayescluster", "font.size": 10}
    with mpl.rc_context(style):
        figure = draw()
        buffer = io.BytesIO()
        metadata = {"Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", metadata=metadata, bbox_inches="tight")
        plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
