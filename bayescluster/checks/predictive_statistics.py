"""Statistics of experiments by which predictive checks compare data with what a model predicts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._support.arrays import Booleans, Floats
from ..bayes.parameter_draws import ParameterDraws
from ..data.experiment import Experiment
from .predictive_replicates import Groups, Replicates


def of_cluster_means(exp: Experiment) -> dict[str, Callable[[Floats], Floats]]:
    """Return functions of cluster means (..., J)."""
    treated = exp.treated
    functions: dict[str, Callable[[Floats], Floats]] = {
        "mean over clusters": lambda m: m.mean(axis=-1),
        "SD between clusters": lambda m: _sd(m),
        "smallest cluster mean": lambda m: m.min(axis=-1),
        "largest cluster mean": lambda m: m.max(axis=-1),
    }
    if not treated.all():
        functions["treated less control clusters"] = lambda m: _difference(m, treated)
    return functions


def _sd(values: Floats) -> Floats:
    """Return standard deviations; infinite where a value is, as counts of a wide prior may be."""
    with np.errstate(invalid="ignore", over="ignore"):
        sd = values.std(axis=-1, ddof=1)
    return np.where(np.isnan(sd), np.inf, sd)


def _difference(means: Floats, treated: Booleans) -> Floats:
    """Return the difference between the arms; NaN where both are infinite."""
    with np.errstate(invalid="ignore"):
        return means[..., treated].mean(axis=-1) - means[..., ~treated].mean(axis=-1)


def of_groups(exp: Experiment, groups: Groups, data: Replicates) -> dict[str, Floats]:
    """Return the statistics of experiments; each of shape (S,)."""
    means, n = groups.cluster_means(data.totals), groups.n.sum()
    overall = data.totals.sum(axis=-1) / n
    found = {"mean over users": overall}
    if exp.spec.design.level == "cluster":
        for arm, there in (("control", ~exp.treated), ("treated", exp.treated)):
            found[f"SD between clusters, {arm}"] = _sd(means[:, there])
    else:
        found["SD between clusters"] = _sd(means)
    found["smallest cluster mean"] = means.min(axis=-1)
    found["largest cluster mean"] = means.max(axis=-1)
    for condition in groups.conditions:
        name = f"mean, {condition.replace('_', ' ')}"
        found[name] = groups.condition_means(data.totals, condition)
    if data.zeros is not None and data.squares is not None:
        found["share of zeros"] = data.zeros / n
        variance = (data.squares - n * overall**2) / (n - 1)
        with np.errstate(invalid="ignore"):
            found["variance / mean of users"] = np.where(overall > 0, variance / overall, 0.0)
    return found


def observed_totals(exp: Experiment, groups: Groups, like: Replicates) -> Replicates:
    """Return the data as one experiment, with what the replicates `like` them hold; S = 1."""
    totals = groups.total[None]
    if like.zeros is None:
        return Replicates(totals)
    cells = exp.cells()
    zeros = cells.value_count[cells.value == 0].sum()
    squares = cells.value_count @ cells.value**2
    return Replicates(totals, np.array([zeros]), np.array([squares]))


def _arms(exp: Experiment) -> dict[str, Booleans]:
    if exp.spec.design.level == "unit":
        return {"SD within clusters": np.ones(len(exp.treated), bool)}
    arms = {"control": ~exp.treated, "treated": exp.treated}
    return {f"SD within clusters, {arm}": there for arm, there in arms.items()}


def observed_within_sd(exp: Experiment) -> dict[str, Floats]:
    """Return the pooled SD of users about their clusters' means, by arm."""
    if exp.spec.outcome.family not in ("gaussian", "lognormal"):
        return {}
    m = exp.moments()
    return {
        name: np.sqrt(m.cross[there, -1, -1].sum() / df)
        for name, there in _arms(exp).items()
        if (df := (m.n[there] - 1).sum()) > 0
    }


def draw_within_sd(
    rng: np.random.Generator, exp: Experiment, draws: ParameterDraws
) -> dict[str, Floats]:
    """Draw that SD: sums of squares are sigma^2 times noncentral chi-squares.

    The noncentrality is the variation of the linear predictor within the clusters, over sigma^2.
    """
    if exp.spec.outcome.family not in ("gaussian", "lognormal"):
        return {}
    m, slopes = exp.moments(), exp.spec.heterogeneity.slopes
    assert draws.within_sd is not None
    found = {}
    for name, there in _arms(exp).items():
        df = (m.n[there] - 1).sum()
        if df <= 0:
            continue
        cross = m.cross[there, :-1, :-1]
        effects: Floats = draws.effects
        if slopes:
            assert draws.slope_sd is not None
            effects = np.repeat(effects[:, None], len(cross), axis=1)
            for i, slope in enumerate(slopes):
                shape = effects.shape[:2]
                effects[..., m.column(slope)] += rng.normal(0, draws.slope_sd[:, i, None], shape)
            varied = np.einsum("sja,jab,sjb->s", effects, cross, effects, optimize=True)
        else:
            varied = np.einsum("sa,ab,sb->s", effects, cross.sum(axis=0), effects, optimize=True)
        variance = draws.within_sd**2
        drawn = rng.noncentral_chisquare(df, np.maximum(varied, 0) / variance)
        found[name] = np.sqrt(variance * drawn / df)
    return found
