"""Why the posterior and the bootstrap of the same average differ: causes, tested in turn.

Each test changes one thing and asks whether the two then agree, by the rule of
:mod:`bayescluster.answers.interval_overlap`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._support.arrays import Floats
from .._support.display import rounded
from ..bayes.exact.exact_posterior import exact_posterior, is_integrable
from ..bayes.model_inputs import resolved_priors
from ..data.cluster_moments import ClusterMoments
from ..data.experiment import Experiment
from ..errors import DataError
from ..frequentist.average_regression import named_moments
from ..frequentist.cluster_influence import influence, residual_icc
from ..frequentist.cluster_robust_covariance import Vcov
from ..frequentist.normal_equations import Regression
from ..frequentist.ols import ols
from ..spec.priors import Prior
from .estimands import coefficient_weights
from .interval_overlap import Interval, intervals_agree
from .recommended_interval import MIN_CLUSTERS, clusters_behind

if TYPE_CHECKING:
    import xarray as xr

#: Fewer degrees of freedom than this give outliers much less weight than least squares does.
HEAVY_TAIL = 15.0
#: With a larger intracluster correlation nothing is left within clusters to compare.
MAX_ICC = 0.999
#: Standard deviation of priors that say nothing, in the outcome's SD.
WIDE = 1e3


@dataclass(frozen=True)
class Disagreement:
    """Intervals that differ, and what is needed to find out why.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    draws : Dataset
        Posterior draws of the parameters.
    effect : str
        The effect.
    values : ndarray, shape (S,)
        Its posterior draws, as the named average.
    posterior, bootstrap : tuple of float
        The intervals.
    """

    exp: Experiment
    draws: xr.Dataset
    effect: str
    values: Floats
    posterior: Interval
    bootstrap: Interval

    def causes(self) -> list[str]:
        """Return the causes whose test makes the intervals agree, in the order of the tests."""
        return [words for test in TESTS for words in test(self)]


def _prior(case: Disagreement) -> Iterator[str]:
    """Take the priors of the effects out of the posterior."""
    if is_integrable(case.exp.spec):
        interval = with_wide_priors(case.exp, case.effect)
    else:
        moved = without_priors(case.exp, case.draws, case.values)
        if moved is None:
            yield "the prior: it is at least as informative as the data"
            return
        half = _normal_quantile(case.exp) * moved[1]
        interval = (moved[0] - half, moved[0] + half)
    if intervals_agree(interval, case.bootstrap):
        yield f"the prior: without it the posterior interval would be about {_words(interval)}"


def with_wide_priors(exp: Experiment, effect: str) -> Interval:
    """Return an effect's interval, as the named average, with priors far wider than the data."""
    names = [*exp.spec.design.effects, *exp.size_terms]
    wide = dict.fromkeys(names, Prior(distribution="normal", mu=0.0, sigma=WIDE))
    priors = exp.spec.priors.model_copy(update=wide)
    spec = exp.spec.model_copy(update={"priors": priors})
    exact = exact_posterior(Experiment.from_moments(exp.moments(), spec))
    weights = coefficient_weights(exp, effect, exp.spec.report.estimand)
    row = exact.summary({effect: exact.combination(weights)}).iloc[0]
    return float(row["ci_lower"]), float(row["ci_upper"])


def without_priors(
    exp: Experiment, draws: xr.Dataset, values: Floats
) -> tuple[float, float] | None:
    """Return mean and SD of an effect without the priors of the effects' coefficients.

    Coefficients are taken as jointly normal, and the effect as linear in them (its regression on
    their draws). None if the priors hold as much information as the posterior.
    """
    names = [*exp.spec.design.effects, *exp.size_terms]
    priors = resolved_priors(exp)
    draw = np.column_stack([draws[name].to_numpy().ravel() for name in names])
    mean, cov = draw.mean(axis=0), np.atleast_2d(np.cov(draw.T))
    at = [priors[name].parameters for name in names]
    precision = np.diag([1 / one["sigma"] ** 2 for one in at])
    center = np.array([one.get("mu", 0.0) for one in at])
    inverse = np.linalg.inv(cov)
    left = inverse - precision
    if np.linalg.eigvalsh(left)[0] <= 1e-9 * np.linalg.eigvalsh(inverse)[-1]:
        return None
    data_cov = np.linalg.inv(left)
    data_mean = data_cov @ (inverse @ mean - precision @ center)
    slope = np.linalg.solve(cov, ((draw - mean) * (values - values.mean())[:, None]).mean(axis=0))
    rest = max(float(values.var() - slope @ cov @ slope), 0.0)
    return (
        float(values.mean() + slope @ (data_mean - mean)),
        float(np.sqrt(slope @ data_cov @ slope + rest)),
    )


