"""Scorecard of many metrics of one experiment, from one read of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from .._support.calls_to_figures_and_report import draw, write
from .._support.progress import step
from .._support.tidy import Tidy
from ..answers.estimands import estimand_draws
from ..answers.posterior_summary import summarise
from ..data.compression import columns_of_roles
from ..data.experiment import Experiment
from ..data.table_readers import kept, open_source
from ..errors import BayesClusterError, SpecError
from ..frequentist.average_regression import named_moments
from ..frequentist.ols import ols
from ..spec.model_spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from ..answers.method_comparison import Comparison

Engine = Literal["auto", "exact", "nuts"]


@dataclass(frozen=True, eq=False)
class Scorecard(Tidy):
    """The effects on many metrics of one experiment.

    Each metric is estimated on its own, without shrinkage towards the others, so a row equals that
    metric's own analysis. Only the frequentist columns correct for multiple testing: `q_value`
    controls the false discovery rate over the rows of all goals, by Benjamini & Hochberg (1995,
    Journal of the Royal Statistical Society B 57: 289-300) on the CR2 p-values. This is valid for
    independent and for positively dependent metrics (Benjamini & Yekutieli 2001, Annals of
    Statistics 29: 1165-1188). A discovery has a small q-value, and a posterior interval that
    excludes zero on the same side. Each posterior probability refers to one metric. Guardrails and
    metrics for debugging (`[report] role`) are no discoveries.

    Parameters
    ----------
    table : DataFrame
        One row per metric and effect. Columns metric, title (label or title of the
        specification), role, outcome, family, effect, average; from the posterior:
        mean, sd, ci_lower, ci_upper, ci_prob, prob_positive, prob_above_threshold, prob_in_rope,
        prob_beyond_threshold (on the desired side); from OLS with CR2: ols_estimate,
        ols_std_error, p_value, q_value (NaN unless it is a goal); outcome_sd, discovery, reading
        (in words). Effects are on the scale of least squares, and averaged as the specification
        says; see :func:`.estimands.estimand_draws`.
    experiments : dict of Experiment
        Experiment of each metric.
    posteriors : dict of DataTree
        Posterior of each metric.
    false_discovery_rate : float
        Expected share of false discoveries among the discoveries.
    unusable : dict of str
        Metrics that could not be analysed, with the reason.
    """

    table: pd.DataFrame
    experiments: Mapping[str, Experiment]
    posteriors: Mapping[str, xr.DataTree]
    false_discovery_rate: float
    unusable: Mapping[str, str] = field(default_factory=dict)

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def compare(self, metric: str, **settings: Any) -> Comparison:
        """Return one metric's full comparison of methods; see :func:`bayescluster.compare`."""
        from ..answers.method_comparison import compare

        if metric not in self.experiments:
            raise KeyError(f"unknown metric {metric!r}; valid: {', '.join(self.experiments)}")
        return compare(self.experiments[metric], self.posteriors[metric], **settings)

    def report(self, path: str | Path, *, bootstrap_draws: int = 10_000, seed: int = 0) -> Path:
        """Write the scorecard: as a page with each metric's report folded, or as its table.

        Parameters
        ----------
        path : str or Path
            ``.html`` for one page with each metric's comparison and checks, ``.md`` or ``.json``
            for the table; the file appears only once it is complete.
        bootstrap_draws, seed : int
            Settings of each metric's comparison; see :func:`bayescluster.compare`.

        Raises
        ------
        ValueError
            If the file name ends in anything else.
        OSError
            If the file cannot be written.
        """
        return write("scorecard_page.write_scorecard", self, Path(path), bootstrap_draws, seed)

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw every metric's effects in SDs of its outcome."""
        return draw("forest_plot.scorecard", self, figure)


