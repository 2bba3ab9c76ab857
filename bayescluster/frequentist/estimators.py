"""The tutorial's three regressions: naive, cluster means, and two exposures."""

from __future__ import annotations

import numpy as np

from ..errors import DesignError
from ..experiment import Experiment
from .estimates import Estimates
from .ols import Distribution, Standardised, Vcov, in_user_units, ols, residual_sum_of_squares


def naive_ols(exp: Experiment, *, distribution: Distribution = "t") -> Estimates:
    """Regress the outcome on the treatment as if units were independent and nothing spilled over.

    The user-level A/B test that the package exists to replace; kept to show its bias (contaminated
    controls) and its overconfidence (independent errors).

    Parameters
    ----------
    exp : Experiment
        The experiment; its covariates and strata are adjusted for.
    distribution : {"t", "normal"}
        Reference distribution of intervals and p-values, t with N - p degrees of freedom.

    Returns
    -------
    Estimates
        Terms ``intercept``, ``direct`` (here the total contrast between arms), covariates.
    """
    moments = exp.moments().without("spillover").with_stratum_indicators()
    return ols(
        moments,
        "iid",
        distribution=distribution,
        ci_prob=exp.spec.report.ci_prob,
        method="naive OLS",
    )


def cluster_wls(exp: Experiment, *, distribution: Distribution = "t") -> Estimates:
    """Regress cluster means on the treatment, weighted by cluster size.

    One observation a cluster, so independence between clusters is all that is assumed; spillover
    still contaminates the contrast.

    Parameters
    ----------
    exp : Experiment
        The experiment; covariates enter by their cluster means, strata by indicators.
    distribution : {"t", "normal"}
        Reference distribution of intervals and p-values, t with J - p degrees of freedom.

    Returns
    -------
    Estimates
        Terms ``intercept``, ``direct`` (here the total contrast between arms), covariates.

    Raises
    ------
    DesignError
        Where there are no more clusters than coefficients.

    Notes
    -----
    The covariance matrix is the classical one of weighted least squares,
    s^2 (Xbar' diag(n) Xbar)^-1 with s^2 the weighted residual sum of squares over J - p.
    """
    moments = exp.moments().without("spillover").with_stratum_indicators().between()
    standardised = Standardised.of(moments)
    coefficients, inverse = standardised.solve(moments.names)
    df = moments.n_clusters - len(coefficients)
    if df < 1:
        raise DesignError(
            f"{moments.n_clusters:,} clusters are too few for {len(coefficients)} coefficients on "
            "cluster means; leave out covariates or strata"
        )
    variance = residual_sum_of_squares(standardised.gram, coefficients) / df
    return in_user_units(
        standardised,
        coefficients,
        variance * inverse,
        moments,
        df=np.inf if distribution == "normal" else df,
        ci_prob=exp.spec.report.ci_prob,
        vcov="iid",
        method="cluster WLS",
    )


def two_exposure(
    exp: Experiment, vcov: Vcov = "CR1", *, distribution: Distribution = "t"
) -> Estimates:
    """Regress the outcome on direct treatment and spillover exposure, cluster-robust.

    Parameters
    ----------
    exp : Experiment
        The experiment; its covariates and strata are adjusted for. Without a spillover column this
        is the cluster-robust regression on the treatment alone.
    vcov : {"CR1", "CR0", "iid"}
        Covariance matrix, see :func:`ols`.
    distribution : {"t", "normal"}
        Reference distribution of intervals and p-values, t with G - 1 degrees of freedom.

    Returns
    -------
    Estimates
        Terms ``intercept``, ``direct``, ``spillover`` (where there is one), covariates, strata.
    """
    kind = "two-exposure OLS" if exp.has_spillover else "OLS"
    return ols(
        exp.moments().with_stratum_indicators(),
        vcov,
        distribution=distribution,
        ci_prob=exp.spec.report.ci_prob,
        method=f"{kind}, {vcov}",
    )