def _few_clusters(case: Disagreement) -> Iterator[str]:
    """Put CR2 with its degrees of freedom in the place of the bootstrap."""
    clusters = clusters_behind(case.exp, case.effect)
    if clusters >= MIN_CLUSTERS:
        return
    interval = _least_squares(case, named_moments(case.exp))
    if interval is not None and intervals_agree(case.posterior, interval):
        yield (
            f"few clusters: the bootstrap is unreliable with {clusters:.1f} effective clusters; "
            f"OLS with CR2, {_words(interval)}, agrees with the posterior"
        )
        return
    interval = _least_squares(case, *_as_the_model(case), vcov="iid")
    if interval is not None and intervals_agree(case.posterior, interval):
        yield (
            f"few clusters: robust standard errors are unreliable with {clusters:.1f} effective "
            f"clusters; with those of the model, least squares gives {_words(interval)}"
        )


def _size(case: Disagreement) -> Iterator[str]:
    """Weight as the model does: clusters by precision, then comparisons within clusters too."""
    exp = case.exp
    icc = residual_icc(Regression.of(exp.moments()))
    by_precision = exp.model_moments.weighted(1 / (1 - icc + icc * exp.moments().n))
    interval = _least_squares(case, by_precision, _contrast(case))
    if interval is not None and intervals_agree(case.posterior, interval):
        modelled = (
            "the effect is not linear in log size, as the model takes it"
            if exp.size_terms
            else "the model takes the effect to be the same in clusters of every size"
        )
        yield (
            "cluster size: with clusters weighted by precision, as in the model, OLS gives "
            f"{_words(interval)}; {modelled}"
        )
        return
    interval = _least_squares(case, *_as_the_model(case))
    if interval is not None and intervals_agree(case.posterior, interval):
        yield (
            "comparisons within clusters: the model gives them more weight than OLS does; "
            f"generalised least squares does too, and gives {_words(interval)}"
        )


def _outliers(case: Disagreement) -> Iterator[str]:
    """See whether the model gives outlying users less weight than least squares does."""
    if "degrees_of_freedom" in case.draws:
        tail = float(case.draws["degrees_of_freedom"].median())
        if tail < HEAVY_TAIL:
            yield (
                f"outliers: the model gives them less weight (t with {tail:.1f} degrees of "
                "freedom), least squares full weight"
            )


def _one_cluster(case: Disagreement) -> Iterator[str]:
    """Leave out the cluster that moves least squares most."""
    moments = named_moments(case.exp)
    first = influence(case.exp, case.effect, moments=moments)["cluster"].iloc[0]
    interval = _least_squares(case, moments.keep(moments.clusters != first))
    if interval is not None and intervals_agree(case.posterior, interval):
        yield (
            f"one cluster, {first}: without it OLS with CR2 gives {_words(interval)}, which agrees "
            "with the posterior"
        )


#: The tests, in their order.
TESTS: tuple[Callable[[Disagreement], Iterator[str]], ...] = (
    _prior,
    _few_clusters,
    _size,
    _outliers,
    _one_cluster,
)


def _least_squares(
    case: Disagreement,
    moments: ClusterMoments,
    contrast: Mapping[str, float] | None = None,
    vcov: Vcov = "CR2",
) -> Interval | None:
    """Return the effect's interval, or None if it has none."""
    weights = {case.effect: dict(contrast or {case.effect: 1.0})}
    try:
        found = ols(moments, vcov, contrasts=weights, ci_prob=case.exp.spec.report.ci_prob)
    except DataError:
        return None
    low, high = found.ci[-1]
    return (float(low), float(high)) if np.isfinite([low, high]).all() else None


def _as_the_model(case: Disagreement) -> tuple[ClusterMoments, dict[str, float]]:
    """Return moments for generalised least squares of the model, and the effect's contrast."""
    icc = residual_icc(Regression.of(case.exp.moments()))
    return case.exp.model_moments.quasi_demeaned(min(icc, MAX_ICC)), _contrast(case)


def _contrast(case: Disagreement) -> dict[str, float]:
    return coefficient_weights(case.exp, case.effect, case.exp.spec.report.estimand)


def _normal_quantile(exp: Experiment) -> float:
    from scipy import special

    return float(special.ndtri(0.5 + exp.spec.report.ci_prob / 2))


def _words(interval: Interval) -> str:
    error = (interval[1] - interval[0]) / 4
    return f"{rounded(interval[0], error)} to {rounded(interval[1], error)}"