def scorecard(
    data: Any,
    specs: Mapping[str, ModelSpec] | Iterable[ModelSpec],
    *,
    engine: Engine = "auto",
    false_discovery_rate: float = 0.05,
    draws: int = 1_000,
    tune: int = 1_000,
    chains: int = 4,
    seed: int = 0,
    progressbar: bool = True,
) -> Scorecard:
    """Analyse many metrics of one experiment.

    The source is read once, with the columns that any specification names. Metrics whose models
    have the same structure share one compiled model.

    Parameters
    ----------
    data : DataFrame, Table, path or ibis.Table
        See :class:`Experiment`.
    specs : mapping of str to ModelSpec, or iterable of ModelSpec
        One specification per metric, by the metric's name (by default, the outcome column). All
        must have the same design.
    engine : {"auto", "exact", "nuts"}
        ``exact`` integrates (gaussian and lognormal families only; :func:`fit_exact`), ``nuts``
        samples, ``auto`` integrates if possible and samples otherwise.
    false_discovery_rate : float
        See :class:`Scorecard`.
    draws, tune, chains, seed
        See :func:`fit`; an integrated posterior has chains x draws draws.
    progressbar : bool
        Whether to show progress on standard error.

    Returns
    -------
    Scorecard
        Table, plot, and the posterior of every metric.

    Raises
    ------
    SpecError
        If the designs differ or two metrics have the same name.
    DataError, FitError
        If no metric can be analysed, because of the data or because the engine does not support
        its family; the message names the metric. If some can, the others are in `unusable`.

    Examples
    --------
    >>> from bayescluster import load_tutorial, tutorial_spec
    >>> from bayescluster.spec import OutcomeSpec
    >>> users, spec = load_tutorial(2_000), tutorial_spec()
    >>> users["halved"] = users["session_minutes_obs"] / 2
    >>> halved = spec.model_copy(update={"outcome": OutcomeSpec(column="halved")})
    >>> card = scorecard(users, [spec, halved], engine="exact", progressbar=False)
    >>> card.table[["metric", "effect"]].values.tolist()[::2]
    [['session_minutes_obs', 'direct'], ['halved', 'direct']]
    """
    named = _named(specs)
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be one of {', '.join(get_args(Engine))}; given {engine!r}")
    if not 0 < false_discovery_rate < 1:
        raise ValueError(f"false_discovery_rate must be in (0, 1); given {false_discovery_rate}")
    experiments, posteriors, unusable = {}, {}, {}
    source = _read_once(data, named)
    failed: BayesClusterError | None = None
    for name, spec in named.items():
        try:
            with step(f"{name}: reading", progressbar), _naming(name):
                exp = Experiment(source, spec)
            with step(f"{name}: posterior ({spec.outcome.family})", progressbar), _naming(name):
                posteriors[name] = _fit(exp, engine, draws, tune, chains, seed)
            experiments[name] = exp
        except BayesClusterError as error:
            failed, unusable[name] = failed or error, str(error)
    if failed is not None and not experiments:
        raise failed
    table = pd.DataFrame(
        [row for name, exp in experiments.items() for row in _rows(name, exp, posteriors[name])]
    )
    goals = (table["role"] == "goal").to_numpy()
    table["q_value"] = np.nan
    if goals.any():
        table.loc[goals, "q_value"] = _q_values(table.loc[goals, "p_value"].to_numpy())
    excludes = (table["ci_lower"] > 0) & (table["ols_estimate"] > 0)
    excludes |= (table["ci_upper"] < 0) & (table["ols_estimate"] < 0)
    small = table["q_value"] <= false_discovery_rate
    table["discovery"] = small & excludes
    table["reading"] = [
        _reading(row, experiments[row["metric"]].spec, small=is_small)
        for row, is_small in zip(table.to_dict("records"), small, strict=True)
    ]
    return Scorecard(table, experiments, posteriors, false_discovery_rate, unusable)


def _reading(row: Mapping[str, Any], spec: ModelSpec, *, small: bool) -> str:
    """Return what a row says, in words."""
    if row["role"] == "debug":
        return ""
    if row["role"] == "guardrail":
        bar, beyond = spec.report.decision_prob, row["prob_beyond_threshold"]
        state = "safe" if beyond >= bar else "harmed" if beyond <= 1 - bar else "open"
        return f"guardrail {state}"
    if row["discovery"]:
        return f"discovery: {'increase' if row['mean'] > 0 else 'decrease'}"
    excludes = row["ci_lower"] > 0 or row["ci_upper"] < 0
    if small:
        return "CR2 alone excludes zero: not a discovery"
    return "posterior alone excludes zero: not a discovery" if excludes else "no discovery"


