"""Least squares for an average over users, or over clusters, whatever the effect depends on.

Ordinary least squares weights strata by the product of their arms' shares, and the spillover effect
by the variance of exposure. Where the effect varies, its coefficients are then no average over
people. Weights of whole clusters and regressors of cluster size mend both.
"""

from __future__ import annotations

import numpy as np

from .._support.arrays import Floats
from ..data.cluster_moments import ClusterMoments
from ..data.cluster_sizes import centred_log_sizes, moments_by_size
from ..data.experiment import Experiment
from ..spec.model_spec import Average
from .cluster_robust_covariance import Vcov
from .estimates_record import Estimates
from .method_labels import OVER
from .ols import Distribution, ols

#: With fewer clusters in an arm, least squares takes effects as equal over cluster sizes.
LEAST_PER_ARM = 10


def average_moments(exp: Experiment, average: Average) -> ClusterMoments:
    """Return moments in which each effect's coefficient is its average over users or clusters.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    average : {"user", "cluster"}
        What effects are averaged over.

    Returns
    -------
    ClusterMoments
        The experiment's moments with clusters weighted: by one per user or per cluster, and, with
        strata, so that both arms of a stratum weigh as much as the whole stratum. With spillover,
        and sizes that vary, regressors of log size follow, centred so that the coefficient of an
        effect is the effect at the average log size: exact if it is linear in log size. With fewer
        than 10 clusters in an arm there are none, because they would leave too little to compare.

        With strata that have one arm only, it is the average over the others.
    """
    moments, effects = exp.moments(), exp.spec.design.effects
    if _by_size(exp):
        log_size = centred_log_sizes(moments)
        at = {name: float(log_size @ exp.average_weights(average, name)) for name in effects}
        moments = moments_by_size(moments, effects, at)
    weights = _cluster_weights(exp, average)
    return moments if weights is None else moments.weighted(weights / moments.n)


def named_moments(exp: Experiment) -> ClusterMoments:
    """Return :func:`average_moments` of the average that the specification names."""
    return average_moments(exp, exp.spec.report.estimand)


def _by_size(exp: Experiment) -> bool:
    """Return whether effects are regressed on cluster size, which needs enough clusters."""
    treated = int(exp.treated.sum())
    fewest = min(treated, len(exp.treated) - treated)
    if exp.spec.design.level == "unit":
        fewest = len(exp.treated)
    return bool(exp.size_terms) and exp.has_spillover and fewest >= LEAST_PER_ARM


def _cluster_weights(exp: Experiment, average: Average) -> Floats | None:
    """Return the total weight of each cluster (J,); None if it is the number of its rows."""
    moments = exp.moments()
    weights = exp.average_weights(average)
    if moments.strata is not None and exp.spec.design.level == "cluster":
        code, arm = moments.stratum_code, exp.treated.astype(int)
        total = np.zeros((code.max() + 1, 2))
        np.add.at(total, (code, arm), weights)
        weights = weights * total.sum(axis=1)[code] / total[code, arm]
    share = weights / weights.sum()
    return None if np.allclose(share, moments.n / moments.n.sum(), rtol=1e-12) else weights


def differs(exp: Experiment, average: Average) -> bool:
    """Return whether an average needs other moments than those of ordinary least squares."""
    if _by_size(exp):
        return True
    return _cluster_weights(exp, average) is not None


def average_of_ols(exp: Experiment) -> str:
    """Return what coefficients of unweighted least squares average over: user, or neither."""
    return "neither" if differs(exp, "user") else "user"


def average_effects(
    exp: Experiment,
    average: Average = "user",
    vcov: Vcov = "CR2",
    *,
    distribution: Distribution = "t",
) -> Estimates:
    """Estimate each effect as an average over users or over clusters, by weighted least squares.

    Without spillover and covariates, the average over clusters is the difference of cluster means
    with the standard error HC2, and the average over users is the difference of the arms' means;
    with strata, the strata's differences weighted by their users (or clusters).

    Parameters
    ----------
    exp : Experiment
        The experiment; its covariates and strata are adjusted for.
    average : {"user", "cluster"}
        What effects are averaged over.
    vcov : {"CR2", "CR0", "CR1", "CR3", "iid"}
        Covariance matrix, see :func:`ols`. Its reference model has equal variances after weighting.
    distribution : {"t", "normal"}
        Reference distribution of intervals and p-values.

    Returns
    -------
    Estimates
        Terms ``intercept`` (without strata), the effects, covariates, terms of cluster size.

    Raises
    ------
    DesignError
        If there are too few clusters.

    References
    ----------
    Kahan, Li, Copas & Harhay (2023), International Journal of Epidemiology 52: 107-118; Su & Ding
    (2021), Journal of the Royal Statistical Society B 83: 994-1015; Lin (2013), Annals of Applied
    Statistics 7: 295-318, on centred interactions.
    """
    return ols(
        average_moments(exp, average),
        vcov,
        distribution=distribution,
        ci_prob=exp.spec.report.ci_prob,
        method=f"{OVER[average].label}, {vcov}",
    )
