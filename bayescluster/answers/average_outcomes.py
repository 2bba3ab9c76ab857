"""Mean outcomes that the posterior predicts in each exposure condition, and with nobody treated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

import numpy as np

from .._support.arrays import BLOCK_ELEMENTS, Floats, Integers
from ..data.cluster_sizes import centred_log_sizes
from ..data.experiment import Experiment
from ..data.partial_rollouts import Saturations
from ..spec.model_spec import Average
from ..spec.size_terms import LOG_SIZE, by_log_size

if TYPE_CHECKING:
    import xarray as xr

#: What effects are averaged over.
AVERAGES: tuple[Average, ...] = get_args(Average)
#: The condition of nobody treated, and that of treated users who are exposed.
UNTREATED, WITH_EXPOSURE = "untreated", "direct with exposure"
#: Linear predictors without treatment (S, B), shares of the cluster's users (B,), clusters (B,).
Baseline = tuple[Floats, Floats, Integers]
#: Mean outcomes (S,) by condition, then by average and by the effect whose people count.
Outcomes = dict[str, dict[tuple[Average, str], Floats]]


def flat(draws: xr.Dataset, name: str) -> Floats:
    """Return the draws of a parameter, chains joined; shape (S, ...)."""
    values = draws[name].to_numpy()
    return values.reshape(-1, *values.shape[2:])


def conditions_of(exp: Experiment) -> dict[str, dict[str, float]]:
    """Return the effects that add up in each exposure condition, with their doses."""
    effects = exp.spec.design.effects
    found = {name: {name: 1.0} for name in effects if name != "interaction"}
    if "interaction" in effects:
        found[WITH_EXPOSURE] = {"direct": 1.0, "spillover": 1.0, "interaction": 1.0}
    if "within_spillover" in effects:
        shares = Saturations.of(exp)
        found["untreated at mean share"] = {"within_spillover": shares.mean}
        found["untreated at lowest share"] = {"within_spillover": shares.lowest}
        found["untreated at highest share"] = {"within_spillover": shares.highest}
    return found


def mean_outcomes(exp: Experiment, draws: xr.Dataset) -> Outcomes:
    """Return the mean outcome in every condition, and with nobody treated (`UNTREATED`).

    Empty for families whose effects are coefficients: without a link, not of logarithms.
    """
    effects, family = exp.spec.design.effects, exp.spec.family
    if not (family.has_link or family.log_outcome):
        return {}
    parts = _log_baselines(exp, draws) if family.log_outcome else _baselines(exp, draws)
    inverse = np.exp if family.log_outcome else family.link.mean
    coefficients = {name: flat(draws, name)[:, None] for name in effects}
    log_size = centred_log_sizes(exp.moments())
    kinds = [(average, people) for average in AVERAGES for people in ("direct", "spillover")]
    weights = np.column_stack([exp.average_weights(*kind) for kind in kinds])
    by_size = {name: flat(draws, by_log_size(name))[:, None] for name in effects if exp.size_terms}
    varying = {
        name: flat(draws, f"{name}_of_cluster") for name in effects if f"{name}_of_cluster" in draws
    }
    conditions = conditions_of(exp)
    zero = np.zeros((len(coefficients["direct"]), len(kinds)))
    found = dict.fromkeys([UNTREATED, *conditions], zero)
    for base, share, cluster in parts:
        weight = share[:, None] * weights[cluster]
        own = coefficients | {name: values[:, cluster] for name, values in varying.items()}
        if exp.size_terms:
            own = {name: own[name] + by_size[name] * log_size[cluster] for name in effects}
            base = base + flat(draws, LOG_SIZE)[:, None] * log_size[cluster]
        found[UNTREATED] = found[UNTREATED] + inverse(base) @ weight
        for condition, doses in conditions.items():
            shift = sum(dose * own[name] for name, dose in doses.items())
            shifted = inverse(base + shift) @ weight
            found[condition] = found[condition] + shifted
    return {
        condition: {kind: values[:, i] for i, kind in enumerate(kinds)}
        for condition, values in found.items()
    }


def baseline_draws(
    exp: Experiment, draws: xr.Dataset, average: Average, outcomes: Outcomes
) -> Floats:
    """Return posterior draws of the mean outcome had nobody been treated; (chains x draws,).

    In the outcome's unit (lognormal: not of its logarithm), for the clusters of the experiment with
    their own intercepts and covariates. `outcomes` are those of :func:`mean_outcomes`.
    """
    if outcomes:
        return outcomes[UNTREATED][average, "direct"]
    moments, k = exp.moments(), len(exp.spec.design.effects)
    level = flat(draws, "intercept")
    if exp.size_terms:
        level = level + flat(draws, LOG_SIZE)[:, None] * centred_log_sizes(moments)
    if exp.covariates:
        center, slopes = _covariates(exp, draws)
        level = level + slopes @ (moments.means[:, k:-1] - center).T
    return np.asarray(level @ exp.average_weights(average))


def _baselines(exp: Experiment, draws: xr.Dataset) -> Iterator[Baseline]:
    """Yield the linear predictor of like users without treatment, in blocks."""
    cells = exp.cells()
    effects = len(exp.spec.design.effects)
    covariates = cells.x[:, effects:]
    keyed = np.column_stack([cells.cluster, covariates])
    alike, at = np.unique(keyed, axis=0, return_inverse=True)
    n = np.bincount(at.ravel(), cells.n)
    cluster = alike[:, 0].astype(np.int64)
    share = n / exp.moments().n[cluster]
    intercept = flat(draws, "intercept")
    center, slopes = _covariates(exp, draws)
    step = max(1, BLOCK_ELEMENTS // len(intercept))
    for start in range(0, len(alike), step):
        rows = slice(start, start + step)
        base = intercept[:, cluster[rows]]
        if covariates.shape[1]:
            base = base + slopes @ (alike[rows, 1:] - center).T
        yield base, share[rows], cluster[rows]


def _log_baselines(exp: Experiment, draws: xr.Dataset) -> Iterator[Baseline]:
    """Yield the log of the clusters' mean outcomes without treatment (lognormal family)."""
    moments, k = exp.moments(), len(exp.spec.design.effects)
    base = flat(draws, "intercept") + flat(draws, "within_sd")[:, None] ** 2 / 2
    if exp.covariates:
        center, slopes = _covariates(exp, draws)
        base = base + slopes @ (moments.means[:, k:-1] - center).T
        within = moments.cross[:, k:-1, k:-1] / moments.n[:, None, None]
        base = base + np.einsum("sa,jab,sb->sj", slopes, within, slopes, optimize=True) / 2
    yield base, np.ones(moments.n_clusters), np.arange(moments.n_clusters)


def _covariates(exp: Experiment, draws: xr.Dataset) -> tuple[Floats, Floats]:
    """Return the means (c,) at which the model centres covariates, and their slopes (S, c)."""
    moments, k = exp.moments(), len(exp.spec.design.effects)
    slopes = [flat(draws, name) for name in exp.covariates]
    center = moments.grand_means[k:-1]
    return center, np.stack(slopes, axis=-1) if slopes else np.empty((0, 0))