def _title(name: str, spec: ModelSpec) -> str:
    """Return the label of the outcome, else the title, else the metric's name."""
    usual = type(spec).model_fields["title"].default
    return spec.outcome.label or (spec.title if spec.title != usual else name)


def _named(specs: Mapping[str, ModelSpec] | Iterable[ModelSpec]) -> dict[str, ModelSpec]:
    if isinstance(specs, ModelSpec):
        raise TypeError("specs must be a list or dict of specifications; for one, give [spec]")
    if isinstance(specs, Mapping):
        named = dict(specs)
    else:
        listed = list(specs)
        named = {spec.outcome.column: spec for spec in listed}
        if len(named) < len(listed):
            raise SpecError("two metrics have the same outcome column: give a dict of specs")
    if not named:
        raise SpecError("a scorecard needs at least one specification")
    first_name, first = next(iter(named.items()))
    for name, spec in named.items():
        if spec.design != first.design:
            raise SpecError(
                f"metrics {first_name!r} and {name!r} have different designs: all metrics "
                "of a scorecard must share one design"
            )
    return named


def _read_once(data: Any, named: Mapping[str, ModelSpec]) -> Any:
    """Return the data, with a file or warehouse table scanned once and kept."""
    import ibis

    if not isinstance(data, str | Path | ibis.Table):
        return data
    columns: dict[str, str] = {}
    for spec in named.values():
        columns |= {name: name for name in columns_of_roles(spec).values()}
    return kept(open_source(data, columns).table)


@contextmanager
def _naming(metric: str) -> Iterator[None]:
    """Prefix the package's own errors with the metric's name."""
    try:
        yield
    except BayesClusterError as error:
        raise type(error)(f"metric {metric!r}: {error}") from error


def _fit(
    exp: Experiment, engine: Engine, draws: int, tune: int, chains: int, seed: int
) -> xr.DataTree:
    from ..bayes.exact.exact_posterior import is_integrable
    from ..bayes.exact.fit_exact import fit_exact

    if engine == "exact" or (engine == "auto" and is_integrable(exp.spec)):
        return fit_exact(exp, draws=draws * chains, seed=seed)
    from ..bayes.fit import fit

    return fit(exp, draws, tune, chains, seed, progressbar=False)


def _rows(name: str, exp: Experiment, posterior: xr.DataTree) -> Iterator[dict[str, Any]]:
    spec, effects = exp.spec, exp.spec.design.effects
    summary = summarise(estimand_draws(exp, posterior), spec.report).set_index("estimand")
    least_squares = (
        ols(named_moments(exp), ci_prob=spec.report.ci_prob).to_dataframe().set_index("term")
    )
    kept = ["mean", "sd", "ci_lower", "ci_upper", "ci_prob"]
    kept += ["prob_positive", "prob_above_threshold", "prob_in_rope"]
    increase = spec.report.direction == "increase"
    for effect in effects:
        ols_row = least_squares.loc[effect]
        above = float(summary.loc[effect, "prob_above_threshold"])
        yield {
            "metric": name,
            "title": _title(name, spec),
            "role": spec.report.role,
            "outcome": spec.outcome.column,
            "family": spec.outcome.family,
            "effect": effect,
            "average": spec.report.estimand,
            **summary.loc[effect, kept].to_dict(),
            "prob_beyond_threshold": above if increase else 1 - above,
            "ols_estimate": ols_row["estimate"],
            "ols_std_error": ols_row["std_error"],
            "p_value": ols_row["p_value"],
            "outcome_sd": float(exp.moments().sd[-1]),
        }


def _q_values(p_values: np.ndarray) -> np.ndarray:
    from scipy import stats

    return np.asarray(stats.false_discovery_control(p_values, method="bh"))
