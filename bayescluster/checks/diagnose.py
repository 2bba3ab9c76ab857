"""Each assumption and each computation checked: a figure, a verdict and advice, as data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .._support.display import number
from ..answers.method_comparison import Comparison
from ..answers.recommended_interval import FEW_CLUSTERS, MIN_CLUSTERS
from ..bayes.convergence import convergence, sampler_checks
from ..data.experiment import Experiment
from ..exposure.expose import Exposure, exposure_of
from ..frequentist.cluster_influence import effective_clusters, influence
from ..frequentist.standard_estimators import two_exposure
from .five_assumptions import (
    ASSIGNMENT,
    ASSUMPTIONS,
    CLUSTERS,
    EXCHANGEABILITY,
    INTERFERENCE,
    SUTVA,
    assignment_rows,
    balance_of,
    cluster_levels,
    interference_rows,
    level_rows,
    spread_rows,
)
from .leave_one_out import loo
from .predictive_check import posterior_predictive_check
from .prior_sensitivity import power_scaling

#: Partial leverage above this multiple of the average share is a reason for caution.
MAX_LEVERAGE_RATIO = 4.0
#: Means by sampling and by integration may differ by this many Monte Carlo standard errors.
MAX_MONTE_CARLO_ERRORS = 4.0

#: Verdicts, the worst first.
RANK = {"problem": 0, "caution": 1, "ok": 2}

Row = tuple[str, str, str, str]


def diagnose(comparison: Comparison) -> pd.DataFrame:
    """Check the assumptions, the sampler, the model and the agreement of the methods.

    Parameters
    ----------
    comparison : Comparison
        The result of :func:`compare`.

    Returns
    -------
    DataFrame
        Columns about (one of :data:`.five_assumptions.ASSUMPTIONS`, or "data", "sampler",
        "model", "agreement"), check, figure, verdict (ok, caution or problem), advice (empty where
        ok); problems first.

    Examples
    --------
    >>> from bayescluster import Experiment, compare, fit_exact
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> checks = diagnose(compare(exp, fit_exact(exp, seed=1), bootstrap_draws=500))
    >>> checks.columns.tolist()
    ['about', 'check', 'figure', 'verdict', 'advice']
    """
    exp, posterior = comparison.experiment, comparison.posterior
    levels = cluster_levels(exp, posterior)
    modelled = comparison.estimands.set_index("estimand")
    spillover = modelled.loc["spillover"] if exp.has_spillover else None
    found = {
        ASSIGNMENT: [*assignment_rows(balance_of(exp)), *_one_armed_strata(exp)],
        INTERFERENCE: [*interference_rows(exp, spillover), *_graph(exp)],
        SUTVA: spread_rows(exp, levels),
        EXCHANGEABILITY: level_rows(levels),
        CLUSTERS: _design(comparison),
        "data": _data(comparison),
        "sampler": [*sampler_checks(convergence(posterior)), *_integration(comparison)],
        "model": _model(comparison),
        "agreement": _agreement(comparison),
    }
    rows = [(about, *row) for about, part in found.items() for row in part]
    table = pd.DataFrame(rows, columns=["about", "check", "figure", "verdict", "advice"])
    rank = table["verdict"].map(RANK)
    table.loc[table["verdict"] == "ok", "advice"] = ""
    return table.iloc[np.argsort(rank.to_numpy(), kind="stable")].reset_index(drop=True)


def lights(checks: pd.DataFrame) -> pd.DataFrame:
    """Return the worst verdict on each of what `diagnose` checks: about, verdict, checks, worst."""
    order = [*ASSUMPTIONS, "data", "sampler", "model", "agreement"]
    rows = []
    for about in order:
        part = checks[checks["about"] == about]
        if len(part):
            first = part.iloc[np.argsort(part["verdict"].map(RANK).to_numpy(), kind="stable")[0]]
            worst = f"{first['check']}: {first['figure']}"
            rows.append((about, first["verdict"], len(part), worst))
    return pd.DataFrame(rows, columns=["about", "verdict", "checks", "worst"])


def _design(comparison: Comparison) -> Iterator[Row]:
    exp = comparison.experiment
    treated = int(exp.treated.sum())
    total = len(exp.treated)
    yield (
        "number of clusters",
        f"{total:,} ({treated:,} treated, {total - treated:,} control)",
        _by_count(total),
        f"below {MIN_CLUSTERS} clusters normal approximations fail; "
        f"{comparison.recommend(total)[1]}",
    )
    size = exp.moments().n
    share = float(size.max() / size.sum())
    cv = float(size.std() / size.mean())
    yield (
        "cluster sizes",
        f"{size.min():,.0f} to {size.max():,.0f} units, CV {cv:.2f}, largest holds {share:.1%}",
        "ok" if cv <= 1 and share <= 0.25 else "caution",
        "unequal clusters make cluster-robust intervals too short and give the largest cluster the "
        "last word; see how far the answer moves without it",
    )
    yield from (row for effect in comparison.effects for row in _influence(comparison, effect))
    for method, reason in comparison.skipped.items():
        yield f"{method} left out", reason, "caution", "the other methods do not need it"
    for method, reason in comparison.powerless.items():
        yield (
            f"{method} cannot reject",
            reason,
            "caution",
            "its interval is unbounded whatever the data; read another method",
        )


def _data(comparison: Comparison) -> Iterator[Row]:
    exp = comparison.experiment
    if exp.spec.outcome.missing == "drop":
        rows = exp.n_units + exp.n_dropped
        yield (
            "rows dropped for missing values",
            f"{exp.n_dropped:,} of {rows:,}, and {exp.n_clusters_dropped:,} whole clusters",
            "ok" if not exp.n_dropped else "caution",
            "the estimates describe the units with an outcome; ask whether treatment could change "
            "who has one",
        )
    lost = int(comparison.bootstrap.undefined.max())
    if lost:
        yield (
            "undefined bootstrap replicates",
            f"{lost:,} of {len(comparison.bootstrap.draws):,}",
            "caution",
            "replicates that do not identify an effect (an arm or all exposed units lost) are left "
            "out of the percentiles",
        )


def _one_armed_strata(exp: Experiment) -> Iterator[Row]:
    """Say how much of a stratified experiment has nothing to say of the direct effect."""
    moments = exp.moments()
    if moments.strata is None:
        return
    code, levels = moments.stratum_code, moments.stratum_levels
    treated, total = np.bincount(code, exp.treated), np.bincount(code)
    constant = (treated == 0) | (treated == total)
    named = ", ".join(map(repr, levels[constant][:3].tolist())) + ", ..." * bool(constant.sum() > 3)
    yield (
        "strata with both arms",
        f"{int((~constant).sum()):,} of {len(levels):,}"
        + f"; not {named}, with {int(total[constant].sum()):,} of {len(code):,} clusters"
        * bool(constant.any()),
        "caution" if constant.any() else "ok",
        "a stratum whose treatment is constant says nothing of the direct effect: the estimate is "
        "one of the other strata; merge it with another",
    )


def _by_count(clusters: float) -> str:
    return (
        "ok" if clusters >= MIN_CLUSTERS else "caution" if clusters >= FEW_CLUSTERS else "problem"
    )


def _influence(comparison: Comparison, effect: str) -> Iterator[Row]:
    exp = comparison.experiment
    table = influence(exp, effect)
    estimated = effective_clusters(exp, effect)
    assumed = {rho: effective_clusters(exp, effect, rho) for rho in (0.0, 0.5, 1.0)}
    listed = ", ".join(f"{value:.1f} at rho = {rho:g}" for rho, value in assumed.items())
    yield (
        f"effective number of clusters: {effect}",
        f"G* = {estimated:.1f} ({listed})",
        _by_count(estimated),
        "few clusters carry the estimate, whatever their number; "
        f"{comparison.recommend(estimated, effect)[1]}",
    )
    first = table.iloc[0]
    fit = two_exposure(exp)
    at = fit.terms.index(effect)
    moved = float(first["estimate_without"] - fit.estimate[at])
    errors = abs(moved) / float(fit.std_error[at])
    yield (
        f"most influential cluster: {effect}",
        f"{first['cluster']}: without it {number(float(first['estimate_without']))} instead of "
        f"{number(float(fit.estimate[at]))} ({errors:.1f} standard errors)",
        "ok" if errors <= 1 else "caution",
        "one cluster decides: look at what sets it apart, and report the estimate without it too",
    )
    partial = table["partial_leverage"]
    ratio = float(partial.max() * len(partial))
    yield (
        f"largest partial leverage: {effect}",
        f"{partial.max():.1%} of what identifies it, {ratio:.1f} times the average cluster's share",
        "ok" if ratio <= MAX_LEVERAGE_RATIO else "caution",
        "the effect rests on a few clusters: prefer CR2 or CR3 and the wild bootstrap",
    )


def _integration(comparison: Comparison) -> Iterator[Row]:
    """Compare the sampler's means with those by integration, in Monte Carlo standard errors."""
    if comparison.exact is None:
        return
    table = convergence(comparison.posterior).set_index("parameter")
    errors = {
        name: abs(table.loc[name, "mean"] - comparison.exact.mean[name])
        / table.loc[name, "mcse_mean"]
        for name in comparison.effects
    }
    name = max(errors, key=lambda effect: errors[effect])
    yield (
        "sampler v. integration",
        f"{errors[name]:.1f} Monte Carlo standard errors apart at most ({name})",
        "ok" if errors[name] <= MAX_MONTE_CARLO_ERRORS else "problem",
        "the sampler and the integral of the same posterior disagree: take more draws, and believe "
        "the integral",
    )


