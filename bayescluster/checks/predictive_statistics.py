"""Statistics that predictive checks compare between the data and predicted experiments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from .._support.arrays import Booleans, Floats
from ..bayes.parameter_draws import ParameterDraws
from ..data.experiment import Experiment
from .predictive_replicates import Groups, Replicates


class Aspect(StrEnum):
    """What a statistic describes; determines the advice if its value is surprising."""

    LEVEL = "level"
    BETWEEN = "spread of the clusters"
    BETWEEN_BY_ARM = "spread of one arm's clusters"
    WITHIN = "spread of units within clusters"
    EXTREME = "most distant cluster"
    CONTRAST = "difference between the arms"
    CONDITION = "mean of one exposure condition"
    DISPERSION = "dispersion of counts"


@dataclass(frozen=True)
class Statistic:
    """One statistic of an experiment.

    Parameters
    ----------
    name : str
        Label of the statistic.
    aspect : Aspect
        What it describes.
    """

    name: str
    aspect: Aspect


MEAN_OVER_CLUSTERS = Statistic("mean over clusters", Aspect.LEVEL)
MEAN_OVER_USERS = Statistic("mean over users", Aspect.LEVEL)
BETWEEN_SD = Statistic("SD between clusters", Aspect.BETWEEN)
SMALLEST = Statistic("smallest cluster mean", Aspect.EXTREME)
LARGEST = Statistic("largest cluster mean", Aspect.EXTREME)
CONTRAST = Statistic("treated minus control clusters", Aspect.CONTRAST)
ZEROS = Statistic("share of zeros", Aspect.DISPERSION)
DISPERSION = Statistic("variance / mean of users", Aspect.DISPERSION)


def of_cluster_means(exp: Experiment) -> dict[Statistic, Callable[[Floats], Floats]]:
    """Return the statistics as functions of cluster means (..., J)."""
    treated = exp.treated
    functions: dict[Statistic, Callable[[Floats], Floats]] = {
        MEAN_OVER_CLUSTERS: lambda m: m.mean(axis=-1),
        BETWEEN_SD: _sd,
        SMALLEST: lambda m: m.min(axis=-1),
        LARGEST: lambda m: m.max(axis=-1),
    }
    if not treated.all():
        functions[CONTRAST] = lambda m: _difference(m, treated)
    return functions


def _sd(values: Floats) -> Floats:
    """Return standard deviations; infinite if a value is, as for counts under a wide prior."""
    with np.errstate(invalid="ignore", over="ignore"):
        sd = values.std(axis=-1, ddof=1)
    return np.where(np.isnan(sd), np.inf, sd)


def _difference(means: Floats, treated: Booleans) -> Floats:
    """Return the difference between the arms; NaN if both are infinite."""
    with np.errstate(invalid="ignore"):
        return means[..., treated].mean(axis=-1) - means[..., ~treated].mean(axis=-1)


def of_groups(exp: Experiment, groups: Groups, data: Replicates) -> dict[Statistic, Floats]:
    """Return the statistics of experiments; each of shape (S,)."""
    means, n = groups.cluster_means(data.totals), groups.n.sum()
    overall = data.totals.sum(axis=-1) / n
    found = {MEAN_OVER_USERS: overall}
    if exp.spec.design.level == "cluster":
        for arm, there in (("control", ~exp.treated), ("treated", exp.treated)):
            by_arm = Statistic(f"{BETWEEN_SD.name}, {arm}", Aspect.BETWEEN_BY_ARM)
            found[by_arm] = _sd(means[:, there])
    else:
        found[BETWEEN_SD] = _sd(means)
    found[SMALLEST] = means.min(axis=-1)
    found[LARGEST] = means.max(axis=-1)
    for condition in groups.conditions:
        of_condition = Statistic(f"mean, {condition.replace('_', ' ')}", Aspect.CONDITION)
        found[of_condition] = groups.condition_means(data.totals, condition)
    if data.zeros is not None and data.squares is not None:
        found[ZEROS] = data.zeros / n
        variance = (data.squares - n * overall**2) / (n - 1)
        with np.errstate(invalid="ignore"):
            found[DISPERSION] = np.where(overall > 0, variance / overall, 0.0)
    return found


def observed_totals(exp: Experiment, groups: Groups, like: Replicates) -> Replicates:
    """Return the data as one experiment, S = 1, with the same fields as the replicates `like`."""
    totals = groups.total[None]
    if like.zeros is None:
        return Replicates(totals)
    cells = exp.cells()
    zeros = cells.value_count[cells.value == 0].sum()
    squares = cells.value_count @ cells.value**2
    return Replicates(totals, np.array([zeros]), np.array([squares]))


def _arms(exp: Experiment) -> dict[Statistic, Booleans]:
    """Return, for each arm, its SD within clusters and a mask of its clusters; none for cells."""
    if exp.spec.family.cells is not None:
        return {}
    name = "SD within clusters"
    if exp.spec.design.level == "unit":
        return {Statistic(name, Aspect.WITHIN): np.ones(len(exp.treated), bool)}
    arms = {"control": ~exp.treated, "treated": exp.treated}
    return {Statistic(f"{name}, {arm}", Aspect.WITHIN): there for arm, there in arms.items()}


def observed_within_sd(exp: Experiment) -> dict[Statistic, Floats]:
    """Return the pooled SD of users about their clusters' means, by arm."""
    m = exp.moments()
    return {
        statistic: np.sqrt(m.cross[there, -1, -1].sum() / df)
        for statistic, there in _arms(exp).items()
        if (df := (m.n[there] - 1).sum()) > 0
    }


def draw_within_sd(
    rng: np.random.Generator, exp: Experiment, draws: ParameterDraws
) -> dict[Statistic, Floats]:
    """Draw the pooled SD: sums of squares are sigma^2 times noncentral chi-squares.

    The noncentrality is the variation of the linear predictor within the clusters over sigma^2.
    """
    m, slopes = exp.model_moments, exp.spec.heterogeneity.slopes
    found: dict[Statistic, Floats] = {}
    for statistic, there in _arms(exp).items():
        assert draws.within_sd is not None
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
        found[statistic] = np.sqrt(variance * drawn / df)
    return found