def _model(comparison: Comparison) -> Iterator[Row]:
    """Ask whether the model could have made the data, and what its priors have to say."""
    exp, posterior = comparison.experiment, comparison.posterior
    found = _worst(posterior_predictive_check(exp, posterior).to_dataframe(), "tail_prob")
    yield (
        "posterior predictive check",
        f"most surprising: {found['statistic']}, {number(found['observed'])} where "
        f"{number(found['ci_lower'])} to {number(found['ci_upper'])} is expected",
        str(found["verdict"]),
        str(found["advice"]),
    )
    clusters = loo(posterior).to_dataframe()
    found = clusters.loc[clusters["pareto_k"].idxmax()]
    yield (
        "leave one cluster out (largest Pareto k)",
        f"k = {found['pareto_k']:.2f} ({found['cluster']})",
        str(found["verdict"]),
        "that cluster alone moves the posterior: the model expects too little variation, and the "
        "comparison of models by LOO is not to be trusted",
    )
    table = power_scaling(exp, posterior).to_dataframe()
    found = _worst(table[table["parameter"].isin(comparison.effects)], "prior", largest=True)
    yield (
        "power scaling of the priors",
        f"most sensitive: {found['parameter']}, {found['prior']:.3f} to its prior and "
        f"{found['likelihood']:.3f} to the data",
        str(found["verdict"]),
        str(found["advice"]),
    )


def _worst(table: pd.DataFrame, by: str, largest: bool = False) -> pd.Series:
    """Return the row with the worst verdict, among equals the smallest (largest) value."""
    rank = table["verdict"].map(RANK).to_numpy()
    value = -table[by].to_numpy() if largest else table[by].to_numpy()
    return table.iloc[np.lexsort((value, rank))[0]]


def _agreement(comparison: Comparison) -> Iterator[Row]:
    for row in comparison.agreement.itertuples():
        yield (
            f"posterior v. bootstrap: {row.term}",
            f"width ratio {row.width_ratio:.2f}, overlap {row.overlap:.0%}",
            "ok" if row.agree else "caution",
            str(row.verdict),
        )


def _graph(exp: Experiment) -> Iterator[Row]:
    """Report positivity, and whether the expected exposure is adjusted for."""
    if exp.exposure is None or exp.spec.exposure is None:
        return
    for row in exposure_of(exp).positivity.checks.itertuples():
        if row.check.startswith("exposure against degree"):
            name = exp.spec.exposure.expected
            adjusted = name in exp.spec.outcome.adjusted_for
            figure = f"{row.figure}; {name} is {'' if adjusted else 'not '}among the covariates"
            yield row.check, figure, "ok" if adjusted else row.verdict, row.advice
        else:
            yield row.check, row.figure, row.verdict, row.advice
    yield from _set_apart(exp, exposure_of(exp))


def _set_apart(exp: Experiment, exposure: Exposure) -> Iterator[Row]:
    """Say how many users the weighted contrasts are averages over, and how many are set apart."""
    from ..frequentist.exposure_contrasts import CONTRASTS, MIN_PROBABILITY

    seen = np.isfinite(exp.outcomes())
    for term in ("direct",) if exposure.mapping.is_dose else ("direct", "spillover"):
        one, other = CONTRASTS[term]
        lowest = np.minimum(exposure.arms[one][1], exposure.arms[other][1])[seen]
        inside = int(((lowest > 0) & (lowest >= MIN_PROBABILITY)).sum())
        yield (
            f"users whom the weighted contrast is of: {term}",
            f"{inside:,} of {len(lowest):,}; {len(lowest) - inside:,} set apart, one of whose "
            f"conditions has a probability below {MIN_PROBABILITY:g}",
            "ok" if inside >= 0.5 * len(lowest) else "caution" if inside else "problem",
            "Hajek and Horvitz-Thompson contrasts are of those users only: say so beside them",
        )
